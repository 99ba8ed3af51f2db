"""Evidence: numbered facts inside the ECG's bounds, and values rounded as they are printed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anyecg.evidence import MOST_ECGS, QUANTITIES, Evidence
from models.verdicts import LABELS, Finding

MakeEcg = Callable[..., Evidence]
MakeFinding = Callable[..., Finding]


def test_quantities_have_the_same_numbers_in_every_ecg(make_ecg: MakeEcg) -> None:
    ecg = make_ecg(place=1, pr=None)
    assert [(fact.id, fact.label) for fact in ecg.facts] == [
        (f"b{i}", name) for i, name in enumerate(QUANTITIES, start=1)
    ]
    assert ecg.value("RATE") == 72.0
    assert ecg.value("PR") is None
    assert ecg.fact("PR") is not None


def test_findings_follow_in_the_tables_order_one_fact_a_label(
    make_ecg: MakeEcg, make_finding: MakeFinding
) -> None:
    ecg = make_ecg(
        make_finding("AFIB", 20.0, 30.0),
        make_finding("V", 9.0, 9.1, 0.7),
        make_finding("V", 3.0, 3.1, 0.95),
    )
    assert [(f.id, f.label, f.count) for f in ecg.findings] == [("a11", "V", 2), ("a12", "AFIB", 1)]
    assert ecg.findings[0].spans == ((3.0, 3.1), (9.0, 9.1))
    assert ecg.findings[0].chances == (0.7, 0.95)
    assert ecg.findings[0].threshold == 0.5
    assert ecg.findings[1].seconds == 10.0


def test_a_rule_gives_no_probability(make_ecg: MakeEcg, make_finding: MakeFinding) -> None:
    pause = make_ecg(make_finding("PAUSE", 10.0, 12.5, None)).fact("PAUSE")
    assert pause is not None
    assert (pause.chances, pause.threshold) == (None, None)


def test_what_lies_outside_is_left_out_and_what_crosses_an_edge_is_clipped(
    make_ecg: MakeEcg, make_finding: MakeFinding
) -> None:
    found = [make_finding("AFIB", first, first + 10) for first in (0.0, 25.0, 85.0, 90.0)]
    ecg = make_ecg(*found, start=30.0, beats=((29.9, "N"), (30.0, "V"), (90.0, "N")))
    assert [fact.spans for fact in ecg.findings] == [((30.0, 35.0), (85.0, 90.0))]
    assert ecg.beats == ((30.0, "V"),)


def test_more_ecgs_than_letters_are_refused(make_ecg: MakeEcg) -> None:
    assert make_ecg(place=MOST_ECGS - 1).letter == "z"
    with pytest.raises(ValueError, match="26 is the most"):
        make_ecg(place=MOST_ECGS)


@settings(max_examples=50)
@given(seed=st.integers(0, 10**9))
def test_facts_are_numbered_and_lie_inside(
    seed: int, draw_ecgs: Callable[[Random, int], list[Evidence]]
) -> None:
    for ecg in draw_ecgs(Random(seed), 3):
        assert [fact.id for fact in ecg.facts] == [f"{ecg.letter}{i + 1}" for i in range(len(ecg.facts))]
        assert [f.label for f in ecg.findings] == [x for x in LABELS if ecg.fact(x) is not None]
        for fact in ecg.findings:
            assert all(ecg.start <= first <= last <= ecg.end for first, last in fact.spans)
            assert list(fact.spans) == sorted(fact.spans)
