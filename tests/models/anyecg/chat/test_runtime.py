"""Answers line by line without torch: what is read once serves many questions, and nothing runs for ever."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID251 - a network under test

from models.anyecg.chat.export import export_small
from models.anyecg.chat.net import EcgChat, TorchDecoder, small
from models.anyecg.chat.prompt import LONGEST, asking, lay_out, opening
from models.anyecg.chat.runtime import DONE, UNSURE, Chat, OnnxDecoder, Small, UnfinishedError, _Answer
from models.anyecg.chat.tokenizer import ANSWER, CONTENT, ECG_END, END, EVIDENCE, MARKERS, QUESTION, learn
from models.anyecg.chat.tokenizer import ECG as ECG_START
from models.anyecg.chat.train import metadata
from models.errors import AnyEcgError, RecordingError

WIDTH = 6
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
WORDS = learn(["a4 RATE 72\nReport: mean rate 72/min [a4].\nHow fast is it? 0 1 3 4 5 6 8 9"] * 5)
PLAN, SENTENCE = "measure RATE", "mean rate 72/min [a4]."
FACTS = ["2 II V1 0-8\na4 RATE 72"]
ECG = np.random.default_rng(0).normal(size=(8, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> EcgChat:
    """One that has learned a single answer by heart, and another to one other question."""
    torch.manual_seed(0)
    net = small(WORDS, WIDTH, **SHAPE)
    learned = [
        lay_out(WORDS, [ECG], FACTS, (("How fast is it?", f"{PLAN}\n{SENTENCE}\n{SENTENCE}"),)),
        lay_out(WORDS, [ECG], FACTS, (("Report?", f"report\nReport: {SENTENCE}"),)),
    ]
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for step in range(120):
        layout = learned[step % 2]
        rows = (torch.from_numpy(row)[None] for row in (layout.ids, layout.labels, layout.turns))
        loss = net(*rows, [torch.from_numpy(ECG)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    return net.eval()


@pytest.fixture(scope="module")
def folder(net: EcgChat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    WORDS.save(folder / "tokenizer.json")
    export_small(net, folder, metadata(WORDS, "0"))
    return folder


@pytest.fixture(scope="module")
def chat(folder: Path) -> Small:
    return Small(folder)


def test_the_plan_comes_first_and_then_each_sentence(chat: Small) -> None:
    lines = chat.ask(chat.prompt([ECG], FACTS), "How fast is it?")
    assert next(lines) == PLAN
    assert list(lines) == [SENTENCE, SENTENCE]


def test_one_reading_serves_many_questions_even_at_once(chat: Small) -> None:
    state = chat.prompt([ECG], FACTS)
    first, second = chat.ask(state, "How fast is it?"), chat.ask(state, "Report?")
    assert [next(first), next(second)] == [PLAN, "report"]
    assert list(second) == [f"Report: {SENTENCE}"]
    assert list(first) == [SENTENCE, SENTENCE]
    assert list(chat.ask(state, "How fast is it?")) == [PLAN, SENTENCE, SENTENCE]


def test_a_plan_the_model_is_not_sure_of_is_a_question_not_understood(
    net: EcgChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsure = Chat(TorchDecoder(net), WORDS)
    state = unsure.prompt([ECG], FACTS)
    monkeypatch.setattr("models.anyecg.chat.runtime.SURE", 1.01)
    assert list(unsure.ask(state, "How fast is it?")) == [UNSURE]


def test_a_plan_is_as_sure_as_its_tokens_and_its_end_are_likely(chat: Small, net: EcgChat) -> None:
    answer = _Answer(chat._decoder, chat.prompt([ECG], FACTS).cache, 50, 50, None)
    answer.read(asking(WORDS, "Report it"))
    ids, chance = chat._line(answer, None)
    read = [*opening(WORDS, [len(ECG)], FACTS), *asking(WORDS, "Report it")]
    with torch.no_grad():
        logits = net.logits(torch.tensor([read + ids]), [torch.from_numpy(ECG)])[0, len(read) - 1 :]
    logits[:, chat._silent] = -torch.inf
    likely = logits.softmax(dim=1)
    end = likely[-1, [WORDS.newline, WORDS.marker(END)[-1]]].sum()
    wanted = likely[range(len(ids)), ids].prod() * end
    assert 0 < chance < 1
    assert chance == pytest.approx(wanted.item(), rel=1e-3)


def test_a_network_served_by_transformers_says_the_same(chat: Small, net: EcgChat) -> None:
    served = Chat(TorchDecoder(net), WORDS)
    state, other = served.prompt([ECG], FACTS), chat.prompt([ECG], FACTS)
    first, second = served.ask(state, "How fast is it?"), served.ask(state, "Report?")
    assert [next(first), next(second)] == [PLAN, "report"]
    assert list(second) == [f"Report: {SENTENCE}"]
    assert list(first) == [SENTENCE, SENTENCE]
    for question in ("How fast?", "Is it fast?", "Report it"):
        assert list(served.ask(state, question)) == list(chat.ask(other, question))


def test_it_says_what_transformers_would_say_without_a_cache(chat: Small, net: EcgChat) -> None:
    ids = lay_out(WORDS, [ECG], FACTS, (("How fast is it?", ""),)).ids.tolist()[:-1]
    asked = len(ids)
    silent = [WORDS.one(name) for name in MARKERS if name != END]
    with torch.no_grad():
        while ids[-1] != WORDS.one(END) and len(ids) < asked + 60:
            logits = net.logits(torch.tensor(ids)[None], [torch.from_numpy(ECG)])[0, -1]
            logits[silent] = float("-inf")
            ids.append(int(logits.argmax()))
    wanted = WORDS.decode(ids[asked:-1]).split("\n")
    said = list(chat.ask(chat.prompt([ECG], FACTS), "How fast is it?"))
    assert said == [line.strip() for line in wanted if line.strip()]


def test_a_line_can_be_given(chat: Small) -> None:
    def allow(lines: Sequence[str]) -> str | None:
        return "measure PR" if not lines else None

    lines = list(chat.ask(chat.prompt([ECG], FACTS), "How fast is it?", allow=allow))
    assert lines[0] == "measure PR"
    assert lines[1] == SENTENCE


def test_a_line_can_be_held_to_a_pattern(chat: Small) -> None:
    def allow(lines: Sequence[str]) -> re.Pattern[str] | None:
        return re.compile(r"mean rate 9[0-9]/min \[a4\]\.") if len(lines) == 1 else None

    plan, sentence, *_ = chat.ask(chat.prompt([ECG], FACTS), "How fast is it?", allow=allow)
    assert plan == PLAN
    assert re.fullmatch(r"mean rate 9[0-9]/min \[a4\]\.", sentence)


def test_a_pattern_that_is_none_is_an_error(chat: Small) -> None:
    lines = chat.ask(chat.prompt([ECG], FACTS), "How?", allow=lambda _: re.compile(r"(a)\1"))
    with pytest.raises(ValueError, match="no pattern a line can be held to"):
        next(lines)


def test_an_answer_that_does_not_end_in_its_tokens_or_its_time_says_so(chat: Small) -> None:
    state = chat.prompt([ECG], FACTS)
    whole = len(WORDS.encode(PLAN)) + 1
    lines = chat.ask(state, "How fast is it?", tokens=whole)
    assert next(lines) == PLAN
    with pytest.raises(UnfinishedError, match="within its tokens"):
        next(lines)
    late = chat.ask(state, "How fast is it?", until=time.monotonic())
    with pytest.raises(UnfinishedError, match="in its time"):
        next(late)
    assert issubclass(UnfinishedError, AnyEcgError)


def test_what_is_held_has_all_the_room_that_is_left(chat: Small) -> None:
    state = chat.prompt([ECG], FACTS)
    long = " ".join(["mean rate 72/min"] * 20)

    def allow(lines: Sequence[str]) -> str | re.Pattern[str]:
        return re.compile(long) if len(lines) == 1 else DONE if lines else long

    said = list(chat.ask(state, "How fast is it?", allow=allow, tokens=5))
    assert said == [long, long]
    with pytest.raises(UnfinishedError, match="within its tokens"):
        list(chat.ask(state, "How fast is it?", allow=lambda _: long, tokens=5))


def test_markers_in_a_question_or_in_evidence_are_read_as_characters(folder: Path) -> None:
    heard: list[int] = []

    class Listening(OnnxDecoder):
        def read(self, ids, given, cache):  # type: ignore[no-untyped-def]
            heard.extend(ids.tolist())
            return super().read(ids, given, cache)

    chat = Chat(Listening(folder), WORDS)
    written = "".join(MARKERS)
    next(chat.ask(chat.prompt([ECG], [written]), written, allow=lambda _: PLAN))
    markers = [WORDS.one(name) for name in MARKERS]
    assert [i for i in heard if i in markers] == opening_markers(len(ECG))


def opening_markers(seconds: int) -> list[int]:
    names = [ECG_START, *[CONTENT] * seconds, ECG_END, EVIDENCE, QUESTION, ANSWER]
    return [WORDS.one(name) for name in names]


def test_what_does_not_fit_is_refused_before_anything_is_said(chat: Small) -> None:
    long = np.zeros((LONGEST, WIDTH), dtype=np.float32)
    with pytest.raises(ValueError, match="are the most"):
        chat.prompt([long], None)
    state = chat.prompt([long[:1900]], None)
    with pytest.raises(ValueError, match="are the most"):
        next(chat.ask(state, "How fast is it?"))
    with pytest.raises(ValueError, match="with the evidence of 2"):
        chat.prompt([ECG], ["a", "b"])


def test_only_the_end_ends_and_no_marker_is_ever_said(folder: Path) -> None:
    """Whatever its logits are."""

    class Loud(OnnxDecoder):
        def read(self, ids, given, cache):  # type: ignore[no-untyped-def]
            logits, cache = super().read(ids, given, cache)
            logits = logits.copy()
            logits[[WORDS.one(name) for name in MARKERS if name != END]] = 99.0
            return logits, cache

    chat = Chat(Loud(folder), WORDS)
    assert list(chat.ask(chat.prompt([ECG], FACTS), "How fast is it?")) == [PLAN, SENTENCE, SENTENCE]


def test_every_second_and_every_fact_is_read(chat: Small) -> None:
    state = chat.prompt([ECG, ECG[:3]], [*FACTS, *FACTS])
    assert state.length == len(opening(WORDS, [8, 3], [*FACTS, *FACTS]))


def test_weights_beside_a_foreign_tokenizer_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("connector.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    learn(["another corpus"]).save(tmp_path / "tokenizer.json")
    with pytest.raises(RecordingError, match="another tokenizer"):
        Small(tmp_path)
    with pytest.raises(RecordingError, match="no language model"):
        Small(tmp_path / "nowhere")


def test_it_is_served_without_torch(folder: Path) -> None:
    code = f"""
import sys
import numpy as np
from pathlib import Path
from models.anyecg.chat.runtime import Small
chat = Small(Path({str(folder)!r}))
ecg = np.zeros((8, {WIDTH}), dtype=np.float32)
print(next(chat.ask(chat.prompt([ecg], ["a4 RATE 72"]), "How fast is it?", allow=lambda _: "report")))
print({{"torch", "transformers", "peft", "wfdb", "pandas"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["report", "set()"]
