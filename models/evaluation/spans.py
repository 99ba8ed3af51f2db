"""Stretches of samples as sorted, disjoint (first, last) pairs, both included. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[int, int]


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sorted; those that overlap or touch are one."""
    out: list[Span] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        elif first <= last:
            out.append((first, last))
    return tuple(out)


def overlap(a: Iterable[Span], b: Sequence[Span]) -> tuple[Span, ...]:
    """What both cover."""
    return merged((max(p[0], q[0]), min(p[1], q[1])) for p in a for q in b if p[0] <= q[1] and q[0] <= p[1])


def total(spans: Iterable[Span]) -> int:
    """Samples covered by disjoint spans."""
    return sum(last + 1 - first for first, last in spans)


def share(span: Span, of: Sequence[Span]) -> float:
    """How much of the span the others cover, 0 to 1."""
    return total(overlap([span], of)) / total([span])


def outside(spans: Sequence[Span], first: int, last: int) -> tuple[Span, ...]:
    """What the spans leave of the stretch."""
    out, begin = [], first
    for a, b in merged(spans):
        if a > begin:
            out.append((begin, min(a - 1, last)))
        begin = max(begin, b + 1)
    return merged([*out, (begin, last)])
