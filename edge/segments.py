"""Windows, episodes and parts: which stretches of the stream are sent to the cloud.

A pure object: `push(item)` takes the stream in sample order and returns what it decided, `flush()` ends it.
Every boundary lies on the 5 s grid of the sample index and every decision depends on samples and on
`SegmenterState` alone, so any chunking, speed or restart derives the same segments.

10 s windows begin every 5 s. A flagged window or a marker opens an episode: part 0 leaves at once, from 30 s
before that window to its end; each later part is the next 15 s. The episode closes after six quiet windows
(30 s); windows that cannot be read count as neither flagged nor quiet. At the first part boundary at or after
5 min it ends too, and the next one `continues` it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from pydantic import TypeAdapter

from edge.ring import Ring
from edge.trend import Trend, TrendState
from models.ecg import (
    Gap,
    Marker,
    RecordingEnd,
    SampleBlock,
    Segment,
    Window,
    mask_to_spans,
    read_only,
    segment_id,
)
from models.signals.windows import HOP_S, WINDOW_S, grid
from models.verdicts import Screening, TrendRow

LEAD_IN_S = 30.0  # signal before the window that opens an episode
LEAD_IN_WINDOWS = 8  # that end in it or in that window
PART_HOPS = 3  # 15 s
QUIET_WINDOWS = 6  # 30 s without a flagged window close an episode
EPISODE_S = 300.0
REWIND_S = 45.0  # lead-in, window and open part: what a restarted edge asks the patch for again
LEAD_OFF_SHARE = 0.2  # of a window's samples: from here on the lead counts as off

_WINDOW_HOPS = round(WINDOW_S / HOP_S)

Screen = Callable[[Window], Screening]
Decided = Screening | Segment | TrendRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An open episode, less the parts that have left."""

    id: str | None  # None until part 0 has left
    first: int
    part: int = 0  # number of the next part
    part_first: int  # its first sample
    hops: int  # windows since the last part boundary
    quiet: int = 0  # quiet windows in a row
    opened_by: str
    continues: str | None = None
    screenings: tuple[Screening, ...] = ()  # of the windows that end in the next part


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterState:
    """Everything a restart needs but samples; committed with every segment and row."""

    origin: int | None = None  # first sample of the stream
    fs: float | None = None  # Hz, nominal
    hop: int = 0  # number of the next window on the grid
    processed: int = -1  # last sample of the last window
    episode: Episode | None = None
    episode_last: int = -1  # last sample of the last closed episode
    recent: tuple[Screening, ...] = ()  # of the windows that may end in the next episode's lead-in
    windows: int = 0
    flagged: int = 0
    unreadable: int = 0  # samples that only unreadable, unflagged windows saw first
    missing: int = 0  # samples
    trend: TrendState | None = None

    @property
    def resume_at(self) -> int | None:
        """The first sample a restarted edge needs; None where nothing was processed yet."""
        if self.origin is None or self.fs is None:
            return None
        return max(self.origin, self.processed + 1 - round(REWIND_S * self.fs))

    def to_json(self) -> str:
        return _STATE.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> SegmenterState:
        return _STATE.validate_json(text)


_STATE: TypeAdapter[SegmenterState] = TypeAdapter(SegmenterState)


class Segmenter:
    """One boot of one patch, from samples to screenings, segments and rows of its trend.

    Items come in sample order: what came before is dropped, a hole without a `Gap` is taken as one. `marks`
    are those of before a restart, each with the sample that `mark` returned.
    """

    def __init__(
        self, screen: Screen, state: SegmenterState | None = None, marks: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.state = state or SegmenterState()
        self._screen = screen
        marks = list(marks)
        self._markers = {sample for sample, _ in marks}
        self._calls = {call for _, call in marks}  # samples at which a late marker opens its episode
        self._ring: Ring | None = None
        self._head: SampleBlock  # the stream's names, rate and gain; set with the ring
        self._trend: Trend  # set with the ring

    def push(self, item: SampleBlock | Gap | Marker | RecordingEnd) -> list[Decided]:
        match item:
            case Marker():
                self._markers.add(item.first)
                return []
            case RecordingEnd():
                return self.flush()
            case Gap():
                return self._push_gap(item)
            case SampleBlock():
                self._head = item
                self._begin(item).append(item.first, item.counts, lead_bits(item))
                return self._windows()

    def flush(self) -> list[Decided]:
        """The source's own end: a short last window, and the final part."""
        out = self._windows(ending=True)
        self._ring = None
        return out

    def mark(self, sample: int) -> int | None:
        """A marker that may be late: the next window opens an episode for it, or prolongs the open one.

        Returns the sample whose window does; None where no episode reaches so far back any more, or the part
        of the open one that holds it has left.
        """
        state = self.state
        if self._ring is None or state.origin is None:
            return None
        reach = grid(state.hop, self._head.fs) - round(LEAD_IN_S * self._head.fs)
        if state.episode is not None:
            reach = state.episode.part_first
        if sample < max(reach, state.origin):
            return None
        call = max(sample, state.processed + 1)
        self._markers.add(sample)
        self._calls.add(call)
        return call

    def idle(self) -> list[Segment]:
        """30 s without samples: what is held of the open part leaves now, but for its last sample,
        so that an episode whose recording turns out to end here still has a final part."""
        episode = self.state.episode
        if episode is None or self._ring is None or self._ring.last - 1 < episode.part_first:
            return []
        part, rest = self._cut(episode, self._ring.last - 1, final=False)
        self.state = replace(self.state, episode=replace(rest, hops=episode.hops))
        return [part]

    def _begin(self, block: SampleBlock) -> Ring:
        if self._ring is None:
            self._ring = Ring(len(block.leads), block.first)
            if self.state.origin is None:
                hop = int(block.first // (HOP_S * block.fs))
                self.state = SegmenterState(
                    origin=block.first, fs=block.fs, hop=hop, processed=block.first - 1
                )
            fresh = self.state.processed + 1
            counting = self.state.trend or TrendState(first=fresh, counted=fresh)
            self._trend = Trend(block.patch_id, block.boot_id, counting)
        return self._ring

    def _push_gap(self, gap: Gap) -> list[Decided]:
        """A gap of hours passes through in hops, so that memory stays bounded."""
        out: list[Decided] = []
        if self._ring is None:  # nothing was heard yet: the stream begins at its first sample
            return out
        hop = round(HOP_S * self._head.fs)
        for first in range(gap.first, gap.last + 1, hop):
            self._ring.append_gap(first, min(hop, gap.last + 1 - first))
            out.extend(self._windows())
        return out

    def _windows(self, *, ending: bool = False) -> list[Decided]:
        """Every complete window in turn. A window waits until a sample follows it or the recording ends:
        only then is it known whether the part that leaves with it is the final one."""
        out: list[Decided] = []
        ring = self._ring
        while ring is not None and self.state.processed < ring.last:
            last = grid(self.state.hop + _WINDOW_HOPS, self._head.fs) - 1
            ends = last >= ring.last
            if ends and not ending:
                break
            window = self._window(ring, min(last, ring.last))
            screening = self._screen(window)
            rows = self._trend.push(window, screening, ends=ends)
            screening = replace(screening, seen=None)
            out.append(screening)
            out.extend(self._advance(screening, window, ends=ends))
            out.extend(rows)
            self._forget(ring)
        return out

    def _window(self, ring: Ring, last: int) -> Window:
        head, first = self._head, grid(self.state.hop, self._head.fs)
        counts, missing, off = ring.cut(first, last)
        share = [np.mean((off >> i) & 1) for i in range(len(head.leads))]
        scale = np.asarray(head.uv_per_count, dtype=np.float32)[:, None]
        return Window(
            first=first,
            fs=head.fs,
            leads=head.leads,
            microvolts=read_only(counts.astype(np.float32) * scale),
            missing=read_only(missing),
            lead_off=frozenset(n for n, s in zip(head.leads, share, strict=True) if s > LEAD_OFF_SHARE),
        )

    def _advance(self, screening: Screening, window: Window, *, ends: bool) -> list[Segment]:
        """One window further: open, continue or close the episode, and cut the part that is due."""
        called = self._markers | self._calls
        marked = any(self.state.processed < marker <= screening.last for marker in called)
        self._count(screening, window)
        episode = self._listen(screening, marked=marked)
        if episode is None:
            return []
        closes = ends or episode.quiet >= QUIET_WINDOWS
        if not closes and episode.hops < PART_HOPS:
            self.state = replace(self.state, episode=episode)
            return []
        long = screening.last + 1 - episode.first >= round(EPISODE_S * self._head.fs)
        part, episode = self._cut(episode, screening.last, final=closes or long)
        if part.final:
            self.state = replace(self.state, episode_last=part.last)
        goes_on = not closes and (not long or not part.missing.all())
        self.state = replace(self.state, episode=episode if goes_on else None)
        return [part]

    def _count(self, screening: Screening, window: Window) -> None:
        state = self.state
        fresh = window.missing[max(0, state.processed + 1 - window.first) :]
        unread = not (screening.quality.readable or screening.flagged)
        self.state = replace(
            state,
            hop=state.hop + 1,
            processed=screening.last,
            windows=state.windows + 1,
            flagged=state.flagged + screening.flagged,
            unreadable=state.unreadable + (int(np.sum(~fresh)) if unread else 0),
            missing=state.missing + int(np.sum(fresh)),
            recent=(*state.recent, screening)[-LEAD_IN_WINDOWS:],
            trend=self._trend.state,
        )

    def _listen(self, screening: Screening, *, marked: bool) -> Episode | None:
        """The open episode after this window; None where none is open and none opens."""
        episode, opens = self.state.episode, screening.flagged or marked
        if episode is not None:
            quiet = 0 if opens else episode.quiet + screening.quality.readable
            heard = (*episode.screenings, screening)
            return replace(episode, hops=episode.hops + 1, quiet=quiet, screenings=heard)
        if not opens:
            return None
        lead_in = screening.first - round(LEAD_IN_S * self._head.fs)
        first = max(lead_in, self.state.origin or 0, self.state.episode_last + 1)
        opened_by = "screener" if screening.flagged else "marker"
        return Episode(
            id=None,
            first=first,
            part_first=first,
            hops=PART_HOPS,  # part 0 leaves at once
            opened_by=opened_by,
            screenings=tuple(heard for heard in self.state.recent if heard.last >= first),
        )

    def _cut(self, episode: Episode, last: int, *, final: bool) -> tuple[Segment, Episode]:
        """The next part of the episode up to `last`, and the episode (or its continuation) after it."""
        assert self._ring is not None
        head, first = self._head, episode.part_first
        counts, missing, off = self._ring.cut(first, last)
        me = segment_id(head.patch_id, head.boot_id, first, last)
        part = Segment(
            id=me,
            patch_id=head.patch_id,
            boot_id=head.boot_id,
            episode_id=episode.id or me,
            part=episode.part,
            final=final,
            continues=episode.continues,
            opened_by=episode.opened_by,
            first=first,
            fs=head.fs,
            leads=head.leads,
            counts=read_only(counts),
            uv_per_count=head.uv_per_count,
            gaps=mask_to_spans(missing, first),
            lead_off=mask_to_spans(off > 0, first),
            markers=tuple(sorted(m for m in self._markers if first <= m <= last)),
            screenings=episode.screenings,
        )
        after = replace(episode, part_first=last + 1, hops=0, screenings=())
        if final:
            return part, replace(after, id=None, first=last + 1, part=0, continues=part.episode_id)
        return part, replace(after, id=part.episode_id, part=episode.part + 1)

    def _forget(self, ring: Ring) -> None:
        keep = grid(self.state.hop, self._head.fs) - round(LEAD_IN_S * self._head.fs)
        if self.state.episode is not None:
            keep = min(keep, self.state.episode.part_first)
        ring.trim(keep)
        self._markers = {marker for marker in self._markers if marker >= keep}
        self._calls = {call for call in self._calls if call > self.state.processed}


def lead_bits(block: SampleBlock) -> int:
    return sum(1 << i for i, name in enumerate(block.leads) if name in block.lead_off)
