"""Training of anyECG-chat: three stages, each a mixture of conversations that replays the earlier ones.

    anyecg train chat --out DIR        (reads ANYECG_DATA)

1 reports; 2 localization and questions too; 3 several ECGs too; a model from scratch begins with 0, what
questions mean. A recipe lists its rounds, each of one stage. `draw(stage, size, seed, number,
withheld=share)` gives the conversations; the same arguments give the same ones. DIR receives a checkpoint a
round, from which a killed training goes on, and what is shipped: `tokenizer.json`, `connector.onnx` and
`decoder.onnx` of the small model, or the adapter and the connector of another.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch  # noqa: TID251 - a training file
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor  # noqa: TID251
from torch.nn.utils.rnn import pad_sequence  # noqa: TID251

from models.anyecg.chat.corpus import WITHHELD, Conversation
from models.anyecg.chat.export import export_small
from models.anyecg.chat.net import EcgChat, chat, load_llm, load_words, save_adapter, small, with_lora
from models.anyecg.chat.prompt import UNLEARNED, Ints, Layout, lay_out
from models.anyecg.chat.readings import eyes_digest
from models.anyecg.chat.runtime import APART
from models.anyecg.chat.tokenizer import PAD, Tokenizer, learn
from models.errors import UsageError
from models.training import DEVICE, Muon, adamw, claim, fit

VERSION = "6"
STAGES = (0, 1, 2, 3)
GROUP = (
    8  # batches drawn together and sorted by length: little padding, and a batch depends on its step alone
)
AFRESH = 1_000_000  # added to the seed for each earlier round of the same stage: other conversations
Draw = Callable[..., Sequence[Conversation]]


class Round(BaseModel):
    """So many steps of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: Literal[0, 1, 2, 3]
    steps: int = Field(ge=1)
    replayed: float = Field(0.0, ge=0, le=1, description="share of the conversations that are of stage 0")
    withheld: float = Field(WITHHELD, ge=0, le=1, description="of the others, without their evidence")
    rate: float | None = Field(None, gt=0, description="highest learning rate; absent: the recipe's")
    optimiser: Literal["adamw", "muon"] = "adamw"


ROUNDS = (
    Round(stage=0, steps=5000, rate=8e-3, optimiser="muon"),
    Round(stage=0, steps=1200, rate=4e-3, optimiser="muon"),
    Round(stage=1, steps=32, replayed=0.5, optimiser="muon"),
    Round(stage=2, steps=700, replayed=0.3, withheld=0.85, rate=3e-3, optimiser="muon"),
    Round(stage=3, steps=500, replayed=0.5, withheld=0.6, rate=2e-3, optimiser="muon"),
    Round(stage=2, steps=350, replayed=0.3, withheld=0.65, rate=2e-3, optimiser="muon"),
    Round(stage=3, steps=2400, replayed=0.875, withheld=0.65, rate=3e-3, optimiser="muon"),
    Round(stage=3, steps=200, replayed=0.5, withheld=0.6, rate=1.5e-3, optimiser="muon"),
)


class Recipe(BaseModel):
    """How long and how much; the figures of CARD.md are those of models/recipes/chat_small.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    size: Literal["small", "smollm2", "full"] = "small"
    seed: int = 0
    rounds: tuple[Round, ...] = Field(ROUNDS, min_length=1, description="in order")
    averaged: int = Field(3, ge=1, description="the weights are the mean of so many rounds' ends, the last")
    batch: int = Field(16, ge=1, description="conversations a step")
    rate: float = Field(1e-3, gt=0, description="highest learning rate")
    threads: int = Field(2, ge=1)
    accelerated: bool = Field(
        default=False, description="bfloat16 and torch.compile, for a processor with AMX and a C++ compiler"
    )
    shape: Mapping[str, int] = Field(default_factory=dict, description="of `small`, over net.SMALL")
    llm: Path | None = Field(None, description="folder of the language model, for smollm2 and full")
    gguf: str | None = Field(None, description="file in that folder")
    dtype: str = "float32"
    four_bit: bool = False
    rank: int = Field(16, ge=1, description="of the adapter")
    markers: Mapping[str, tuple[int | str, ...]] = Field(
        default_factory=dict, description="tokens of the language model that mark ECGs and turns"
    )


def train_small(
    out: Path,
    draw: Draw,
    recipe: Recipe,
    texts: Iterable[str],
    data_sha256: str = "",
    last: int = STAGES[-1],
) -> EcgChat:
    """The bundled model from scratch; writes `tokenizer.json`, `connector.onnx` and `decoder.onnx`.

    A tokenizer that is there is kept: the weights of a killed training belong to it.
    """
    _begin(out, recipe, data_sha256)
    vocabulary = out / "tokenizer.json"
    if not vocabulary.is_file():
        learn(texts).save(vocabulary)
    words = Tokenizer.from_file(vocabulary)

    def build() -> EcgChat:
        return small(words, _width(draw, recipe), **recipe.shape)

    net = rounds(out, build, draw, recipe, words, last)
    export_small(net, out, metadata(words, data_sha256, eyes_digest(out)))
    return net


def metadata(words: Tokenizer, data_sha256: str, encoder_sha256: str = "") -> dict[str, Any]:
    """What a reader of the files must know; content comes once a second."""
    named = {"name": "anyecg-chat-small", "version": VERSION, "fs": 1.0, "licence": "Apache-2.0"}
    return named | {
        "questions": APART,
        "data_sha256": data_sha256,
        "tokenizer_sha256": hashlib.sha256(words.json.encode()).hexdigest(),
        "encoder_sha256": encoder_sha256,
    }


def train_adapter(
    out: Path, draw: Draw, recipe: Recipe, data_sha256: str = "", last: int = STAGES[-1]
) -> EcgChat:
    """An adapter and a connector for the language model in `recipe.llm`; writes them into `out`."""
    if recipe.llm is None:
        raise UsageError("A recipe of this size names the folder of its language model: llm = ...")
    _begin(out, recipe, data_sha256)
    words = load_words(recipe.llm, recipe.markers, recipe.gguf)
    folder = recipe.llm

    def build() -> EcgChat:  # within `fit`: an adapter begins at random
        llm = with_lora(load_llm(folder, recipe.gguf, recipe.dtype, recipe.four_bit), recipe.rank)
        return chat(llm, words, _width(draw, recipe))

    net = rounds(out, build, draw, recipe, words, last)
    save_adapter(net, out, eyes_digest(out))
    return net


def rounds(
    out: Path,
    build: Callable[[], EcgChat],
    draw: Draw,
    recipe: Recipe,
    words: Tokenizer,
    last: int = STAGES[-1],
) -> EcgChat:
    """The rounds in order, each from where the one before ended, and the mean of the last ends; `last` is the
    last stage wanted."""
    net, ends = None, deque[dict[str, Tensor]](maxlen=recipe.averaged)
    begin = partial(_accelerated, build) if recipe.accelerated else build
    for number, one in enumerate(takewhile(lambda one: one.stage <= last, recipe.rounds)):
        net = fit(
            out / f"round{number}.checkpoint",
            partial(_learning, begin if net is None else partial(_same, net), one.stage),
            Batches(draw, number, recipe, words).loss,
            steps=one.steps,
            seed=recipe.seed + number,
            rate=one.rate or recipe.rate,
            by=Muon if one.optimiser == "muon" else adamw,
        )
        ends.append({k: p.detach().clone() for k, p in net.named_parameters() if p.requires_grad})
    if net is None:
        raise UsageError(f"The recipe has no round of stage {last} or before.")
    return _averaged(net, ends)


@torch.no_grad()
def _averaged(net: EcgChat, ends: Sequence[Mapping[str, Tensor]]) -> EcgChat:
    """With the mean of what each of the rounds learned."""
    for name, parameter in net.named_parameters():
        if all(name in end for end in ends):
            parameter.copy_(torch.stack([end[name] for end in ends]).mean(dim=0))
    return net


def _same(net: EcgChat) -> EcgChat:
    return net


def _accelerated(build: Callable[[], EcgChat]) -> EcgChat:
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise UsageError(
            "accelerated = true needs a C++ compiler: install g++, or leave it out of the recipe."
        )
    net = build()
    net.llm.set_attn_implementation("eager")  # in bfloat16 the fused one has a slow way back
    net.llm.compile(dynamic=True)
    return net


def _learning(build: Callable[[], EcgChat], stage: int) -> EcgChat:
    """What learns in a stage, as in the paper: all of a model from scratch; beside a given language model the
    connector always, its adapter but in stage 1, the encoder before stage 3."""
    net = build()
    adapters = [p for name, p in net.llm.named_parameters() if "lora_" in name]
    for parameter in adapters:
        parameter.requires_grad_(stage != 1)
    if net.encoder is not None:
        net.encoder.requires_grad_(stage < STAGES[-1])
    return net


class Batches:
    """The loss of each step of a round, which depends on the seed and the step alone."""

    def __init__(self, draw: Draw, number: int, recipe: Recipe, words: Tokenizer) -> None:
        self._draw, self._recipe, self._words = draw, recipe, words
        self._round = recipe.rounds[number]
        before = sum(one.stage == self._round.stage for one in recipe.rounds[:number])
        self._seed = recipe.seed + before * AFRESH
        self._group: tuple[int, list[list[Layout]]] = (-1, [])

    def loss(self, net: EcgChat, step: int) -> Tensor:
        number, place = divmod(step, GROUP)
        if self._group[0] != number:
            self._group = (number, self._drawn(number))
        rows, ecgs = batch(self._group[1][place], self._words.one(PAD))
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self._recipe.accelerated):
            loss: Tensor = net(*(row.to(DEVICE) for row in rows), [ecg.to(DEVICE) for ecg in ecgs])
        return loss

    def _drawn(self, number: int) -> list[list[Layout]]:
        """GROUP batches of conversations of similar length, in random order."""
        size, seed, one = self._recipe.batch, self._seed, self._round
        again = round(one.replayed * size * GROUP)
        drawn = [
            *self._draw(one.stage, size * GROUP - again, seed, number, withheld=one.withheld),
            *(self._draw(STAGES[0], again, seed, one.stage, number) if again else ()),
        ]
        layouts = [lay_out(self._words, c.ecgs, c.evidence, c.turns) for c in drawn]
        layouts.sort(key=lambda layout: len(layout.ids))
        batches = [layouts[i : i + size] for i in range(0, len(layouts), size)]
        order = np.random.default_rng((seed, one.stage, number)).permutation(GROUP)
        return [batches[i] for i in order]


def batch(layouts: Sequence[Layout], pad: int) -> tuple[tuple[Tensor, Tensor, Tensor], list[Tensor]]:
    """ids, labels and turns (row, token), padded on the right, and the ECGs of all rows in reading order."""

    def padded(rows: Iterable[Ints], value: int) -> Tensor:
        return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=value)

    ids = padded((layout.ids for layout in layouts), pad)
    labels = padded((layout.labels for layout in layouts), UNLEARNED)
    turns = padded((layout.turns for layout in layouts), 0)
    return (ids, labels, turns), [torch.from_numpy(ecg) for layout in layouts for ecg in layout.ecgs]


def _width(draw: Draw, recipe: Recipe) -> int:
    """Of a content token."""
    (conversation,) = draw(STAGES[-1], 1, recipe.seed, 0)
    return int(conversation.ecgs[0].shape[1])


def claim_networks(out: Path, files: Iterable[Path]) -> None:
    """Notes by which folds and eyes the readings in OUT are made; UsageError where they are of others."""
    claim(out / "networks.json", {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})


def _begin(out: Path, recipe: Recipe, data_sha256: str) -> None:
    torch.set_num_threads(recipe.threads)
    run = {"data": data_sha256, "version": VERSION, **recipe.model_dump(mode="json", exclude={"threads"})}
    claim(out / "chat.json", run)
