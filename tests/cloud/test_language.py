"""One line of cloud.toml decides which language model serves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch  # noqa: TID251 - networks under test

from cloud.config import ChatConfig, CloudConfig
from cloud.language import load_chat, load_language
from models.anyecg.chat.export import export_small
from models.anyecg.chat.eyes import ENCODER, Eyes
from models.anyecg.chat.net import chat, load_llm, load_words, save_adapter, small, with_lora
from models.anyecg.chat.readings import eyes_digest
from models.anyecg.chat.runtime import FILES, WEIGHTS, Small
from models.anyecg.chat.tokenizer import MARKERS, learn
from models.anyecg.chat.train import metadata
from models.config import load
from models.errors import RecordingError, UsageError

WIDTH = 6
SHAPE: dict[str, int] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
WORDS = learn(["a4 RATE 72\nReport: mean rate 72/min [a4]."] * 3)
ECG = np.zeros((4, WIDTH), dtype=np.float32)


def answers(served: Any) -> list[str]:
    """A line, whatever it says."""
    state = served.prompt([ECG], ["a4 RATE 72"])
    return [next(served.ask(state, "How fast?", allow=lambda _: "measure RATE"))]


def test_off_is_no_language_model() -> None:
    assert load_chat(ChatConfig(size="off")) is None


def test_the_small_one_comes_from_a_folder(tmp_path: Path) -> None:
    WORDS.save(tmp_path / "tokenizer.json")
    export_small(small(WORDS, WIDTH, **SHAPE), tmp_path, metadata(WORDS, "0"))
    served = load_chat(ChatConfig(weights=tmp_path))
    assert served is not None
    assert answers(served) == ["measure RATE"]
    with pytest.raises(RecordingError, match="no language model"):
        load_chat(ChatConfig(weights=tmp_path / "nowhere"))
    (tmp_path / "decoder.onnx").write_text("not a network")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_chat(ChatConfig(weights=tmp_path))


def test_a_model_of_another_training_than_its_eyes_is_one_sentence(tmp_path: Path) -> None:
    assert load_language(ChatConfig()) is not None
    WORDS.save(tmp_path / "tokenizer.json")
    export_small(small(WORDS, WIDTH, **SHAPE), tmp_path, metadata(WORDS, "0"))
    shutil.copy(ENCODER, tmp_path)
    with pytest.raises(UsageError, match="content tokens of 6 numbers, these have 202"):
        load_language(ChatConfig(weights=tmp_path))


def test_the_shipped_model_beside_another_encoder_of_the_same_width_is_one_sentence(tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(WEIGHTS / name, tmp_path)
    other = onnx.load(ENCODER)
    other.doc_string = "of another training"
    onnx.save(other, tmp_path / ENCODER.name)
    with pytest.raises(UsageError, match="learned to read what another encoder than"):
        load_language(ChatConfig(weights=tmp_path))
    (tmp_path / ENCODER.name).write_bytes(ENCODER.read_bytes()[:1000])
    with pytest.raises(RecordingError, match="is no encoder as"):
        load_language(ChatConfig(weights=tmp_path))


def test_a_training_notes_its_encoder(tmp_path: Path) -> None:
    WORDS.save(tmp_path / "tokenizer.json")
    shutil.copy(ENCODER, tmp_path)
    export_small(small(WORDS, WIDTH, **SHAPE), tmp_path, metadata(WORDS, "0", eyes_digest(tmp_path)))
    assert Small(tmp_path).encoder == Eyes().sha256 == Small().encoder


@pytest.fixture
def llm(tmp_path: Path) -> Path:
    """A random tiny one of the same architecture."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(1)
    shape = {**SHAPE, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": WORDS.size}
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(tmp_path / "llm")
    PreTrainedTokenizerFast(tokenizer_object=WORDS._inner).save_pretrained(tmp_path / "llm")
    return tmp_path / "llm"


def test_a_full_one_is_served_with_the_adapter_and_the_recipe_of_its_training(
    llm: Path, tmp_path: Path
) -> None:
    from models.anyecg.chat.train import Recipe
    from models.training import claim

    recipe = Recipe(size="full", llm=llm, rank=2, markers={name: (name,) for name in MARKERS})
    words = load_words(llm, recipe.markers)
    save_adapter(chat(with_lora(load_llm(llm), 2), words, WIDTH), tmp_path / "out", "of its encoder")
    claim(tmp_path / "out" / "chat.json", {"data": "ab", "version": "1", **recipe.model_dump(mode="json")})
    served = load_chat(ChatConfig(size="full", model=llm, weights=tmp_path / "out"))
    assert served is not None
    assert answers(served) == ["measure RATE"]
    assert served.model.startswith("anyecg-chat-full/1 ")
    assert (served.encoder, served.data) == ("of its encoder", "ab")
    assert served.apart  # a recipe that begins with what questions mean


def test_what_is_not_named_or_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs chat\.model"):
        load_chat(ChatConfig(size="full"))
    with pytest.raises(UsageError, match=r"holds no adapter_model\.safetensors"):
        load_chat(ChatConfig(size="smollm2", model=tmp_path, weights=tmp_path))


def test_the_table_is_read_and_a_wrong_key_is_said(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('[chat]\nsize = "off"\nbudget_s = 3\n')
    assert load(file, CloudConfig).chat == ChatConfig(size="off", budget_s=3.0)
    file.write_text("[chat]\nbudget = 3\n")
    with pytest.raises(UsageError, match=r"did you mean 'chat\.budget_s'"):
        load(file, CloudConfig)
    file.write_text('[chat]\nsize = "huge"\n')
    with pytest.raises(UsageError, match=r"chat\.size = 'huge' will not do"):
        load(file, CloudConfig)
