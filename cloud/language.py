"""The language model of `cloud.toml`: one line decides which; what cannot be loaded is one sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud.config import ChatConfig
from cloud.reading import width
from models.anyecg.chat.eyes import ENCODER, Eyes
from models.anyecg.chat.runtime import WEIGHTS, Chat, Small
from models.config import load
from models.errors import AnyEcgError, UsageError

if TYPE_CHECKING:
    from models.anyecg.chat.train import Recipe

RECIPES = Path(__file__).parents[1] / "models" / "recipes"
ADAPTER = "adapter_model.safetensors"


def load_chat(config: ChatConfig) -> Chat | None:
    """None where it is off.

    Raises:
        UsageError: a folder is not named, or holds no language model.
        RecordingError: no weights of the small one.
        ModuleNotFoundError: smollm2 and full need what `anyecg[train]` installs.
    """
    if config.size == "off":
        return None
    try:
        return Small(config.weights) if config.size == "small" else _adapted(config)
    except (AnyEcgError, ModuleNotFoundError):
        raise
    except Exception as error:  # the libraries' own errors have no common type
        where = config.weights or config.size
        raise UsageError(f"The language model of {where} cannot be loaded: {error}") from error


def load_language(config: ChatConfig) -> tuple[Chat, Eyes] | None:
    """The same, and the eyes that it learned with; where they are others, it is said now (UsageError)."""
    chat = load_chat(config)
    if chat is None:
        return None
    eyes = Eyes(encoder_of(config))
    if chat.encoder and chat.encoder != eyes.sha256:
        raise UsageError(
            f"{chat.model} learned to read what another encoder than {encoder_of(config)} sees; "
            "name the folder of one training in chat.weights."
        )
    chat.prompt([np.zeros((1, width(eyes)), dtype=np.float32)], None)
    return chat, eyes


def encoder_of(config: ChatConfig) -> Path:
    """The encoder whose content tokens the language model learned to read."""
    return ENCODER if config.weights is None else config.weights / ENCODER.name


def _adapted(config: ChatConfig) -> Chat:
    """A language model of transformers with the adapter and connector that were trained for it, merged."""
    if config.model is None:
        raise UsageError(f'chat.size = "{config.size}" needs chat.model, the folder of its language model.')
    weights = config.weights or WEIGHTS / config.size
    if not (weights / ADAPTER).is_file():
        raise UsageError(f"{weights} holds no {ADAPTER}; name the folder of a training in chat.weights.")
    from safetensors import safe_open

    from models.anyecg.chat.net import TorchDecoder, load_adapter, load_llm, load_words

    noted = _noted(weights)
    recipe = _recipe(noted, config.size)
    words = load_words(config.model, recipe.markers, recipe.gguf)
    llm = load_llm(config.model, recipe.gguf, recipe.dtype, recipe.four_bit)
    net = load_adapter(llm, words, weights, merge=not recipe.four_bit)
    with safe_open(weights / "connector.safetensors", "np") as connector:
        encoder = (connector.metadata() or {}).get("encoder_sha256")
    digest = hashlib.sha256((weights / ADAPTER).read_bytes()).hexdigest()
    name = f"anyecg-chat-{config.size}/1 {digest[:8]}"
    return Chat(
        TorchDecoder(net),
        words,
        model=name,
        apart=recipe.rounds[0].stage == 0,
        encoder=encoder,
        data=noted.get("data"),
    )


def _noted(weights: Path) -> dict[str, Any]:
    """What the training noted beside them: its recipe, and the digest of what it learned from."""
    file = weights / "chat.json"
    run: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return run


def _recipe(noted: Mapping[str, Any], size: str) -> Recipe:
    """By which they were trained; where that is not noted, the shipped one of this size."""
    from models.anyecg.chat.train import Recipe

    if not noted:
        return load(RECIPES / f"chat_{size}.toml", Recipe)
    return Recipe.model_validate({key: noted[key] for key in Recipe.model_fields if key in noted})
