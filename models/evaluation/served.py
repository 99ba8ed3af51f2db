"""What the serving code said of a recording: the noun that every figure is made from.

`models` knows neither edge nor cloud: whoever composes them (anyecg.py) hands over a `Serve`, which folds the
streaming path over a recording, as a rule with every window sent, so that everything is analysed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.ecg import boot_id_of, read_only, spans_to_mask
from models.evaluation.spans import Span
from models.recordings import Recording, make_recording
from models.verdicts import Screening

JOIN_S = 3.0
STEP_S = 0.5  # of the rhythm's probabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidBeat:
    """A beat as served; one that lies in a stretch called unreadable is not said to anybody."""

    r: int  # sample of the R peak
    label: str  # N, S, V, F or Q
    morphology: str | None = None  # L, R or PACED
    readable: bool = True
    chances: Mapping[str, float] = field(default_factory=dict)  # label -> probability, as far as given


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidEpisode:
    """A rhythm as served, parts of one stretch joined; both samples inclusive."""

    label: str  # a rhythm of models.verdicts.LABELS
    first: int
    last: int
    evident: int  # sample with which its rule's evidence was complete
    said: int  # last sample that had been heard when it was first said
    alarm: bool = False  # a nurse is called at high priority
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Everything said of one recording, in sample order."""

    fs: float  # Hz
    samples: int
    models: tuple[str, ...]  # the networks' versions
    beats: tuple[SaidBeat, ...]
    episodes: tuple[SaidEpisode, ...]
    windows: tuple[Screening, ...]  # the edge's own verdicts: hop 5 s, flagged as it would have flagged
    unreadable: tuple[Span, ...]  # stretches in which nothing is said
    rhythm: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # probability every STEP_S


Serve = Callable[[Recording], Served]


def laid_out(episodes: Iterable[tuple[float, Mapping[str, Sequence[float]]]]) -> dict[str, tuple[float, ...]]:
    """(second at which an episode begins, its steps by label) on the recording's own grid, 0 between them."""
    out: dict[str, list[float]] = {}
    for begins, chances in episodes:
        for label, values in chances.items():
            row = out.setdefault(label, [])
            at = round(begins / STEP_S)
            row[at:] = [*([0.0] * (at - len(row))), *values]
    return {label: tuple(row) for label, row in out.items()}


def joined(episodes: Iterable[SaidEpisode], seams: Iterable[int], reach: int) -> tuple[SaidEpisode, ...]:
    """Rhythms on both sides of a seam (a sample with which the edge began a new episode) and at most `reach`
    samples apart are one: 5 min end an episode of the edge, not a rhythm."""
    edges = sorted(seams)
    out: dict[str, list[SaidEpisode]] = {}
    for episode in sorted(episodes, key=lambda e: e.first):
        row = out.setdefault(episode.label, [])
        near = bool(row) and episode.first - row[-1].last <= reach
        if near and any(row[-1].last < edge <= episode.first for edge in edges):
            before = row.pop()
            row.append(
                replace(
                    before,
                    last=max(before.last, episode.last),
                    evident=min(before.evident, episode.evident),
                    said=min(before.said, episode.said),
                    alarm=before.alarm or episode.alarm,
                )
            )
        else:
            row.append(episode)
    return tuple(sorted((e for row in out.values() for e in row), key=lambda e: (e.first, e.label)))


def zeroed(recording: Recording) -> Recording:
    """The same leads and length with nothing in them: what is said of it is said blindly."""
    counts = read_only(np.zeros_like(recording.counts))
    return replace(recording, counts=counts, boot_id=boot_id_of(counts), gaps=(), lead_off=())


def cut(recording: Recording, first: int, last: int, leads: Iterable[int] | None = None) -> Recording:
    """The stretch alone, sample `first` becoming sample 0, of all leads or of those at the indices."""
    kept = list(range(len(recording.leads))) if leads is None else list(leads)
    count = last + 1 - first
    nowhere = spans_to_mask(recording.gaps, first, count)
    missing = np.stack(
        [
            nowhere
            | spans_to_mask([(a, n) for lead, a, n in recording.lead_off if lead == name], first, count)
            for name in (recording.leads[i] for i in kept)
        ]
    )
    return make_recording(
        recording.patch_id,
        recording.fs,
        [recording.leads[i] for i in kept],
        recording.counts[kept, first : last + 1],
        [recording.uv_per_count[i] for i in kept],
        missing=missing,
        path=recording.path,
    )
