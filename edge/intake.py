"""From the stream to screenings, segments and rows of the trend, for a live patch and for a replay alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from edge.clock import ClockEstimator
from edge.segments import Decided, Screen, Segmenter, SegmenterState
from models.ecg import Arrival, Clock, PatchStatus, RecordingEnd, SampleBlock, StreamItem
from models.verdicts import Screening

Restore = Callable[[str, int], SegmenterState | None]
Marks = Callable[[str, int], Iterable[tuple[int, int]]]


def _nothing_saved(_patch_id: str, _boot_id: int) -> None:
    return None


def _nothing_marked(_patch_id: str, _boot_id: int) -> tuple[tuple[int, int], ...]:
    return ()


class Intake:
    """Stream items in sample order, boot after boot: `push(item)` returns what was decided.

    A new boot ends the one before. `restore` gives the saved state of a boot, `marks` the marks that were
    called in it (see `Segmenter`), `recorded` a recording's clock.
    """

    def __init__(
        self,
        screen: Screen,
        restore: Restore = _nothing_saved,
        recorded: Clock | None = None,
        *,
        marks: Marks = _nothing_marked,
    ) -> None:
        self.boot: tuple[str, int] | None = None
        self.newest: SampleBlock | None = None
        self.status: PatchStatus | None = None
        self.ended = False
        self.clock = ClockEstimator(recorded)
        self._screen = screen
        self._restore = restore
        self._marks = marks
        self._recorded = recorded
        self._segmenter = Segmenter(screen)

    @property
    def state(self) -> SegmenterState:
        return self._segmenter.state

    def push(self, item: StreamItem) -> list[Decided]:
        boot = (item.patch_id, item.boot_id)
        out = self._turn_to(boot) if boot != self.boot else []
        if isinstance(item, PatchStatus):
            self.status = item
            return out
        if isinstance(item, Arrival):
            self.clock.hear(item)
            return out
        if isinstance(item, SampleBlock):
            self.clock.push(item)
            self.newest = item
        self.ended = isinstance(item, RecordingEnd)
        return out + self._stamped(self._segmenter.push(item))

    def sample_at(self, utc: float) -> int | None:
        """The sample of this boot that was taken then (Unix seconds); None where its clock is not known."""
        clock = self.clock.at(self.newest.last) if self.newest else Clock()
        if clock.utc_0 is None or clock.fs is None:
            return None
        return round((utc - clock.utc_0) * clock.fs)

    def mark(self, sample: int) -> int | None:
        """See `Segmenter.mark`."""
        return self._segmenter.mark(sample)

    def idle(self) -> list[Decided]:
        """30 s without samples."""
        return self._stamped(list(self._segmenter.idle()))

    def _turn_to(self, boot: tuple[str, int]) -> list[Decided]:
        out = self._stamped(self._segmenter.flush())
        self.boot, self.newest, self.status = boot, None, None
        self.clock = ClockEstimator(self._recorded)
        self._segmenter = Segmenter(self._screen, self._restore(*boot), self._marks(*boot))
        return out

    def _stamped(self, outputs: list[Decided]) -> list[Decided]:
        return [o if isinstance(o, Screening) else replace(o, clock=self.clock.at(o.last)) for o in outputs]
