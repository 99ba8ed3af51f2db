"""Minutes: every sample lies in exactly one, as rows of the trend and pulled stretches begin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.signals.windows import grid, minute_of


@given(st.integers(0, 2**40), st.floats(20, 2000))
def test_every_sample_lies_in_one_minute_and_the_next_begins_where_it_ends(sample: int, fs: float) -> None:
    first, after = minute_of(sample, fs)
    assert first <= sample < after
    assert minute_of(first, fs) == minute_of(after - 1, fs) == (first, after)
    assert minute_of(after, fs)[0] == after
    assert abs(after - first - 60 * fs) <= 1


def test_minutes_begin_on_the_grid_of_the_windows() -> None:
    assert [minute_of(grid(12 * k, 128.3), 128.3) for k in range(3)] == [
        (grid(12 * k, 128.3), grid(12 * k + 12, 128.3)) for k in range(3)
    ]
