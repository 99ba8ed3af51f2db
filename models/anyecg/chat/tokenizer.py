"""Text as numbers: a byte-level BPE learned on the corpus, and the markers of a conversation.

Any other language model's tokenizer does as well: a marker is then one of its spare tokens, or several of the
tokens its chat template is made of. Text is never read as a marker, whatever it says. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

ECG, CONTENT, ECG_END = "<ecg>", "<content>", "</ecg>"  # overwritten by the connector's vectors
EVIDENCE, QUESTION, ANSWER, END, PAD = "<evidence>", "<question>", "<answer>", "<end>", "<pad>"
MARKERS = (ECG, CONTENT, ECG_END, EVIDENCE, QUESTION, ANSWER, END, PAD)
PLACEHOLDERS = (ECG, CONTENT, ECG_END)
VOCABULARY = 3800  # with more the wheel is larger than 30 MB
# A word or a digit with the space before it. A line that begins with a fact's id spends no token on that;
# every other line break is a token of its own, at which a line can be given or held to a pattern.
PIECES = r"\n\p{L}(?=\p{N})| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s"


class Tokenizer:
    """Encodes text, and only text; `markers` gives the tokens of each of MARKERS."""

    def __init__(self, inner: tokenizers.Tokenizer, markers: Mapping[str, tuple[int, ...]]) -> None:
        """ValueError where a marker is missing, or a placeholder is not a single token."""
        inner.encode_special_tokens = True  # "<end>" in a question is five characters, not the end
        self._inner = inner
        self._markers = dict(markers)
        missing = [name for name in MARKERS if not self._markers.get(name)]
        longer = [name for name in PLACEHOLDERS if len(self._markers.get(name, ())) != 1]
        if missing or longer:
            raise ValueError(f"markers without tokens: {missing}; placeholders not of one token: {longer}.")
        self.newline = self.encode("\n")[-1]

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """A `tokenizer.json` written by `save`."""
        return cls.own(tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")))

    @classmethod
    def own(cls, inner: tokenizers.Tokenizer) -> Tokenizer:
        """One whose vocabulary holds every marker."""
        ids = {name: inner.token_to_id(name) for name in MARKERS}
        return cls(inner, {name: (i,) for name, i in ids.items() if i is not None})

    def save(self, path: Path) -> None:
        staging = path.with_suffix(".new")
        staging.write_text(self._inner.to_str(), encoding="utf-8")
        staging.replace(path)  # a half of it would be kept by the next training

    @property
    def json(self) -> str:
        return self._inner.to_str()

    @property
    def size(self) -> int:
        return self._inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return list(self._inner.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without markers."""
        return self._inner.decode(list(ids), skip_special_tokens=True)

    def marker(self, name: str) -> list[int]:
        return list(self._markers[name])

    def one(self, name: str) -> int:
        """A marker's first token: its only one for placeholders."""
        return self._markers[name][0]


def learn(texts: Iterable[str], size: int = VOCABULARY) -> Tokenizer:
    """A tokenizer of at most `size` tokens, the markers first; digits stand alone. Deterministic."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(MARKERS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return Tokenizer.own(inner)
