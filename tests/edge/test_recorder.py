"""The recorder: what comes is on the disk once, bit for bit, whatever kills it, fills its disk or damages it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.agent import monitor
from edge.intake import Intake
from edge.outbox import Outbox
from edge.recorded import Recorded
from edge.recorder import WAITING, Recorder
from edge.records import pages, scan
from models.ecg import Clock, Gap, GapReason, Marker, SampleBlock, StreamItem, Window, read_only
from models.recordings import RecordingSource, make_recording
from models.verdicts import Quality, Screening

ROOT = Path(__file__).resolve().parents[2]
BOOT = ("p/1 ä", 7)  # no file could be called that
FS = 10.0  # an hour is 36,000 samples
HOUR = round(3600 * FS)
BUDGET = 10_000_000


def block(first: int, count: int, *, leads: int = 1, off: Iterable[str] = (), fs: float = FS) -> SampleBlock:
    """Every sample tells its own index."""
    ramp = np.arange(first, first + count, dtype=np.int32) * 3
    return SampleBlock(
        patch_id=BOOT[0],
        boot_id=BOOT[1],
        first=first,
        fs=fs,
        leads=("II", "V1", "V5")[:leads],
        counts=read_only(np.stack([ramp * (-1) ** i - i for i in range(leads)])),
        uv_per_count=(5.0, 2.5, 1.0)[:leads],
        lead_off=frozenset(off),
    )


def gap(first: int, count: int, reason: GapReason = GapReason.UNANSWERED) -> Gap:
    return Gap(patch_id=BOOT[0], boot_id=BOOT[1], first=first, count=count, reason=reason)


def at(sample: int) -> Clock:
    return Clock(utc_0=1.7e9, fs=FS, error_s=0.05 + sample * 0, quality="arrival")


def recorded(
    folder: Path, items: Iterable[StreamItem], *, stored_every: int = 1, budget: int = BUDGET
) -> Recorder:
    recorder = Recorder(folder, budget, headroom=0)
    for number, item in enumerate(items):
        recorder.push(item, at)
        if number % stored_every == 0:
            recorder.store()
    recorder.close()
    return recorder


def told(folder: Path, first: int, last: int) -> list[tuple[int, int, object]]:
    """(first, last, the samples or the reason); every sample exactly once, or this fails."""
    items = list(Recorded(folder).read(BOOT, first, last))
    assert items[0].first == first
    assert items[-1].last == last
    assert all(a.last + 1 == b.first for a, b in pairwise(items))
    return [(i.first, i.last, i.reason if isinstance(i, Gap) else i.counts.tolist()) for i in items]


def there(folder: Path, first: int, last: int) -> list[int]:
    """The samples that are on disk; fails where one is not its own."""
    out = []
    for item in Recorded(folder).read(BOOT, first, last):
        if isinstance(item, SampleBlock):
            assert np.array_equal(
                item.counts, block(item.first, item.last + 1 - item.first, leads=len(item.leads)).counts
            )
            out += range(item.first, item.last + 1)
    assert len(set(out)) == len(out)
    return out


def test_blocks_gaps_and_markers_come_back_bit_for_bit_across_hours(tmp_path: Path) -> None:
    marker = Marker(patch_id=BOOT[0], boot_id=BOOT[1], first=HOUR - 40)
    lead_off = block(HOUR + 50, 30, leads=2, off=["V1"])
    items = [
        block(HOUR - 100, 90, leads=2),
        marker,
        block(HOUR - 10, 30, leads=2),
        gap(HOUR + 20, 30),
        lead_off,
    ]
    recorded(tmp_path, items, stored_every=9)
    assert [page.hour for page in pages(tmp_path)] == [0, 1]
    again = list(Recorded(tmp_path).read(BOOT, HOUR - 100, HOUR + 79))
    assert [i.reason for i in again if isinstance(i, Gap)] == [GapReason.UNANSWERED]
    assert there(tmp_path, HOUR - 100, HOUR + 79) == [
        *range(HOUR - 100, HOUR + 20),
        *range(HOUR + 50, HOUR + 80),
    ]
    assert {
        s for i in again if isinstance(i, SampleBlock) and i.lead_off for s in range(i.first, i.last + 1)
    } == set(range(HOUR + 50, HOUR + 80))
    assert Recorded(tmp_path).markers(BOOT, 0, 2 * HOUR) == [marker]
    first = next(i for i in again if isinstance(i, SampleBlock))
    assert replace(first, counts=items[0].counts, first=0) == replace(
        items[0], first=0, counts=items[0].counts
    )  # type: ignore[arg-type, union-attr]
    assert Recorded(tmp_path).clock(BOOT, HOUR) == at(0)


@settings(deadline=None, max_examples=60)
@given(
    pieces=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["block", "block", "block", "gap"])), min_size=1
    ),
    begin=st.sampled_from([0, HOUR - 70, 3 * HOUR - 1]),
    batch=st.integers(1, 7),
    restarts=st.lists(st.integers(0, 40), max_size=3),
    leads=st.integers(1, 3),
    asked=st.tuples(st.integers(-20, 300), st.integers(1, 400)),
)
def test_any_blocks_gaps_batches_and_restarts_are_read_as_they_were(
    pieces: list[tuple[int, str]],
    begin: int,
    batch: int,
    restarts: list[int],
    leads: int,
    asked: tuple[int, int],
) -> None:
    """After a restart the patch is asked again from before: what overlaps is there once."""
    items: list[SampleBlock | Gap] = []
    sample = begin
    for count, kind in pieces:
        items.append(block(sample, count, leads=leads) if kind == "block" else gap(sample, count))
        sample += count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cut in [*restarts, len(items)]:
            recorded(folder, items[max(0, cut - 12) : cut], stored_every=batch)
        recorded(folder, items, stored_every=batch)
        size = sum(path.stat().st_size for path in folder.iterdir())
        recorded(folder, items, stored_every=batch)
        assert sum(path.stat().st_size for path in folder.iterdir()) == size  # all of it was there
        if not any(isinstance(item, SampleBlock) for item in items):
            assert Recorded(folder).boots() == []  # whose leads they are is not known
            return
        first = max(0, begin + asked[0])
        last = first + asked[1] - 1
        assert there(folder, first, last) == [
            s
            for i in items
            if isinstance(i, SampleBlock)
            for s in range(i.first, i.last + 1)
            if first <= s <= last
        ]
        missing = {
            s: item for item in items if isinstance(item, Gap) for s in range(item.first, item.last + 1)
        }
        for begin_, end, what in told(folder, first, last):
            if isinstance(what, GapReason):
                assert all((s in missing) == (what is GapReason.UNANSWERED) for s in range(begin_, end + 1))


def test_samples_that_come_after_all_take_the_place_of_their_gap(tmp_path: Path) -> None:
    recorded(tmp_path, [block(0, 50), gap(50, 20), block(70, 30)])
    recorded(tmp_path, [block(40, 60)])
    assert there(tmp_path, 0, 99) == list(range(100))


def test_a_change_of_leads_or_scale_begins_a_new_file(tmp_path: Path) -> None:
    other = replace(block(20, 10, leads=2), uv_per_count=(5.0, 5.0))
    recorded(tmp_path, [block(0, 10), block(10, 10, leads=2), other], stored_every=9)
    assert len(pages(tmp_path)) == 3
    assert there(tmp_path, 0, 29) == list(range(30))
    assert [len(i.leads) for i in Recorded(tmp_path).read(BOOT, 0, 29) if isinstance(i, SampleBlock)] == [
        1,
        2,
        2,
    ]


def test_a_gap_before_any_sample_waits_for_what_tells_its_leads(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, BUDGET)
    recorder.push(gap(100, 50, GapReason.EVICTED), at)
    recorder.store()
    recorder.push(block(150, 10), at)
    recorder.close()
    assert [what for _, _, what in told(tmp_path, 90, 149)] == [GapReason.NOT_RECORDED, GapReason.EVICTED]


def test_a_gap_of_days_is_one_record_and_known_where_it_ends(tmp_path: Path) -> None:
    days = 72 * HOUR
    recorded(tmp_path, [block(0, 10), gap(10, days, GapReason.TOO_LONG), block(10 + days, 10)])
    assert len(pages(tmp_path)) == 2
    assert told(tmp_path, 10, 9 + days) == [(10, 9 + days, GapReason.TOO_LONG)]
    assert told(tmp_path, days - 500, 9 + days) == [(days - 500, 9 + days, GapReason.TOO_LONG)]


# -- damage -------------------------------------------------------------------------------------------------


def test_a_file_cut_at_any_byte_is_read_to_its_last_whole_record_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(tmp_path, [block(0, 30), gap(30, 5), block(35, 25)])
    (page,) = pages(tmp_path)
    whole = (tmp_path / page.name).read_bytes()
    ends = [end for end in range(len(whole) + 1) if scan(whole[:end]).end == end]
    assert len(ends) > 5
    for cut in range(0, len(whole), 3):
        (tmp_path / page.name).write_bytes(whole[:cut])
        assert scan(whole[:cut]).end == max(end for end in ends if end <= cut)
        caplog.clear()
        recorded(tmp_path, [block(35, 25)])
        assert ("torn" in caplog.text) == (cut not in ends)
        assert there(tmp_path, 35, 59) == list(range(35, 60))
        for path in tmp_path.iterdir():
            path.unlink()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_flipped_bytes_cost_their_own_records_only_and_are_said(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded(folder, [block(i * 10, 10) for i in range(20)])
        (page,) = pages(folder)
        raw = bytearray((folder / page.name).read_bytes())
        head = len(raw) - sum(1 for _ in ())  # the whole file, head and all
        where = data.draw(st.sets(st.integers(150, head - 1), min_size=1, max_size=3))
        for place in where:
            raw[place] ^= data.draw(st.integers(1, 255))
        (folder / page.name).write_bytes(raw)
        left = there(folder, 0, 199)
        assert len(left) >= 200 - 10 * len(where)
        lost = [what for _, _, what in told(folder, 0, 199) if isinstance(what, GapReason)]
        assert set(lost) == {GapReason.CORRUPT}


def test_a_damaged_head_costs_no_sample_where_it_is_repeated_and_is_said_where_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = [
        replace(
            block(i * 100, 100), counts=read_only(rng.integers(-(2**30), 2**30, (1, 100), dtype=np.int32))
        )
        for i in range(400)
    ]
    recorded(tmp_path, noise[:10])
    (page,) = pages(tmp_path)
    path = tmp_path / page.name
    raw = bytearray(path.read_bytes())
    raw[60] ^= 1
    path.write_bytes(raw)
    with pytest.raises(Exception, match="holds nothing"):
        list(Recorded(tmp_path).read(BOOT, 0, 999))
    raw[60] ^= 1
    path.write_bytes(raw)
    recorded(tmp_path, noise[:359], stored_every=50)
    raw = bytearray(path.read_bytes())
    raw[60] ^= 1
    path.write_bytes(raw)
    again = [i for i in Recorded(tmp_path).read(BOOT, 0, 35_899) if isinstance(i, SampleBlock)]
    assert np.array_equal(
        np.concatenate([i.counts for i in again], axis=1),
        np.concatenate([n.counts for n in noise[:359]], axis=1),
    )
