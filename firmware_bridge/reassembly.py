"""Frames as they arrive -> SampleBlock | Gap | Marker | RecordingEnd in sample order, and what to ask again.

Every sample of a boot leaves here exactly once, as part of a block or of a Gap. A hole of up to 5 min is
filled from the patch's ring before later samples pass; a longer one, one the ring no longer holds or one
the patch does not answer becomes a Gap and live goes on; late samples never re-enter. Pure: no I/O, and
time only as the `now` of `tick` and `wanted` (any monotonic seconds).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from firmware_bridge.codecs.openecg import Flag, Frame, StreamInfo
from firmware_bridge.codecs.openecg_control import Backfill, BackfillDone, RangeIs
from firmware_bridge.invalid import stretches, without
from models.ecg import Counts, Gap, GapReason, Marker, RecordingEnd, SampleBlock
from models.errors import PayloadError

MAX_HOLE_S = 300.0  # of signal: what is filled before later samples pass, and fetched on first contact
RESUME_CONTEXT_S = 45.0  # a restarted edge asks again from this long before its last processed sample
ASK_S = 60.0  # of signal in one request, so that progress shows
ANSWER_TIMEOUT_S = 5.0  # without any frame of what was asked
TRIES = 5

Item = SampleBlock | Gap | Marker | RecordingEnd


@dataclass(slots=True)
class _Ask:
    """The one request under way."""

    first: int
    last: int
    deadline: float
    progress: bool = False


class Reassembly:
    """One boot of one patch. Call `connected` with the patch's RANGE answer before the first frame.

    `resume_from` is the sample to go on from (an edge that restarted); without it the first contact fetches
    up to 5 min that the ring still holds. Memory: at most twice `max_hole_s` of frames are held.
    """

    def __init__(
        self,
        patch_id: str,
        info: StreamInfo,
        *,
        resume_from: int | None = None,
        max_hole_s: float = MAX_HOLE_S,
    ) -> None:
        self.patch_id = patch_id
        self.info = info
        self.duplicates = 0  # frames that brought nothing new
        self.done = False  # RecordingEnd has been emitted
        self._max_hole = round(max_hole_s * info.fs)
        self._resume_from = resume_from
        self._next: int | None = None  # the sample that must leave next
        self._owed = resume_from is not None  # whether what is missing before the first block is a Gap
        self._held: dict[int, tuple[Frame, float]] = {}  # by first sample
        self._order: list[int] = []  # heap of the keys of _held
        self._due = 0  # every sample before this one exists, by the patch's word
        self._ring_first = 0
        self._end: int | None = None
        self._ask: _Ask | None = None
        self._tries = 0
        self._gap: Gap | None = None  # declared, not yet emitted: what follows may extend it

    @property
    def ended(self) -> bool:
        """The patch has said which sample is its last."""
        return self._end is not None

    def connected(self, ring: RangeIs) -> list[Item]:
        """A link is up (again) and the patch has said what it holds; nothing that was asked still comes."""
        self._ask = None
        self._due = max(self._due, ring.last + 1)
        if self._next is None:
            self._next = self._start(ring)
        if ring.ended:
            self._end = ring.last
        return self.ring_from(ring.first)

    def ring_from(self, first: int) -> list[Item]:
        """The ring begins at this sample now."""
        n = self.info.n
        self._ring_first = max(self._ring_first, -(-first // n) * n)  # a frame that is cut cannot be asked
        return self._advance()

    def push(self, frame: Frame, received_at: float) -> list[Item]:
        """A frame, live or backfilled, in any order."""
        first = frame.sequence * self.info.n
        count = frame.counts.shape[1]
        if count > self.info.n:
            raise PayloadError("length", f"a frame of {count} samples where {self.info.n} are announced")
        if self._next is None or first + count <= self._next or first in self._held:
            self.duplicates += 1
            return []
        self._held[first] = frame, received_at
        heapq.heappush(self._order, first)
        self._due = max(self._due, first + count)
        if self._ask and self._ask.first - self.info.n < first <= self._ask.last:
            self._ask.progress = True
        return self._advance()

    def end(self, last: int) -> list[Item]:
        """The patch's recording is over; RecordingEnd follows the last sample."""
        self._end = last
        self._due = max(self._due, last + 1)
        return self._advance()

    def wanted(self, now: float) -> Backfill | None:
        """What to ask the patch now; asked one at a time, oldest hole first."""
        hole = self._hole()
        if self._ask or hole is None:
            return None
        first, last = hole[0], min(hole[1], hole[0] + round(ASK_S * self.info.fs) - 1)
        self._ask = _Ask(first, last, now + ANSWER_TIMEOUT_S)
        return Backfill(first, last)

    def answered(self, answer: BackfillDone) -> list[Item]:
        """The patch has sent all it holds of what was asked."""
        ask, self._ask = self._ask, None
        if ask is None:
            return []
        if answer.first > ask.first:
            return self.ring_from(answer.first)
        return self._tried(ask)

    def tick(self, now: float) -> list[Item]:
        """Time passes: a request without any answer for a while counts as tried."""
        ask = self._ask
        if ask is None:
            return []
        if ask.progress:
            ask.progress, ask.deadline = False, now + ANSWER_TIMEOUT_S
        if now < ask.deadline:
            return []
        self._ask = None
        return self._tried(ask)

    def flush(self) -> list[Item]:
        """The boot is gone (another began): what is missing stays missing, what is held leaves."""
        self._ring_first = self._due
        self._owed = True
        return [*self._advance(), *self._release_gap()]

    def _start(self, ring: RangeIs) -> int:
        if self._resume_from is not None:
            return self._resume_from
        n = self.info.n
        return -(-max(ring.first, ring.last + 1 - self._max_hole, 0) // n) * n

    def _tried(self, ask: _Ask) -> list[Item]:
        assert self._next is not None
        self._tries = self._tries + 1 if self._next <= ask.first else 0
        return self._advance()

    def _hole(self) -> tuple[int, int] | None:
        """(first, last) of the missing samples that hold up the rest, None at the live edge."""
        edge = self._order[0] if self._order else self._due
        return (self._next, edge - 1) if self._next is not None and self._next < edge else None

    def _advance(self) -> list[Item]:
        """Everything that may leave now."""
        out: list[Item] = []
        if self._next is None:
            return out
        while True:
            held = self._held.pop(self._next - self._next % self.info.n, None)
            if held:
                heapq.heappop(self._order)
                out += self._leave(*held)
                continue
            hole = self._hole()
            lost = self._unfillable(*hole) if hole else None
            if lost is None:
                break
            out += self._declare(*lost)
        if hole is None:
            out += self._release_gap()
        return out + self._finish()

    def _unfillable(self, first: int, last: int) -> tuple[int, GapReason] | None:
        """(its last sample, why) of the part of a hole that will not be waited for."""
        fresh = self._resume_from is not None and first == self._resume_from
        limit = self._max_hole + (round(RESUME_CONTEXT_S * self.info.fs) if fresh else 0)
        if last - first >= limit or self._due - first > 2 * self._max_hole + self.info.n:
            return last, GapReason.TOO_LONG
        if first < self._ring_first:
            return min(last, self._ring_first - 1), GapReason.EVICTED
        return (last, GapReason.UNANSWERED) if self._tries >= TRIES else None

    def _declare(self, last: int, reason: GapReason) -> list[Item]:
        """A Gap up to `last`, held back so that what follows can extend it; before first contact, nothing."""
        assert self._next is not None
        first, self._next, self._tries = self._next, last + 1, 0
        if not self._owed:
            return []
        if self._gap and self._gap.reason is reason and self._gap.last + 1 == first:
            self._gap = replace(self._gap, count=self._gap.count + last + 1 - first)
            return []
        out = self._release_gap()
        self._gap = Gap(
            patch_id=self.patch_id,
            boot_id=self.info.boot_id,
            first=first,
            count=last + 1 - first,
            reason=reason,
        )
        return out

    def _release_gap(self) -> list[Item]:
        gap, self._gap = self._gap, None
        return [gap] if gap else []

    def _finish(self) -> list[Item]:
        if self.done or self._end is None or self._next is None or self._next <= self._end:
            return []
        self.done = True
        last = RecordingEnd(patch_id=self.patch_id, boot_id=self.info.boot_id, last=self._end)
        return [*self._release_gap(), last]

    def _leave(self, frame: Frame, received_at: float) -> list[Item]:
        """The frame from `_next` on: its marker, and blocks that are split where leads have no sample."""
        assert self._next is not None
        start = frame.sequence * self.info.n
        counts = frame.counts[:, self._next - start :]
        out: list[Item] = []
        if frame.flags & Flag.MARKER:
            out.append(Marker(patch_id=self.patch_id, boot_id=self.info.boot_id, first=start))
        for begin, end, off in stretches(counts, frame.format.invalid):
            self._owed, self._tries = True, 0
            if all(off):
                out += self._declare(self._next + end - begin - 1, GapReason.UNANSWERED)
                continue
            out += [*self._release_gap(), self._block(frame, counts[:, begin:end], off, received_at)]
            self._next += end - begin
        return out

    def _block(self, frame: Frame, counts: Counts, off: list[bool], received_at: float) -> SampleBlock:
        assert self._next is not None
        whole = self._next == frame.sequence * self.info.n
        return SampleBlock(
            patch_id=self.patch_id,
            boot_id=self.info.boot_id,
            first=self._next,
            fs=self.info.fs,
            leads=self.info.leads,
            counts=without(counts, off),
            uv_per_count=self.info.uv_per_count,
            received_at=received_at,
            sampled_at=frame.device_us / 1e6 if whole else None,
            lead_off=frozenset(
                lead for i, lead in enumerate(self.info.leads) if off[i] or frame.lead_off >> i & 1
            ),
        )
