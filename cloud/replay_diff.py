"""What two runs found differently: findings of one label that overlap are the same one, however long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from cloud.replays import Replays, Row

MOST = 1000  # of each list, beside its full count

Pair = tuple[Row | None, Row | None]


def diff(replays: Replays, a: str, b: str) -> dict[str, Any]:
    """{"a", "b": summaries, "labels": {label: {"same", "moved", "only_a", "only_b"}},
     "moved": [{"a", "b"}], "only_a", "only_b": [finding], the first MOST}; `moved` begins or ends elsewhere.

    UnknownRunError.
    """
    labels: dict[str, dict[str, int]] = {}
    lists: dict[str, list[Any]] = {"moved": [], "only_a": [], "only_b": []}
    for mine, its in pairs(replays.findings(a), replays.findings(b)):
        kind = _kind(mine, its)
        one = mine or its
        assert one is not None
        counts = labels.setdefault(one["label"], dict.fromkeys(("same", "moved", "only_a", "only_b"), 0))
        counts[kind] += 1
        if kind in lists and len(lists[kind]) < MOST:
            lists[kind].append({"a": mine, "b": its} if kind == "moved" else one)
    return {"a": replays.summary(a), "b": replays.summary(b), "labels": dict(sorted(labels.items())), **lists}


def pairs(a: Sequence[Row], b: Sequence[Row]) -> Iterator[Pair]:
    """Each finding once, with the one of the other run that overlaps it; both as `Replays.findings` is."""
    grouped = [{key: list(rows) for key, rows in groupby(found, _about)} for found in (a, b)]
    for key in sorted({*grouped[0], *grouped[1]}):
        yield from _overlapping(grouped[0].get(key, []), grouped[1].get(key, []))


def _about(row: Row) -> tuple[str, int, str]:
    return row["patch_id"], row["boot_id"], row["label"]


def _overlapping(a: list[Row], b: list[Row]) -> Iterator[Pair]:
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i]["last"] < b[j]["first"]:
            yield a[i], None
            i += 1
        elif b[j]["last"] < a[i]["first"]:
            yield None, b[j]
            j += 1
        else:
            yield a[i], b[j]
            i, j = i + 1, j + 1
    yield from ((row, None) for row in a[i:])
    yield from ((None, row) for row in b[j:])


def _kind(mine: Row | None, its: Row | None) -> str:
    if mine is None or its is None:
        return "only_b" if mine is None else "only_a"
    same = all(mine[name] == its[name] for name in ("first", "last"))
    return "same" if same else "moved"
