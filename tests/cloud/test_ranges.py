"""Pulled stretches at the cloud: kept once, the fuller one, acknowledged, and looked at by nobody's rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloud.inbox import Inbox
from cloud.sqlite_store import SqliteStore
from cloud.store import Receipt
from models.ecg import Clock, GapReason, read_only
from models.ranges import Pulled, encode_range

FULL = Pulled(
    patch_id="p",
    boot_id=1,
    first=0,
    last=999,
    fs=100.0,
    leads=("II",),
    resolution=1,
    counts=read_only(np.arange(1000, dtype=np.int32)[None]),
    uv_per_count=(5.0,),
    clock=Clock(utc_0=1000.0, fs=100.0, quality="arrival"),
)
EVICTED = replace(
    FULL,
    counts=read_only(np.where(np.arange(1000) < 500, 0, FULL.counts)),
    gaps=((0, 500, GapReason.EVICTED),),
)


def commit(store: SqliteStore, one: Pulled) -> Receipt:
    return store.ranges.commit(encode_range(one, 1, "home"), one, seq=1, site="home", now=1.0)


def test_the_fuller_one_stays_whatever_comes_first(store: SqliteStore) -> None:
    assert [commit(store, one) for one in (EVICTED, FULL, EVICTED, FULL)] == [
        Receipt.COMMITTED,
        Receipt.COMMITTED,
        Receipt.DUPLICATE,
        Receipt.DUPLICATE,
    ]
    (kept,) = store.ranges.between("p", 1000.0, 1001.0)
    assert kept.gaps == ()
    other = replace(FULL, counts=read_only(FULL.counts + 1))
    assert commit(store, other) is Receipt.CONFLICT
    (row,) = store.ranges.summaries("p", 1000.0, 1001.0)
    assert row["summary"] == {"peaks": {"II": [0.0, 4995.0]}, "gaps": {}}
    assert store.ranges.between("p", 1010.0, 1020.0) == store.ranges.between("q", 1000.0, 1001.0) == []


def test_it_is_acknowledged_after_its_commit_and_neither_analysed_nor_an_event(
    store: SqliteStore, inbox: Inbox, patch_edge: Any
) -> None:
    patch_edge.hears("online")
    patch_edge.send(encode_range(FULL, 1, "home"), "range")
    assert patch_edge.answer() == "committed"
    patch_edge.send(encode_range(FULL, 1, "home"), "range")
    assert patch_edge.answer() == "duplicate"
    patch_edge.send(encode_range(replace(FULL, patch_id="q"), 1, "home"), "range")
    assert patch_edge.answer() == "rejected:topic"
    assert (store.pending(), store.alerts(), store.episodes()) == (0, [], [])
    assert [event.kind for event in store.events(0)] == []


@pytest.mark.parametrize("reason", list(GapReason))
def test_a_stretch_of_which_nothing_is_there_has_no_peak(store: SqliteStore, reason: GapReason) -> None:
    nothing = replace(FULL, counts=read_only(FULL.counts * 0), gaps=((0, 1000, reason),))
    commit(store, nothing)
    (row,) = store.ranges.summaries("p", 1000.0, 1001.0)
    assert row["summary"] == {"peaks": {}, "gaps": {str(reason): 10.0}}
