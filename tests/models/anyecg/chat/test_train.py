"""Three stages that can be interrupted anywhere; what learns in each; what is shipped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID251 - networks under test

from models.anyecg.chat import train as training
from models.anyecg.chat.corpus import Conversation
from models.anyecg.chat.net import EcgChat, load_adapter, load_llm, load_words
from models.anyecg.chat.prompt import UNLEARNED
from models.anyecg.chat.runtime import Small
from models.anyecg.chat.tokenizer import MARKERS, PAD, learn
from models.anyecg.chat.train import (
    GROUP,
    Batches,
    Recipe,
    Round,
    claim_networks,
    train_adapter,
    train_small,
)
from models.config import load
from models.errors import UsageError

ROOT = Path(__file__).resolve().parents[4]
WIDTH = 6
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}


def rounds(*steps: int, stage: int = 0) -> tuple[Round, ...]:
    """One a stage from `stage` on; what is left over is of the last one again."""
    return tuple(Round(stage=min(3, stage + i), steps=n) for i, n in enumerate(steps))


RECIPE = Recipe(rounds=rounds(6, 12, 9, 6, 4), averaged=2, batch=4, rate=3e-3, threads=1, shape=SHAPE)


def draw(stage: int, size: int, *seed: int, withheld: float = 0.0) -> list[Conversation]:
    generator = np.random.default_rng((stage, *seed))
    return [conversation(generator, int(generator.integers(1, max(1, stage) + 1))) for _ in range(size)]


def conversation(generator: np.random.Generator, ecgs: int) -> Conversation:
    rates = generator.integers(40, 180, size=ecgs).tolist()
    letters = "abcdef"[:ecgs]
    seconds = generator.integers(2, 30, size=ecgs)
    said = [f"ECG {letter}: rate {rate} [{letter}4]." for letter, rate in zip(letters, rates, strict=True)]
    return Conversation(
        ecgs=tuple(generator.normal(size=(s, WIDTH)).astype(np.float32) for s in seconds),
        evidence=tuple(f"{letter}4 RATE {rate}" for letter, rate in zip(letters, rates, strict=True)),
        turns=(("How fast?", "\n".join(["measure RATE", *said])),),
    )


def texts() -> Iterator[str]:
    for c in draw(3, 20, 7):
        yield from (*(c.evidence or ()), *(said for turn in c.turns for said in turn))


WORDS = learn(texts())


class KilledError(Exception):
    """The training was killed."""


def killed_at(step: int, stage: int):  # type: ignore[no-untyped-def]
    def draw_until(of: int, size: int, *seed: int, **_: float) -> list[Conversation]:
        if (of, seed[-1]) == (stage, step // GROUP) and size > 1:
            raise KilledError
        return draw(of, size, *seed)

    return draw_until


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.CHECKPOINT_EVERY", 4)
    whole = train_small(tmp_path / "whole", draw, RECIPE, texts())
    for stage in (1, 2):
        with pytest.raises(KilledError):
            train_small(tmp_path / "again", killed_at(8, stage), RECIPE, texts())
    again = train_small(tmp_path / "again", draw, RECIPE, texts())
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    for name in ("tokenizer.json", "connector.onnx", "decoder.onnx"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_what_was_trained_can_be_served_and_says_what_it_learned_from(tmp_path: Path) -> None:
    net = train_small(tmp_path, draw, RECIPE, texts(), "the data's hash")
    chat = Small(tmp_path)
    assert chat.metadata["data_sha256"] == "the data's hash"
    assert chat.model.startswith("anyecg-chat-small/6 ")
    given = draw(1, 1, 5)[0]
    lines = chat.ask(chat.prompt(given.ecgs, given.evidence), "How fast?", allow=lambda _: "measure RATE")
    assert next(lines) == "measure RATE"
    assert isinstance(net, EcgChat)


def test_the_weights_are_the_mean_of_the_last_rounds_ends(tmp_path: Path) -> None:
    net = train_small(tmp_path, draw, RECIPE, texts())
    last = len(RECIPE.rounds) - 1
    ends = [torch.load(tmp_path / f"round{n}.checkpoint", weights_only=True)["net"] for n in (last - 1, last)]
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, (ends[0][name] + ends[1][name]) / 2)
    assert not torch.equal(ends[0]["connector.start"], ends[1]["connector.start"])


def test_it_learns(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"rounds": rounds(6, 60, 30, 30, 4)})
    net = train_small(tmp_path, draw, recipe, texts())
    little = RECIPE.model_copy(update={"rounds": rounds(6, 1, 1, 1, 4)})
    before = train_small(tmp_path / "hardly", draw, little, texts())
    with torch.no_grad():
        loss, hardly = (Batches(draw, 3, recipe, WORDS).loss(n, 800).item() for n in (net, before))
    assert loss < hardly / 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
def test_an_accelerated_training_learns_as_another(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"rounds": rounds(6, 12, 4, 4)})
    plain = train_small(tmp_path / "plain", draw, recipe, texts())
    fast = train_small(tmp_path / "fast", draw, recipe.model_copy(update={"accelerated": True}), texts())
    with torch.no_grad():
        losses = [Batches(draw, 3, recipe, WORDS).loss(net, 800).item() for net in (plain, fast)]
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
    assert Small(tmp_path / "fast").model.startswith("anyecg-chat-small/")


def test_without_a_compiler_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match=r"install g\+\+"):
        train_small(tmp_path, draw, RECIPE.model_copy(update={"accelerated": True}), texts())


def test_another_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"rounds": rounds(6, 1, 1, 1, 4)})
    train_small(tmp_path, draw, recipe, texts())
    with pytest.raises(UsageError, match="another --out"):
        train_small(tmp_path, draw, recipe.model_copy(update={"seed": 5}), texts())


def test_readings_are_not_mixed_with_those_of_other_folds_or_eyes(tmp_path: Path) -> None:
    networks, out = [tmp_path / "folds.json", tmp_path / "dense.onnx"], tmp_path / "out"
    for file in networks:
        file.write_text("{}")
    claim_networks(out, networks)
    claim_networks(out, networks)
    for file in networks:
        file.write_text("others")
        with pytest.raises(UsageError, match="give another --out"):
            claim_networks(out, networks)
        file.write_text("{}")


def test_a_training_that_ended_after_a_stage_goes_on_with_the_next(tmp_path: Path) -> None:
    train_small(tmp_path / "parts", draw, RECIPE, texts(), last=1)
    assert not (tmp_path / "parts" / "round2.checkpoint").exists()
    parts = train_small(tmp_path / "parts", draw, RECIPE, texts())
    whole = train_small(tmp_path / "whole", draw, RECIPE, texts())
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_a_stage_that_no_round_has_is_told(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"rounds": rounds(1, stage=3)})
    with pytest.raises(UsageError, match="no round of stage 1"):
        train_small(tmp_path, draw, recipe, texts(), last=1)


def test_a_batch_depends_on_the_step_alone_and_holds_conversations_of_similar_length() -> None:
    drawn = [Batches(draw, 3, RECIPE, WORDS)._drawn(2) for _ in range(2)]
    for first, second in zip(*drawn, strict=True):
        for a, b in zip(first, second, strict=True):
            assert (a.ids == b.ids).all()
    lengths = [sorted(len(layout.ids) for layout in batch) for batch in drawn[0]]
    assert len(lengths) == GROUP
    ordered = sorted(lengths)
    assert all(a[-1] <= b[0] for a, b in pairwise(ordered))
    assert lengths != ordered


def test_padding_is_not_learned() -> None:
    layouts = Batches(draw, 3, RECIPE, WORDS)._drawn(0)[0]
    (ids, labels, _), ecgs = training.batch(layouts, WORDS.one(PAD))
    for row, layout in enumerate(layouts):
        assert (ids[row, : len(layout.ids)].numpy() == layout.ids).all()
        assert (ids[row, len(layout.ids) :] == WORDS.one(PAD)).all()
        assert (labels[row, len(layout.ids) :] == UNLEARNED).all()
    assert [len(ecg) for ecg in ecgs] == [len(ecg) for layout in layouts for ecg in layout.ecgs]


@pytest.fixture
def llm(tmp_path: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(1)
    shape = {**SHAPE, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": WORDS.size}
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(tmp_path / "llm")
    PreTrainedTokenizerFast(tokenizer_object=WORDS._inner).save_pretrained(tmp_path / "llm")
    return tmp_path / "llm"


def test_an_adapter_is_trained_but_in_stage_1_and_resumes(
    tmp_path: Path, llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.CHECKPOINT_EVERY", 4)
    markers = {name: (name,) for name in MARKERS}
    recipe = Recipe(
        size="full",
        rounds=rounds(12, 9, 6, stage=1),
        batch=4,
        threads=1,
        llm=llm,
        rank=2,
        markers=markers,
    )
    net = train_adapter(tmp_path / "whole", draw, recipe)
    with pytest.raises(KilledError):
        train_adapter(tmp_path / "again", killed_at(8, 2), recipe)
    train_adapter(tmp_path / "again", draw, recipe)
    for name in ("adapter_model.safetensors", "connector.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    stages = [
        torch.load(tmp_path / "whole" / f"round{n}.checkpoint", weights_only=True)["net"] for n in (0, 1)
    ]
    adapters = [{name for name in stage if "lora_" in name} for stage in stages]
    assert (len(adapters[0]), len(adapters[1])) == (0, 2 * 7 * SHAPE["num_hidden_layers"])
    assert not any("embed_tokens" in name for stage in stages for name in stage)
    loaded = load_adapter(load_llm(llm), load_words(llm, markers), tmp_path / "whole")
    layouts = Batches(draw, 3, RECIPE, WORDS)._drawn(0)[0]
    rows, ecgs = training.batch(layouts, WORDS.one(PAD))
    with torch.no_grad():
        assert net(*rows, ecgs) == loaded(*rows, ecgs)


def test_an_adapter_without_a_language_model_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="llm = "):
        train_adapter(tmp_path, draw, Recipe(size="full"))


@pytest.mark.parametrize("size", ["small", "smollm2", "full"])
def test_the_recipes_can_be_followed(size: str) -> None:
    recipe = load(ROOT / "models" / "recipes" / f"chat_{size}.toml", Recipe)
    assert recipe.size == size
    assert recipe == Recipe() if size == "small" else set(recipe.markers) == set(MARKERS)
