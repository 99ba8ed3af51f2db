"""The outbox: together or not at all, and nothing leaves before the cloud has it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from edge.outbox import REJECTIONS, Outbox
from edge.segments import SegmenterState
from models.ecg import Segment, read_only, segment_id
from models.errors import DeliveryError
from models.wire import decode_segment

BOOT = ("p", 1)


def make_part(number: int, samples: int = 100) -> Segment:
    first = number * samples
    episode = segment_id(*BOOT, 0, samples - 1)
    return Segment(
        id=segment_id(*BOOT, first, first + samples - 1),
        patch_id="p",
        boot_id=1,
        episode_id=episode,
        part=number,
        final=False,
        continues=None,
        opened_by="screener",
        first=first,
        fs=100.0,
        leads=("II",),
        counts=read_only(np.random.default_rng(number).integers(-2000, 2000, (1, samples), dtype=np.int32)),
        uv_per_count=(1.0,),
    )


def test_segments_leave_oldest_first_and_only_when_acknowledged(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db", "home")
    made = [make_part(i) for i in range(5)]
    box.commit(BOOT, made[:3], SegmenterState(processed=299))
    box.commit(BOOT, made[3:], SegmenterState(processed=499))
    assert [p.id for p in box.oldest(3)] == [s.id for s in made[:3]]
    assert [p.id for p in box.oldest(3, {made[0].id})] == [s.id for s in made[1:4]]
    box.acknowledge(made[1].id, 123)
    assert [p.id for p in box.oldest(9)] == [made[i].id for i in (0, 2, 3, 4)]
    assert (box.depth(), box.counter("acknowledged"), box.counter("uplink_bytes")) == (4, 1, 123)
    box.close()


def test_what_is_stored_is_what_the_cloud_reads_numbered_in_order(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db", "home")
    made = [make_part(i) for i in range(3)]
    for part in made:
        box.commit(BOOT, [part], SegmenterState())
    read = [decode_segment(p.payload) for p in box.oldest(9)]
    assert [s.sha256 for s, _ in read] == [s.sha256 for s in made]
    assert [e.seq for _, e in read] == [1, 2, 3]
    box.close()


def test_a_segment_derived_again_after_a_restart_is_not_doubled(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db", "home")
    box.commit(BOOT, [make_part(0)], SegmenterState(processed=99))
    box.close()
    again = Outbox(tmp_path / "outbox.db", "home")
    assert again.restore(*BOOT) == SegmenterState(processed=99)
    assert again.restore("p", 2) is None
    again.commit(BOOT, [make_part(0)], SegmenterState(processed=99))
    assert again.depth() == 1
    again.close()


def test_three_rejections_set_a_segment_aside_and_the_next_goes_on(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db", "home")
    box.commit(BOOT, [make_part(0), make_part(1)], SegmenterState())
    outcomes = [box.reject(make_part(0).id, "hash") for _ in range(REJECTIONS)]
    assert outcomes == [False, False, True]
    assert (box.depth(), box.dead(), box.oldest(1)[0].id) == (1, 1, make_part(1).id)
    box.close()


def test_a_full_outbox_says_so_and_keeps_what_it_holds(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db", "home", max_bytes=120_000)
    stored = 0
    with pytest.raises(DeliveryError, match="cannot store"):
        for number in range(100):
            box.commit(BOOT, [make_part(number, 4000)], SegmenterState(processed=number))
            stored += 1
    state = box.restore(*BOOT)
    assert state is not None
    assert (box.depth(), state.processed) == (stored, stored - 1)
    box.acknowledge(box.oldest(1)[0].id, 1)  # what has gone makes room
    box.commit(BOOT, [make_part(stored, 4000)], SegmenterState(processed=stored))
    box.close()


def test_a_folder_that_is_missing_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"outbox .* cannot be opened"):
        Outbox(tmp_path / "nowhere" / "outbox.db", "home")


def test_kill_9_between_the_segment_and_its_state_leaves_neither(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from edge.outbox import Outbox
        from edge.segments import SegmenterState
        from tests_part import make_part

        class Dies(SegmenterState):
            def to_json(self):  # the segment is inserted, its state is not yet
                os.kill(os.getpid(), 9)

        box = Outbox(Path(sys.argv[1]), "home")
        box.commit(("p", 1), [make_part(0)], SegmenterState(processed=99))
        box.commit(("p", 1), [make_part(1)], Dies(processed=199))
        """
    )
    (tmp_path / "tests_part.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    path = [str(tmp_path), str(Path(__file__).parents[2])]
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "outbox.db")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    box = Outbox(tmp_path / "outbox.db", "home")
    assert [p.id for p in box.oldest(9)] == [make_part(0).id]
    assert box.restore(*BOOT) == SegmenterState(processed=99)
    box.close()


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db", "home")
    with sqlite3.connect(tmp_path / "outbox.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    assert box._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    box.close()
