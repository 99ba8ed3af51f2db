"""Parts of a recording as one reading: what was found, measured and seen, each counted once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from cloud.analyst import EpisodeAnalyst
from cloud.config import RuleConfig
from cloud.reading import CHANCES, LOUD, between, found, read
from edge.intake import Intake
from edge.screening import WindowScreener
from models.anyecg.chat.eyes import Eyes
from models.anyecg.chat.readings import Reading
from models.anyecg.localizer import Localizer
from models.ecg import Segment
from models.errors import RecordingError
from models.evaluation.served import cut, zeroed
from models.recordings import Recording, RecordingSource, make_recording
from models.screener.runtime import Screener


def parts_of(recording: Recording) -> list[Segment]:
    """Everything, as the edge cuts it."""
    screen = WindowScreener(Screener())
    intake = Intake(lambda window: replace(screen(window), flagged=True))
    items = RecordingSource(recording).blocks()
    return [part for item in items for part in intake.push(item) if isinstance(part, Segment)]


def strip(excerpt: Recording, seconds: float) -> Recording:
    return cut(excerpt, 0, round(seconds * excerpt.fs) - 1)


@pytest.fixture(scope="module")
def reading(excerpt: Recording, network: Localizer, eyes: Eyes) -> Reading:
    return read(parts_of(strip(excerpt, 60)), network, eyes)


def test_a_reading_holds_what_the_analyst_said(
    reading: Reading, excerpt: Recording, network: Localizer
) -> None:
    analyst = EpisodeAnalyst(network)
    for part in parts_of(strip(excerpt, 60)):
        analyst.push(part)
    measured = analyst.measurements()
    facts = reading.evidence
    assert facts.value("BEATS") == measured.beats == len(facts.beats)
    assert facts.value("RATE") == round(measured.heart_rate_mean or 0)
    ventricular = facts.fact("V")
    assert ventricular is not None
    assert ventricular.count == [f.label for f in analyst.findings].count("V") > 0
    assert ventricular.count == [label for _, label in facts.beats].count("V")
    assert [f.label for f in reading.findings].count("V") == ventricular.count
    assert (facts.start, facts.end, facts.leads) == (0.0, 60.0, excerpt.leads)
    assert len(reading.features) == 60


def test_what_the_eyes_see_is_followed_by_how_far_the_localizer_was_from_each_threshold(
    reading: Reading, excerpt: Recording, network: Localizer
) -> None:
    of_seconds, so_far = np.split(reading.features[:, -2 * len(CHANCES) :].T / LOUD, 2)
    chances = dict(zip(CHANCES, of_seconds, strict=True))
    first = strip(excerpt, 60)
    microvolts = (first.counts * np.asarray(first.uv_per_count)[:, None]).astype(np.float32)
    found = network.run(microvolts, first.fs, first.leads)
    ventricular = {int(at) for at, label in reading.evidence.beats if label == "V"}
    assert ventricular
    assert set(np.flatnonzero(chances["V"] >= 0)) >= ventricular
    assert (chances["V"][sorted(set(range(60)) - ventricular)] < 0).mean() > 0.9
    assert (chances["N"] > 0).sum() >= 55  # a beat in nearly every second
    assert all(-1 <= row.min() <= row.max() <= 1 for row in chances.values())
    fibrillation = found.rhythm[:120, 0].reshape(60, 2).max(axis=1)
    threshold = network.thresholds["AFIB"]
    np.testing.assert_array_equal(chances["AFIB"] >= 0, fibrillation >= threshold)
    np.testing.assert_array_equal(so_far, [[max(row[: i + 1]) for i in range(60)] for row in of_seconds])


def test_beyond_five_minutes_one_analyst_counts_everything_once(
    excerpt: Recording, network: Localizer, eyes: Eyes
) -> None:
    counts = np.tile(excerpt.counts, (1, 2))[:, : round(340 * excerpt.fs)]
    longer = make_recording("long", excerpt.fs, excerpt.leads, counts, excerpt.uv_per_count)
    parts = parts_of(longer)
    assert len({part.episode_id for part in parts}) == 2
    reading = read(parts, network, eyes)
    assert reading.evidence.value("ANALYSED") == 340
    assert reading.evidence.value("NOT_ANALYSED") == 0
    assert len(reading.features) == 340
    peaks = [at for at, _ in reading.evidence.beats]
    assert min(b - a for a, b in pairwise(peaks)) > 0.2
    seam = parts[-2].first / excerpt.fs
    assert len([at for at in peaks if abs(at - seam) < 5]) >= 8
    ids = {f.segment_id for f in reading.findings}
    assert ids <= {part.id for part in parts}


def test_rules_that_look_once_at_the_end_find_what_they_find_part_by_part(
    excerpt: Recording, network: Localizer
) -> None:
    once, each = EpisodeAnalyst(network), EpisodeAnalyst(network)
    *parts, last = parts_of(strip(excerpt, 290))
    for part in parts:
        once.take(part)
        each.push(part)
    once.push(last)
    each.push(last)
    assert found(once) == found(each)
    assert once.measurements() == each.measurements()
    assert len(found(once)) > 50


def test_rules_that_change_on_the_way_find_what_they_find_part_by_part(
    excerpt_parts: list[Segment], network: Localizer, eyes: Eyes
) -> None:
    usual, strict = RuleConfig(), RuleConfig(fast_bpm=117.0)
    rules = [strict] * 4 + [usual]
    each = EpisodeAnalyst(network)
    for part, now in zip(excerpt_parts, rules, strict=True):
        each.rules = now
        each.push(part)
    findings = read(excerpt_parts, network, eyes, rules).findings
    assert findings == found(each)
    assert "TACHY" in {f.label for f in findings}


def test_a_cut_holds_what_lies_between_two_samples_and_nothing_else(excerpt_parts: list[Segment]) -> None:
    first, last = excerpt_parts[0].first + 1000, excerpt_parts[2].last - 500
    marked = [replace(part, gaps=((part.first, 1500),)) for part in excerpt_parts]
    parts = list(between(marked, first, last))
    assert (parts[0].first, parts[-1].last, len(parts), parts[-1].final) == (first, last, 3, True)
    counts = np.concatenate([part.counts for part in excerpt_parts], axis=1)
    held = np.concatenate([part.counts for part in parts], axis=1)
    assert np.array_equal(held, counts[:, first : last + 1])
    assert parts[0].gaps == ((first, 500),)


def test_what_did_not_come_is_not_analysed_and_said(
    excerpt: Recording, network: Localizer, eyes: Eyes
) -> None:
    short = strip(excerpt, 40)
    missing = np.zeros(short.counts.shape, dtype=np.bool_)
    missing[:, round(10 * short.fs) : round(18 * short.fs)] = True
    gone = make_recording("gap", short.fs, short.leads, short.counts, short.uv_per_count, missing=missing)
    reading = read(parts_of(gone), network, eyes)
    assert reading.evidence.value("NOT_ANALYSED") == pytest.approx(8.5, abs=0.1)
    assert [(round(a), round(b)) for a, b in reading.evidence.dark] == [(10, 18)]
    assert not any(10 <= at < 18 for at, _ in reading.evidence.beats)
    assert len(reading.features) == 40


def test_of_a_zeroed_recording_nothing_is_analysed_and_a_standstill_is_not_silenced(
    excerpt: Recording, network: Localizer, eyes: Eyes
) -> None:
    reading = read(parts_of(zeroed(strip(excerpt, 30))), network, eyes)
    assert reading.evidence.value("ANALYSED") == 0
    assert {fact.label for fact in reading.evidence.findings} == {"NOISE", "PAUSE"}
    assert reading.evidence.beats == ()
    assert reading.evidence.dark == ((0.0, 30.0),)


def test_later_parts_keep_the_patchs_own_clock(
    excerpt: Recording, network: Localizer, eyes: Eyes, excerpt_parts: list[Segment]
) -> None:
    reading = read(excerpt_parts[1:], network, eyes, place=1, date="2024-05-31")
    facts = reading.evidence
    assert (facts.letter, facts.date) == ("b", "2024-05-31")
    assert (facts.start, facts.end) == (30.0, 90.0)
    assert all(30 <= at < 90 for at, _ in facts.beats)
    assert len(reading.features) == 60


def test_bounds_clip_what_is_told_and_seen(
    reading: Reading, excerpt: Recording, network: Localizer, eyes: Eyes
) -> None:
    clipped = read(parts_of(strip(excerpt, 60)), network, eyes, bounds=(20.0, 50.0))
    assert clipped.evidence.beats == tuple(beat for beat in reading.evidence.beats if 20 <= beat[0] < 50)
    assert len(clipped.features) == 30


def test_without_a_part_there_is_nothing_to_read(network: Localizer, eyes: Eyes) -> None:
    with pytest.raises(RecordingError, match="nothing to read"):
        read([], network, eyes)
