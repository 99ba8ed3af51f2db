"""What came of a patch between two moments, and what was measured and found of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cloud.console.seen import Seen
from cloud.console.views import EpisodeView
from cloud.prints.events import Event
from cloud.prints.figures import Heart, heart, united
from cloud.prints.minutes import Minute, minutes_of
from cloud.prints.tracing import MOST_EPISODES, UnknownPatchError, placed
from cloud.store import Episode
from models.anyecg.evidence import Span
from models.verdicts import LABELS, Kind

DAY_S = 86_400.0


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

    @property
    def came(self) -> list[Span]:
        return united(stay.span for stay in self.stays)

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
    if not episodes and not any(patch.patch_id == patch_id for patch in seen.patches()):
        raise UnknownPatchError(f"There is no patch {patch_id} of which anything came.")
    rows = minutes_of(seen, patch_id, begin, end)
    return Day(patch_id=patch_id, begin=begin, end=end, stays=stays, minutes=rows, timeless=timeless)
