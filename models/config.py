"""Configuration files: TOML into one frozen model, and one clear sentence where that cannot be done."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import UsageError

_Model = TypeVar("_Model", bound=BaseModel)


def load(path: Path | None, model: type[_Model]) -> _Model:
    """The file as a `model` (frozen, unknown keys forbidden); its defaults where `path` is None.

    Raises:
        UsageError: no such file, not TOML, an unknown key (with the nearest known one) or a bad value.
    """
    if path is None:
        return model()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}.") from error
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{path}: {_sentence(error.errors()[0], model)}") from error


def _sentence(problem: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{key} = {problem['input']!r} will not do: {problem['msg']}."
    known = _keys(model)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
    return f"unknown key {key!r}; {hint}"


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key, those of sections with their section's name and a dot."""
    keys = []
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            keys += _keys(section, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys
