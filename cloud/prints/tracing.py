"""What is drawn or exported: consecutive samples of a patch, what lacks in them, and what was found.

A stretch is asked for as on the page: in seconds of the patch's own clock (sample 0 is second 0), or in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cloud.annotations import Annotation
from cloud.ask import UnknownEpisodeError
from cloud.console.seen import Seen
from cloud.console.views import moment
from cloud.reading import between
from cloud.sqlite_store import SqliteStore
from cloud.store import Episode
from models.ecg import Clock, Counts, Mask, Segment, mask_to_spans, read_only
from models.errors import AnyEcgError, UsageError
from models.verdicts import Finding

LEAST_S = 0.5  # a stretch shorter than this shows nothing
MOST_EPISODES = 100_000  # of one patch, looked through for a time
YEARS = range(1970, 9000)  # that every calendar and every time zone can say


class UnknownPatchError(AnyEcgError):
    """Nothing was ever heard of such a patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """Samples of every lead from `first` on, 0 where `missing`; the findings are those that touch them."""

    patch_id: str
    boot_id: int
    first: int
    fs: float  # nominal Hz
    leads: tuple[str, ...]
    counts: Counts  # int32 (lead, sample)
    uv_per_count: tuple[float, ...]  # microvolts, one per lead
    missing: Mask  # (sample,): no sample came
    clock: Clock
    lead_off: tuple[tuple[int, int], ...] = ()  # (first, count) where any lead was reported off
    findings: tuple[Finding, ...] = ()
    people: tuple[Annotation, ...] = ()  # what people marked, in order

    @property
    def last(self) -> int:
        return self.first + int(self.counts.shape[1]) - 1

    @property
    def seconds(self) -> tuple[float, float]:
        """Begin and end on the patch's own clock."""
        return self.first / self.fs, (self.last + 1) / self.fs

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """(first, count), absolute sample indices."""
        return mask_to_spans(self.missing, self.first)

    def cut(self, first: int, last: int) -> Tracing:
        """What of it lies between two samples, both included."""
        first, last = max(first, self.first), min(last, self.last)
        inside = slice(first - self.first, last + 1 - self.first)
        return replace(
            self,
            first=first,
            counts=read_only(self.counts[:, inside]),
            missing=self.missing[inside],
            findings=tuple(f for f in self.findings if f.first <= last and f.last >= first),
            people=tuple(p for p in self.people if p.mark.first <= last and p.mark.last >= first),
        )

    def with_leads(self, names: Sequence[str]) -> Tracing:
        """Only these leads, in this order; UsageError where one is not there."""
        for name in names:
            if name not in self.leads:
                raise UsageError(f"There is no lead '{name}': this recording has {', '.join(self.leads)}.")
        chosen = [self.leads.index(name) for name in names]
        return replace(
            self,
            leads=tuple(names),
            counts=read_only(self.counts[chosen]),
            uv_per_count=tuple(self.uv_per_count[i] for i in chosen),
        )


def of_episode(seen: Seen, episode_id: str, begin: float | None = None, end: float | None = None) -> Tracing:
    """An episode, or what of it lies between two seconds of the patch's own clock.

    Raises:
        UnknownEpisodeError: there is no such episode.
        UsageError: too little of it lies between them.
    """
    episode = seen.episode(episode_id)
    if episode is None:
        raise UnknownEpisodeError(f"There is no episode {episode_id}.")
    fs = episode.fs
    first = episode.first if begin is None else max(episode.first, _sample(begin, fs))
    last = episode.last if end is None else min(episode.last, _sample(end, fs) - 1)
    if last + 1 - first < LEAST_S * fs:
        held = f"{episode.first / fs:.1f} to {(episode.last + 1) / fs:.1f} s"
        raise UsageError(
            f"Episode {episode_id} lasts from {held}: of what was asked for it holds too little."
        )
    return _traced(seen, episode, first, last)


def of_patch(seen: Seen, patch_id: str, begin: float, end: float) -> Iterator[Tracing]:
    """What came of a patch between two moments, Unix seconds: a tracing an episode, oldest first.

    Raises:
        UsageError: nothing came, or the moments are in the wrong order.
    """
    episodes = placed(seen, patch_id, begin, end)
    for episode, (first, last) in episodes:
        yield _traced(seen, episode, first, last)
    if not episodes:
        raise UsageError(f"Of patch {patch_id} nothing came between {moment(begin)} and {moment(end)}.")


def placed(seen: Seen, patch_id: str, begin: float, end: float) -> list[tuple[Episode, tuple[int, int]]]:
    """The episodes that overlap two moments, oldest first, with the first and last sample that lies between.

    An episode whose clock is not known has no place in time. UsageError where `begin` is not before `end`.
    """
    if not begin < end:
        raise UsageError(f"A stretch begins before it ends: {moment(begin)} is not before {moment(end)}.")
    out = []
    for episode in seen.episodes(patch_id, MOST_EPISODES):
        if episode.utc_0 is None or not episode.clock_fs:
            continue
        ends = [round((moment - episode.utc_0) * episode.clock_fs) for moment in (begin, end)]
        first, last = max(episode.first, ends[0]), min(episode.last, ends[1] - 1)
        if first <= last:
            out.append((episode, (first, last)))
    return sorted(out, key=lambda row: (row[0].utc(row[0].first), row[0].id))


def open_kept(url: str) -> SqliteStore:
    """The store behind a URL, which is there; UsageError where it is not, instead of an empty new one."""
    from cloud.store import open_store

    path = Path(url.partition(":///")[2])
    if url.startswith("sqlite:///") and not path.is_file():
        raise UsageError(f"There is no store {path}: give the node's own file, --config cloud.toml.")
    return open_store(url)


def utc_of(text: str) -> float:
    """Unix seconds of `2026-05-01T10:00:00+02:00`; without an offset it is UTC. UsageError for other text."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.year not in YEARS:
        raise UsageError(f"'{text[:40]}' is no moment: write 2026-05-01T10:00:00+00:00.")
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _sample(second: float, fs: float) -> int:
    if not abs(second) < 1e9:  # after its boot a patch has no samples: 30 years
        raise UsageError(f"{second:g} s is no time of a recording.")
    return round(second * fs)


def _traced(seen: Seen, episode: Episode, first: int, last: int) -> Tracing:
    parts = list(between(seen.parts(episode.id), first, last))
    counts, missing = _joined(parts, episode, first, last)
    found = (stored.finding for stored in seen.findings(episode.id))
    marked = seen.annotations(episode.id)
    return Tracing(
        patch_id=episode.patch_id,
        boot_id=episode.boot_id,
        first=first,
        fs=episode.fs,
        leads=episode.leads,
        counts=counts,
        uv_per_count=parts[0].uv_per_count if parts else (1.0,) * len(episode.leads),
        missing=missing,
        lead_off=tuple(span for part in parts for span in part.lead_off),
        findings=tuple(f for f in found if f.first <= last and f.last >= first),
        people=tuple(p for p in marked if p.mark.first <= last and p.mark.last >= first),
        clock=Clock(utc_0=episode.utc_0, fs=episode.clock_fs),
    )


def _joined(parts: Sequence[Segment], episode: Episode, first: int, last: int) -> tuple[Counts, Mask]:
    """What came between two samples: where no part did, it is missing as in a gap."""
    counts = np.zeros((len(episode.leads), last + 1 - first), dtype=np.int32)
    missing = np.ones(last + 1 - first, dtype=np.bool_)
    for part in parts:
        here = slice(part.first - first, part.last + 1 - first)
        counts[:, here], missing[here] = part.counts, part.missing
    return read_only(np.where(missing, 0, counts)), read_only(missing)
