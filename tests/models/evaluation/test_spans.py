from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.spans import Span, merged, outside, overlap, share, total

spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda s: (s[0], s[0] + s[1])), max_size=8
)


def mask(of: list[Span] | tuple[Span, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    out = np.zeros(100, dtype=np.bool_)
    for first, last in of:
        out[first : last + 1] = True
    return out


@given(spans, spans)
def test_span_arithmetic_is_that_of_sets_of_samples(a: list[Span], b: list[Span]) -> None:
    one, two = merged(a), merged(b)
    assert total(one) == mask(a).sum()
    np.testing.assert_array_equal(mask(overlap(one, two)), mask(a) & mask(b))
    np.testing.assert_array_equal(mask(outside(a, 0, 99)), ~mask(a))


def test_spans_that_touch_are_one_and_shares_count_both_ends() -> None:
    assert merged([(5, 9), (0, 4), (11, 12)]) == ((0, 9), (11, 12))
    assert share((0, 9), [(5, 20)]) == 0.5
    assert outside([(0, 4)], 0, 4) == ()
