from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.evaluation.served import SaidEpisode, Served, cut, joined, laid_out, zeroed
from models.evaluation.serving import serve_each
from models.recordings import Recording


def test_a_stretch_keeps_what_was_not_measured(ramp: Recording) -> None:
    piece = cut(ramp, 900, 3049)
    assert piece.gaps == ((100, 200),)
    assert piece.lead_off == (("V1", 2100, 50),)
    np.testing.assert_array_equal(piece.counts[0, :100], np.arange(900, 1000))
    second = cut(ramp, 900, 3049, [1])
    assert second.leads == ("V1",)
    assert second.gaps == ((100, 200), (2100, 50))
    assert second.lead_off == ()


def test_zeroes_have_the_same_leads_and_length_and_nothing_else(ramp: Recording) -> None:
    nothing = zeroed(ramp)
    assert (nothing.leads, nothing.counts.shape, nothing.gaps) == (ramp.leads, ramp.counts.shape, ())
    assert not nothing.counts.any()


def test_a_rhythm_goes_on_where_five_minutes_end_an_episode(episode: Callable[..., SaidEpisode]) -> None:
    parts = [
        episode("AFIB", 3100, 5000, said=5000, alarm=False),
        episode("AFIB", 0, 3000, said=1500),
        episode("VT", 2900, 3100),
        episode("AFIB", 5050, 5900),
    ]
    whole = joined(parts, seams=[0, 3050], reach=100)
    assert [(e.label, e.first, e.last, e.said, e.alarm) for e in whole] == [
        ("AFIB", 0, 5000, 1500, True),
        ("VT", 2900, 3100, 3100, True),
        ("AFIB", 5050, 5900, 5900, True),
    ]


def test_steps_of_episodes_lie_on_one_grid() -> None:
    """Episodes that begin at 0, 1 and 3 s, the first a step longer than the second lets it be."""
    parts = [
        (0.0, {"AFIB": [0.1, 0.2, 0.3]}),
        (1.0, {"AFIB": [0.4, 0.5]}),
        (3.0, {"AFIB": [0.6], "VF": [1.0]}),
    ]
    assert laid_out(parts) == {
        "AFIB": (0.1, 0.2, 0.4, 0.5, 0.0, 0.0, 0.6),
        "VF": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    }


def test_recordings_come_back_in_order_and_zeroes_are_served_once(
    ramp: Recording, served: Callable[..., Served]
) -> None:
    heard: list[int] = []

    def serve(recording: Recording) -> Served:
        heard.append(int(recording.counts.sum()))
        return served(samples=recording.counts.shape[1])

    items = [(name, ramp) for name in "abcd"] + [("short", cut(ramp, 0, 99))]
    through = list(serve_each(items, serve))
    assert [name for name, _, _ in through] == ["a", "b", "c", "d", "short"]
    assert [blind.samples for _, _, blind in through] == [6000] * 4 + [100]
    assert heard.count(0) == 2
