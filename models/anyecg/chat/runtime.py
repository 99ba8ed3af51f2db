"""The language model at work: reads ECGs and their evidence once, answers questions line by line.

    chat = Small()
    state = chat.prompt(ecgs, evidence)
    for line in chat.ask(state, "Any premature beats?"): ...

The first line is the plan (`models.anyecg.chat.plans`), then come sentences, each as soon as it is complete.
A plan the model is not sure of is `decline unclear`: what it does not understand it does not answer as if it
were another question.
What is said here is unchecked: `models.anyecg.grounding` decides what is shown. numpy, ONNX Runtime and
tokenizers, one thread; `Chat` speaks with any `Decoder`.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.anyecg.chat.prompt import LONGEST, Floats, Ints, asking, fits, opening
from models.anyecg.chat.tokenizer import CONTENT, ECG, ECG_END, END, MARKERS, Tokenizer
from models.errors import AnyEcgError, RecordingError, UsageError

WEIGHTS = Path(__file__).parent
FILES = ("tokenizer.json", "connector.onnx", "decoder.onnx")
MOST_TOKENS = 400  # of an answer that nobody holds to anything
SURE = 0.5  # a plan that is not likelier than all others together is a question not understood
UNSURE = "decline unclear"
APART = "apart"  # metadata `questions` of a model that had a stage 0
Rule = str | re.Pattern[str] | None
DONE = ""  # the rule where all is said
Allow = Callable[[Sequence[str]], Rule]


class UnfinishedError(AnyEcgError):
    """An answer did not end in its time or its tokens; the lines given so far are whole."""


class Decoder(Protocol):
    """A language model and its connector; a cache is what it has read, and is never changed."""

    width: int  # D, numbers of a content token

    def connect(self, content: Floats) -> Floats:
        """(second, D) to (second + 2, hidden)."""

    def nothing(self) -> Any:
        """The cache before anything was read."""

    def read(self, ids: Ints, given: Floats | None, cache: Any) -> tuple[Floats, Any]:
        """Logits after the last of `ids`, and the cache with them; `given` holds the rows of placeholders."""


@dataclass(frozen=True, slots=True)
class State:
    """ECGs and evidence that were read; any number of questions start here."""

    cache: Any
    length: int  # tokens


class Chat:
    """Greedy answers of a decoder; `model` is its name in answers and reports, `encoder` the SHA-256 of the
    encoder whose content tokens it learned to read, `data` of the readings, as far as that was noted.

    `apart`: it has learned what questions mean of ECGs that are not shown, and understands them best so.
    """

    def __init__(
        self,
        decoder: Decoder,
        words: Tokenizer,
        longest: int = LONGEST,
        model: str = "anyecg-chat",
        *,
        apart: bool = False,
        encoder: str | None = None,
        data: str | None = None,
    ) -> None:
        self.model, self.apart, self.encoder, self.data = model, apart, encoder, data
        self._decoder, self._words, self._longest = decoder, words, longest
        self._newline, self._end = words.newline, words.marker(END)[-1]
        single = {words.one(name) for name in MARKERS if len(words.marker(name)) == 1}
        self._silent = np.array(sorted(single - {self._newline, self._end}))
        self._grammars: Any = None

    def prompt(self, ecgs: Sequence[Floats], evidence: Sequence[str] | None) -> State:
        """Reads ECGs (second, D) and the `prompt.text` of each one's evidence; None: without.

        Raises:
            UsageError: the model learned to read other content tokens.
            ValueError: they are too long together.
        """
        if strange := {ecg.shape[1] for ecg in ecgs} - {self._decoder.width}:
            raise UsageError(
                f"{self.model} reads content tokens of {self._decoder.width} numbers, these have "
                f"{min(strange)}: its weights, encoder and readings are not of one training."
            )
        ids = np.array(opening(self._words, [len(ecg) for ecg in ecgs], evidence), dtype=np.int64)
        fits(len(ids), self._longest)
        rows = np.concatenate([self._decoder.connect(ecg) for ecg in ecgs])
        given = np.zeros((len(ids), rows.shape[1]), dtype=np.float32)
        given[np.isin(ids, [self._words.one(name) for name in (ECG, CONTENT, ECG_END)])] = rows
        _, cache = self._decoder.read(ids, given, self._decoder.nothing())
        return State(cache, len(ids))

    def ask(
        self,
        state: State,
        question: str,
        *,
        allow: Allow | None = None,
        tokens: int = MOST_TOKENS,
        until: float | None = None,
    ) -> Iterator[str]:
        """The lines of the answer. `allow(lines so far)` may hold the next line to a text or a pattern, or
        end the answer; what is held has all the room that is left.

        Raises:
            UnfinishedError: after `tokens` of other lines, where there is no more room, or at `until` (of
                time.monotonic), before the answer's end.
            ValueError: no room for a question and an answer of that length.
        """
        asked = asking(self._words, question)
        before = state.length + len(asked)
        fits(before + tokens, self._longest)
        answer = _Answer(self._decoder, state.cache, tokens, self._longest - before, until)
        answer.read(asked)
        lines: list[str] = []
        while not answer.ended:
            rule = allow(lines) if allow else None
            if rule == DONE:
                return
            ids, chance = self._said(answer, rule) if isinstance(rule, str) else self._line(answer, rule)
            if line := self._words.decode(ids).strip():
                lines.append(line)
                if len(lines) == 1 and chance < SURE:
                    yield UNSURE
                    return
                yield line

    def _said(self, answer: _Answer, text: str) -> tuple[list[int], float]:
        """A line that is given; whoever gives it says when all is said."""
        ids = self._words.encode(text)
        answer.spend([*ids, self._newline], held=True)
        return ids, 1.0

    def _line(self, answer: _Answer, pattern: re.Pattern[str] | None) -> tuple[list[int], float]:
        """The likeliest tokens up to a line break or the end, and their probability; of a pattern, only those
        that keep to it."""
        matcher, held = self._matcher(pattern) if pattern else None, bool(pattern)
        ids: list[int] = []
        chance = 1.0
        while True:
            logits = answer.logits.copy()
            logits[self._silent] = -np.inf
            if matcher is not None:
                logits[~matcher.allowed(len(logits))] = -np.inf
            token = int(logits.argmax())
            ends = token in {self._newline, self._end}
            others = logits[[self._newline, self._end]] if ends else logits[token]
            chance *= float(np.exp(others - logits[token]).sum() / np.exp(logits - logits[token]).sum())
            if ends:
                self._close(answer, token, held=held)
                return ids, chance
            ids.append(token)
            answer.spend([token], held=held)
            if matcher is not None:
                matcher.consume(token)

    def _close(self, answer: _Answer, token: int, *, held: bool) -> None:
        answer.ended = token == self._end
        if not answer.ended:
            answer.spend([token], held=held)

    def _matcher(self, pattern: re.Pattern[str]) -> _Matcher:
        if self._grammars is None:
            from llguidance import LLTokenizer

            self._grammars = LLTokenizer(self._words.json, eos_token=self._end)
        return _Matcher(self._grammars, pattern.pattern, self._newline, self._end)


class Small(Chat):
    """The shipped model, or the one in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or WEIGHTS
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise RecordingError(f"{folder} holds no language model: {', '.join(missing)} missing.")
        words = Tokenizer.from_file(folder / "tokenizer.json")
        decoder = OnnxDecoder(folder)
        if decoder.metadata["tokenizer_sha256"] != hashlib.sha256(words.json.encode()).hexdigest():
            raise RecordingError(f"{folder}: decoder.onnx was trained with another tokenizer.json.")
        name = f"{decoder.metadata['name']}/{decoder.metadata['version']} {decoder.sha256[:8]}"
        apart = decoder.metadata.get("questions") == APART
        data = decoder.metadata.get("data_sha256")
        super().__init__(decoder, words, model=name, apart=apart, encoder=decoder.encoder, data=data)
        self.metadata = decoder.metadata


class OnnxDecoder:
    """`connector.onnx` and `decoder.onnx` of a folder (`models.anyecg.chat.export`)."""

    metadata: Mapping[str, str]

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        files = [(folder / f"{name}.onnx").read_bytes() for name in ("connector", "decoder")]
        self._connector, self._decoder = (
            onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]) for file in files
        )
        self.sha256 = hashlib.sha256(b"".join(files)).hexdigest()
        self.metadata = self._decoder.get_modelmeta().custom_metadata_map
        self.encoder = self._connector.get_modelmeta().custom_metadata_map.get("encoder_sha256")
        self.width = int(self._connector.get_inputs()[0].shape[1])
        self._hidden = int(self._decoder.get_inputs()[1].shape[1])
        heads = int(self.metadata["key_heads"])
        self._shapes = {i.name: (heads, 0, i.shape[2]) for i in self._decoder.get_inputs()[2:]}

    def connect(self, content: Floats) -> Floats:
        (rows,) = self._connector.run(None, {"content": np.ascontiguousarray(content, dtype=np.float32)})
        return np.asarray(rows)

    def nothing(self) -> list[Any]:
        return [_value(np.zeros(shape, dtype=np.float32)) for shape in self._shapes.values()]

    def read(self, ids: Ints, given: Floats | None, cache: Any) -> tuple[Floats, Any]:
        if given is None:
            given = np.zeros((len(ids), self._hidden), dtype=np.float32)
        inputs = {"ids": _value(ids), "given": _value(given), **dict(zip(self._shapes, cache, strict=True))}
        logits, *present = self._decoder.run_with_ort_values(None, inputs)
        return logits.numpy(), present


def _value(array: Floats | Ints) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


class _Answer:
    """One answer on its way: what was read, what may come next, and what is left to spend."""

    logits: Floats

    def __init__(self, decoder: Decoder, cache: Any, free: int, room: int, until: float | None) -> None:
        self._decoder, self._cache = decoder, cache
        self._free, self._room, self._until = free, room, until
        self.ended = False

    def spend(self, ids: Sequence[int], *, held: bool) -> None:
        """Reads tokens of the answer itself."""
        self._room -= len(ids)
        self._free -= 0 if held else len(ids)
        if min(self._room, self._free) < 0:
            raise UnfinishedError("The answer did not end within its tokens; what it lacks is not said.")
        self.read(ids)

    def read(self, ids: Sequence[int]) -> None:
        if self._until is not None and time.monotonic() >= self._until:
            raise UnfinishedError("The answer did not end in its time; what it lacks is not said.")
        self.logits, self._cache = self._decoder.read(np.array(ids, dtype=np.int64), None, self._cache)


class _Matcher:
    """Which tokens may follow in a line that keeps to a pattern; a line break where it may end."""

    def __init__(self, grammars: Any, pattern: str, newline: int, end: int) -> None:
        from llguidance import LLMatcher

        self._matcher = LLMatcher(grammars, LLMatcher.grammar_from_regex(pattern))
        if self._matcher.is_error():
            raise ValueError(f"{pattern!r} is no pattern a line can be held to: {self._matcher.get_error()}")
        self._newline, self._end = newline, end

    def allowed(self, vocabulary: int) -> npt.NDArray[np.bool_]:
        """(vocabulary,)"""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, count=vocabulary, bitorder="little").astype(np.bool_)
        allowed[self._newline] = allowed[self._end] = self._matcher.is_accepting()
        return allowed

    def consume(self, token: int) -> None:
        self._matcher.consume_token(token)
