"""Reassembly: whatever is lost, doubled or late, every sample leaves once and in order, or is in a Gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.codecs.openecg import Flag, Frame, StreamInfo
from firmware_bridge.codecs.openecg_control import Backfill, BackfillDone, RangeIs
from firmware_bridge.reassembly import ANSWER_TIMEOUT_S, TRIES, Item, Reassembly
from models.ecg import Gap, GapReason, Marker, RecordingEnd, SampleBlock
from models.errors import PayloadError

N = 5  # samples a frame
FS = 10.0
INFO = StreamInfo(
    leads=("II",), rate_mhz=10_000, nv_per_lsb=(1000.0,), n=N, boot_id=0x1234, ring_samples=10**6
)


def frame(k: int, count: int = N, flags: int = 0) -> Frame:
    samples = np.arange(k * N, k * N + count, dtype=np.int32)[None]
    return Frame(sequence=k, device_us=k * 500_000, counts=samples, boot_low=0x34, flags=flags)


def holds(first: int, last: int, *, ended: bool = False) -> RangeIs:
    return RangeIs(first * N, (last + 1) * N - 1, ended)


def at_zero(**kwargs: float | None) -> Reassembly:
    """Connected at the very start of a boot."""
    reassembly = Reassembly("ramp", INFO, **kwargs)
    assert reassembly.connected(RangeIs(0, -1, ended=False)) == []
    return reassembly


def covered(items: list[Item], start: int = 0) -> list[tuple[int, int]]:
    """Checks that blocks carry their own indices and follow each other; returns the Gaps as (first, last)."""
    at, gaps = start, []
    for item in items:
        if isinstance(item, SampleBlock):
            assert item.first == at
            assert item.counts[0].tolist() == list(range(item.first, item.last + 1))
            at = item.last + 1
        elif isinstance(item, Gap):
            assert item.first == at
            at = item.last + 1
            gaps.append((item.first, item.last))
    return gaps


class Patch:
    """The other side: what has been sampled, a ring, and its answers to BACKFILL."""

    def __init__(self, ring: int) -> None:
        self.ring = ring
        self.sampled = 0

    @property
    def oldest(self) -> int:
        return max(0, self.sampled - self.ring)

    def answer(self, reassembly: Reassembly, ask: Backfill, lost: set[int]) -> list[Item]:
        """Sends what it holds of it; the frames in `lost` get lost this once."""
        begin, end = max(ask.first // N, self.oldest), min(ask.last // N + 1, self.sampled)
        items = []
        for k in range(begin, end):
            if k in lost:
                lost.discard(k)
            else:
                items += reassembly.push(frame(k, flags=Flag.BACKFILL), 0.0)
        return items + reassembly.answered(
            BackfillDone(max(ask.first, begin * N), min(ask.last, end * N - 1))
        )

    def serve(self, reassembly: Reassembly, lost: set[int]) -> list[Item]:
        items: list[Item] = []
        while ask := reassembly.wanted(0.0):
            items += self.answer(reassembly, ask, lost)
        return items


def test_frames_in_order_leave_as_blocks_with_what_the_patch_says_of_itself():
    (block,) = at_zero().push(frame(0), 12.5)
    assert (block.patch_id, block.boot_id, block.first, block.fs) == ("ramp", 0x1234, 0, FS)
    assert (block.leads, block.uv_per_count, block.received_at, block.sampled_at) == (
        ("II",),
        (1.0,),
        12.5,
        0.0,
    )


def test_a_lost_frame_is_filled_before_later_samples_pass():
    reassembly = at_zero()
    items = reassembly.push(frame(0), 0.0)
    assert reassembly.push(frame(2), 0.0) == []
    assert reassembly.wanted(0.0) == Backfill(N, 2 * N - 1)
    assert reassembly.wanted(0.0) is None  # one request at a time
    items += reassembly.push(frame(1, flags=Flag.BACKFILL), 0.0)
    assert covered(items) == []
    assert items[-1].last == 3 * N - 1


def test_duplicates_and_late_samples_do_not_re_enter():
    reassembly = at_zero()
    reassembly.push(frame(0), 0.0)
    assert reassembly.push(frame(0), 0.0) == []
    reassembly.push(frame(2), 0.0)
    assert reassembly.push(frame(2), 0.0) == []
    assert reassembly.duplicates == 2


def test_a_hole_longer_than_five_minutes_becomes_a_gap_at_once_and_live_goes_on():
    reassembly = at_zero()
    items = reassembly.push(frame(0), 0.0)
    items += reassembly.push(frame(602), 0.0)  # 600 frames of 0.5 s would be just 5 min
    assert covered(items) == [(N, 602 * N - 1)]
    assert items[1].reason is GapReason.TOO_LONG
    assert items[2].first == 602 * N
    assert reassembly.push(frame(300), 0.0) == []


def test_a_hole_of_five_minutes_is_filled():
    reassembly = at_zero()
    reassembly.push(frame(0), 0.0)
    assert reassembly.push(frame(600), 0.0) == []
    assert reassembly.wanted(0.0) == Backfill(N, N + 600 - 1)  # a minute at a time, so that progress shows


def test_what_the_patch_never_delivers_becomes_a_gap_after_a_few_tries():
    reassembly = at_zero()
    items, now = reassembly.push(frame(0), 0.0) + reassembly.push(frame(3), 0.0), 0.0
    for _ in range(TRIES):
        assert covered(items) == []
        assert reassembly.wanted(now) == Backfill(N, 3 * N - 1)
        assert reassembly.tick(now + ANSWER_TIMEOUT_S / 2) == []
        now += ANSWER_TIMEOUT_S
        items += reassembly.tick(now)
    assert covered(items) == [(N, 3 * N - 1)]
    assert items[1].reason is GapReason.UNANSWERED
    assert items[-1].last == 4 * N - 1


def test_a_slow_answer_is_waited_for_while_it_brings_something():
    reassembly = at_zero()
    reassembly.push(frame(50), 0.0)
    assert reassembly.wanted(0.0)
    for k in range(10):
        now = (k + 1) * 0.9 * ANSWER_TIMEOUT_S
        reassembly.push(frame(k, flags=Flag.BACKFILL), now)
        reassembly.tick(now)
    assert reassembly.wanted(now) is None  # still the first request


def test_first_contact_fetches_five_minutes_that_the_ring_holds():
    reassembly = Reassembly("ramp", INFO)
    reassembly.connected(holds(10, 2009))
    assert reassembly.wanted(0.0).first == (2010 - 600) * N


def test_first_contact_with_a_short_ring_begins_at_the_ring_without_a_gap():
    reassembly = Reassembly("ramp", INFO)
    assert reassembly.connected(holds(70, 79)) == []
    assert reassembly.ring_from(71 * N) == []  # one more is gone before the request reaches the patch
    assert reassembly.wanted(0.0) == Backfill(71 * N, 80 * N - 1)
    items = [item for k in range(71, 80) for item in reassembly.push(frame(k), 0.0)]
    assert covered(items, 71 * N) == []


def test_a_frame_that_the_ring_cuts_cannot_be_asked():
    reassembly = at_zero()
    items = reassembly.push(frame(0), 0.0) + reassembly.connected(RangeIs(2 * N + 1, 5 * N - 1, ended=False))
    assert reassembly.wanted(0.0) == Backfill(3 * N, 5 * N - 1)
    items += [item for k in (3, 4) for item in reassembly.push(frame(k), 0.0)]
    assert covered(items) == [(N, 3 * N - 1)]


def test_a_restarted_edge_goes_on_from_the_very_sample_it_names():
    reassembly = Reassembly("ramp", INFO, resume_from=7)
    reassembly.connected(holds(0, 9))
    assert reassembly.wanted(0.0) == Backfill(7, 10 * N - 1)
    items = [item for k in range(1, 10) for item in reassembly.push(frame(k), 0.0)]
    assert covered(items, 7) == []
    assert items[0].sampled_at is None  # the clock was read at the frame's first sample, not here


def test_a_restarted_edge_is_told_what_the_ring_no_longer_holds():
    reassembly = Reassembly("ramp", INFO, resume_from=7)
    items = reassembly.connected(holds(4, 9))
    items += [item for k in range(4, 10) for item in reassembly.push(frame(k), 0.0)]
    assert covered(items, 7) == [(7, 4 * N - 1)]


def test_the_end_is_told_once_after_the_last_sample():
    reassembly = at_zero()
    reassembly.push(frame(1, count=3), 0.0)
    assert reassembly.end(7) == []
    items = reassembly.push(frame(0), 0.0)
    assert items[-1] == RecordingEnd(patch_id="ramp", boot_id=0x1234, last=7)
    assert reassembly.end(7) == []
    assert reassembly.connected(RangeIs(0, 7, ended=True)) == []


def test_an_end_that_was_missed_is_learnt_from_the_range():
    reassembly = at_zero()
    reassembly.push(frame(0), 0.0)
    reassembly.connected(RangeIs(0, 11, ended=True))
    assert reassembly.wanted(0.0) == Backfill(N, 11)
    reassembly.push(frame(1), 0.0)
    assert isinstance(reassembly.push(frame(2, count=2), 0.0)[-1], RecordingEnd)


def test_a_boot_that_is_gone_leaves_what_was_held_and_its_gaps():
    reassembly = at_zero()
    items = reassembly.push(frame(0), 0.0) + reassembly.push(frame(3), 0.0) + reassembly.flush()
    assert covered(items) == [(N, 3 * N - 1)]
    assert items[-1].last == 4 * N - 1


def test_a_marker_leaves_before_its_samples():
    reassembly = at_zero()
    reassembly.push(frame(1, flags=Flag.MARKER), 0.0)
    items = reassembly.push(frame(0), 0.0)
    assert items[1] == Marker(patch_id="ramp", boot_id=0x1234, first=N)


def test_a_frame_with_more_samples_than_announced_is_refused():
    with pytest.raises(PayloadError, match="a frame of 6 samples where 5 are announced"):
        at_zero().push(frame(0, count=6), 0.0)


def test_memory_is_bounded_while_nothing_is_filled():
    reassembly = at_zero()
    reassembly.push(frame(0), 0.0)
    held = 0
    for k in range(2, 5000):
        reassembly.push(frame(k), 0.0)
        held = max(held, len(reassembly._held))
    assert held <= 2 * 600 + 1


@settings(deadline=None)  # a busy machine is not a failure
@given(st.data())
def test_with_a_full_ring_every_sample_leaves_once_and_in_order(data):
    total = data.draw(st.integers(1, 40))
    arrived = [k for k in range(total) if data.draw(st.booleans())]
    lost = data.draw(st.sets(st.integers(0, total - 1)))
    patch, reassembly, items = Patch(ring=10**6), at_zero(), []
    for k in sorted(arrived, key=lambda k: k + data.draw(st.integers(0, 8))):  # late by up to 8 frames
        patch.sampled = max(patch.sampled, k + 1)
        for _ in range(data.draw(st.integers(1, 2))):
            items += reassembly.push(frame(k), 0.0)
        if data.draw(st.booleans()):
            items += patch.serve(reassembly, lost)
        if data.draw(st.booleans()):
            items += reassembly.connected(holds(patch.oldest, patch.sampled - 1))
    patch.sampled = total
    items += reassembly.end(total * N - 1) + patch.serve(reassembly, lost)
    assert covered(items) == []
    assert isinstance(items.pop(), RecordingEnd)
    assert sum(item.counts.shape[1] for item in items) == total * N


OUTAGES = st.lists(
    st.tuples(st.integers(1, 15), st.integers(1, 15)), max_size=6
)  # frames with, without a link


@settings(deadline=None)  # a busy machine is not a failure
@given(OUTAGES, st.integers(2, 10))
def test_with_a_small_ring_the_gaps_are_exactly_what_was_evicted(outages, ring):
    patch, reassembly, items, expected = Patch(ring), at_zero(), [], []
    for linked, silent in outages:
        for _ in range(linked):
            patch.sampled += 1
            items += reassembly.push(frame(patch.sampled - 1), 0.0)
        began = patch.sampled
        patch.sampled += silent
        items += reassembly.connected(holds(patch.oldest, patch.sampled - 1))
        patch.sampled += 1  # it goes on while it is asked, and one more is evicted
        items += patch.serve(reassembly, set())
        if patch.oldest > began:
            expected.append((began * N, min(patch.oldest, patch.sampled - 1) * N - 1))
        items += reassembly.push(frame(patch.sampled - 1), 0.0)
    items += reassembly.end(patch.sampled * N - 1)
    assert covered(items) == expected
