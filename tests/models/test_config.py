"""Configuration files: defaults, and one sentence for whatever a person wrote wrongly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from cloud.config import CloudConfig, RuleConfig
from edge.config import EdgeConfig
from models.config import load
from models.errors import UsageError


def written(folder: Path, text: str) -> Path:
    path = folder / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, model: type[BaseModel] = CloudConfig) -> str:
    with pytest.raises(UsageError) as caught:
        load(path, model)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert caught.value.exit_code == 2
    return sentence


@pytest.mark.parametrize("model", [CloudConfig, EdgeConfig])
def test_no_file_means_the_defaults(tmp_path: Path, model: type[BaseModel]) -> None:
    assert load(None, model) == model() == load(written(tmp_path, ""), model)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, 'site = "ward-3"\nworkers = 2\n[rules]\nvt_beats = 5\n')
    config = load(path, CloudConfig)
    assert (config.site, config.workers, config.rules.vt_beats) == ("ward-3", 2, 5)
    assert config.rules.pause_s == RuleConfig().pause_s


def test_a_configuration_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(None, CloudConfig).port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('brocker = "mqtt://x"', "brocker", "broker"),
        ("[rules]\nvt_beat = 6", "rules.vt_beat", "rules.vt_beats"),
        ("vt_beats = 6", "vt_beats", "rules.vt_beats"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    tmp_path: Path, text: str, key: str, near: str
) -> None:
    sentence = refusal(written(tmp_path, text))
    assert sentence.endswith(f"unknown key {key!r}; did you mean {near!r}?")


def test_a_key_that_is_like_no_other_is_refused_with_all_that_are_known(tmp_path: Path) -> None:
    sentence = refusal(written(tmp_path, "zzzzzz = 1"))
    for key in ("site", "broker", "rules.vf_s", "rules.v_per_minute"):
        assert key in sentence


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("port = 70000", "port", "70000"),
        ('site = "a b"', "site", "'a b'"),
        ("workers = 0", "workers", "0"),
        ("[rules]\nvf_s = -1", "rules.vf_s", "-1"),
        ('silent_s = "soon"', "silent_s", "'soon'"),
        ("rules = 3", "rules", "3"),
    ],
)
def test_a_value_that_will_not_do_is_named_with_its_key(
    tmp_path: Path, text: str, key: str, value: str
) -> None:
    assert f"{key} = {value} will not do: " in refusal(written(tmp_path, text))


@pytest.mark.parametrize(
    "rule", ["vf_s = 1.0", "vt_beats = 2", "pause_s = 2.0", "run_beats = 2", "af_s = 20.0"]
)
def test_a_limit_below_what_is_found_at_all_is_refused_and_not_silently_without_effect(
    tmp_path: Path, rule: str
) -> None:
    refusal(written(tmp_path, f"[rules]\n{rule}"))


@pytest.mark.parametrize(
    "rule",
    [
        *("vf_s = 11", "vt_beats = 31", "pause_s = 11", "run_beats = 31", "af_s = 241", "v_per_minute = 61"),
        *("slow_bpm = 19", "slow_bpm = 101", "fast_bpm = 251", "fast_bpm = inf", "pause_s = nan"),
    ],
)
def test_a_limit_that_no_episode_reaches_is_refused(tmp_path: Path, rule: str) -> None:
    refusal(written(tmp_path, f"[rules]\n{rule}"))


def test_a_file_that_is_not_there_a_folder_and_what_is_no_toml_are_one_sentence_each(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "nowhere.toml")
    assert "cannot be read" in refusal(tmp_path)
    assert re.search(r"is not TOML: .*line 1", refusal(written(tmp_path, "port 8000")))
    bytes_of_no_text = tmp_path / "bytes.toml"
    bytes_of_no_text.write_bytes(b"\xff\xfe\x00")
    assert "is not TOML" in refusal(bytes_of_no_text)
