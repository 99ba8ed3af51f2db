"""Stretches that edges sent of what they recorded, because somebody asked: to be looked at, and no more.

They are never analysed and raise nothing. The same stretch sent again is a duplicate; where the edge holds
less of it by then, the fuller one stays.
"""

from __future__ import annotations

import json
from collections import Counter

from cloud.memory import Memory
from cloud.rows import Row
from cloud.store import Receipt
from models.ranges import Pulled, decode_range

LONGEST_S = 120.0  # of one, by any clock
_WITHIN = "where patch_id = ? and utc > ? and utc < ? and until_utc > ? order by resolution desc, utc"


class Ranges:
    """May be used from any thread. Errors of the database are DeliveryError."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def commit(self, payload: bytes, pulled: Pulled, *, seq: int, site: str, now: float) -> Receipt:
        """Insert by id, or put the fuller one in its place, committed on return."""
        with self._memory.writing() as db:
            before = self._memory.one("select sha256, held from ranges where id = ?", pulled.id)
            if before is not None and pulled.held <= before["held"]:
                same = pulled.held < before["held"] or pulled.sha256 == before["sha256"]
                return Receipt.DUPLICATE if same else Receipt.CONFLICT
            named = ("id", "patch_id", "boot_id", "first", "last", "fs", "resolution", "held", "sha256")
            row = {name: getattr(pulled, name) for name in named}
            row |= {"utc": pulled.clock.utc(pulled.first), "until_utc": pulled.clock.utc(pulled.last + 1)}
            row |= {"summary": json.dumps(_summary(pulled))}
            row |= {"seq": seq, "site": site, "received_at": now, "payload": payload}
            db.table("ranges").upsert(row, pk="id")
        return Receipt.COMMITTED

    def summaries(self, patch_id: str, begin: float, end: float) -> list[Row]:
        """Of the same stretches, without their samples: utc, until_utc, fs, resolution, held and summary:
        {"peaks": {lead: [least, greatest], microvolts}, "gaps": {reason: seconds}}; the finest last."""
        held = self._memory.all(
            f"select utc, until_utc, fs, resolution, held, summary from ranges {_WITHIN}",  # noqa: S608
            *_within(patch_id, begin, end),
        )
        return [row | {"summary": json.loads(row["summary"])} for row in held]

    def between(self, patch_id: str, begin: float, end: float) -> list[Pulled]:
        """Those that hold any of the time from `begin` to before `end` (Unix seconds), the finest last.

        One whose clock is unknown is kept, and lies in no such time.
        """
        held = self._memory.all(
            f"select payload from ranges {_WITHIN}",  # noqa: S608
            *_within(patch_id, begin, end),
        )
        return [decode_range(row["payload"])[0] for row in held]


def _within(patch_id: str, begin: float, end: float) -> tuple[str, float, float, float]:
    return patch_id, begin - LONGEST_S, end, begin


def _summary(pulled: Pulled) -> Row:
    gaps = Counter[str]()
    for _, count, why in pulled.gaps:
        gaps[str(why)] += count
    peaks = {}
    if pulled.held:  # a pair without samples is 0, which is no peak but near every signal's rest
        for lead, scale, counts in zip(pulled.leads, pulled.uv_per_count, pulled.counts, strict=True):
            peaks[lead] = [round(scale * float(end), 1) for end in (counts.min(), counts.max())]
    return {"peaks": peaks, "gaps": {why: count / pulled.fs for why, count in gaps.items()}}
