"""What came of a patch between two moments, and what was measured and found of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloud.console.seen import Seen
from cloud.console.views import EpisodeView
from cloud.prints.events import Event
from cloud.prints.figures import Heart, heart, intervals, united
from cloud.prints.minutes import Minute, minutes_of
from cloud.prints.tracing import MOST_EPISODES, UnknownPatchError, placed
from cloud.store import Episode
from cloud.symptoms import Symptom
from models.anyecg.evidence import Span
from models.verdicts import LABELS, Kind

DAY_S = 86_400.0
Cause = Mapping[str, Any]  # of an alert's history
SEAM_S = 5.0  # of two rows, by a clock that is better known later


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """What of an episode lies between the two moments."""

    view: EpisodeView
    first: int
    last: int

    @property
    def episode(self) -> Episode:
        return self.view.episode

    @property
    def span(self) -> Span:
        """Unix seconds."""
        return self.utc(self.first / self.episode.fs), self.utc((self.last + 1) / self.episode.fs)

    def utc(self, second: float) -> float:
        """Unix seconds of a second of the patch's own clock."""
        utc_0, clock_fs = self.episode.utc_0, self.episode.clock_fs
        assert utc_0 is not None
        assert clock_fs is not None
        return utc_0 + second * self.episode.fs / clock_fs

    def heart(self, within: Span | None = None) -> Heart:
        """Of it, or of what of it lies between two moments; nothing where no evidence is kept."""
        if self.view.evidence is None:
            return Heart()
        fs = self.episode.fs
        first, after = self.first / fs, (self.last + 1) / fs
        if within is not None:
            begin = self.utc(0.0)
            rate = (self.episode.clock_fs or fs) / fs
            first, after = max(first, (within[0] - begin) * rate), min(after, (within[1] - begin) * rate)
        return heart(self.view.evidence, (first, after), self.utc)

    def intervals(self) -> list[tuple[float, float]]:
        """(Unix seconds, ms) of its RR intervals; none where no evidence is kept."""
        if self.view.evidence is None:
            return []
        within = self.first / self.episode.fs, (self.last + 1) / self.episode.fs
        return [(self.utc(at), length) for at, length in intervals(self.view.evidence, within)]

    def events(self) -> Iterator[Event]:
        """Its findings, each cut to it."""
        for stored in self.view.findings:
            f = stored.finding
            is_beat = LABELS[f.label].kind is Kind.BEAT  # counted where its R peak is, and nowhere twice
            first, last = [int(f.evidence.get("r_peak", f.first))] * 2 if is_beat else (f.first, f.last)
            if first <= self.last and last >= self.first:
                cut = replace(f, first=max(f.first, self.first), last=min(f.last, self.last))
                yield Event(episode_id=self.episode.id, finding=cut, fs=self.episode.fs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """All that the report rests on."""

    patch_id: str
    begin: float  # Unix seconds
    end: float
    stays: Sequence[Stay]
    minutes: Sequence[Minute]
    timeless: int  # episodes of the patch whose clock is not known
    symptoms: Sequence[Symptom]

    @property
    def came(self) -> list[Span]:
        return united(stay.span for stay in self.stays)

    @property
    def heard(self) -> Span:
        """From the first to the last of which anything came."""
        rows = [(row.begin, row.begin + 60) for row in self.minutes]
        edges = [edge for span in (*self.came, *rows) for edge in span] or [self.begin]
        return min(edges), max(edges)

    @property
    def missing_s(self) -> float:
        """That did not reach the edge, by the rows."""
        return sum(row.missing_s for row in self.minutes)

    @property
    def unreadable_s(self) -> float:
        """By the rows."""
        return sum(row.unreadable_s for row in self.minutes)

    @property
    def unheard(self) -> list[Span]:
        """Of which there is no row, so that nothing is known of it."""
        rows = united((row.begin - SEAM_S, row.begin + 60 + SEAM_S) for row in self.minutes)
        edges = [self.begin, *(edge for span in rows for edge in span), self.end]
        return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]

    @property
    def unheard_s(self) -> float:
        return max(0.0, self.end - self.begin - 60 * len(self.minutes))

    @property
    def heart(self) -> Heart:
        return sum((stay.heart() for stay in self.stays), Heart())

    @property
    def events(self) -> list[Event]:
        return [event for stay in self.stays for event in stay.events()]


def gathered(seen: Seen, patch_id: str, begin: float, end: float) -> Day:
    """See `cloud.prints.day.day_report`; of a study it may be as long as that was."""
    stays = []
    for episode, (first, last) in placed(seen, patch_id, begin, end):
        view = EpisodeView.of(seen, episode.id)
        if view is not None:
            stays.append(Stay(view=view, first=first, last=last))
    episodes = seen.episodes(patch_id, MOST_EPISODES)
    timeless = sum(episode.utc_0 is None for episode in episodes)
    rows = minutes_of(seen, patch_id, begin, end)
    if not episodes and not rows and not any(patch.patch_id == patch_id for patch in seen.patches()):
        raise UnknownPatchError(f"There is no patch {patch_id} of which anything came.")
    return Day(
        patch_id=patch_id,
        begin=begin,
        end=end,
        stays=stays,
        minutes=rows,
        timeless=timeless,
        symptoms=seen.symptoms(patch_id, begin, end),
    )


def calls(seen: Seen, day: Day) -> tuple[list[Cause], list[Cause]]:
    """The causes for which nurses were called in that time, in its order, and those that a quiet rule covered
    when they came: what is suppressed now may have called before."""
    causes = [
        cause
        for stored in seen.alerts_of(day.patch_id)
        for cause in stored.alert.history
        if cause["utc"] is not None and day.begin <= cause["utc"] < day.end
    ]
    causes.sort(key=lambda cause: (cause["utc"], cause["label"]))
    return [cause for cause in causes if not cause.get("quiet")], [c for c in causes if c.get("quiet")]


def quieted(quiet: Sequence[Cause]) -> str:
    """How many causes called nobody when they came, and which."""
    counts = Counter(cause["label"] for cause in quiet)
    which = ", ".join(f"{count} {label} {LABELS[label].plain}" for label, count in sorted(counts.items()))
    return f"Under a quiet rule, so that nobody was called when they came: {which}."
