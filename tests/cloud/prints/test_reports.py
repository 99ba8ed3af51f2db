"""Reports of a real analysed episode: what is known, what is not, and nothing that was never measured."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cloud.alerts import CALLING, State
from cloud.ask import UnknownEpisodeError
from cloud.assignments import Assignments
from cloud.config import CloudConfig
from cloud.console.app import create_app
from cloud.console.seen import everything
from cloud.console.views import moment
from cloud.prints.day import day_report
from cloud.prints.events import Event, chosen
from cloud.prints.figures import Heart, heart, united
from cloud.prints.report import episode_report
from cloud.prints.strip import Style
from cloud.prints.study import study_report
from cloud.prints.tracing import UnknownPatchError, utc_of
from cloud.prints.typeset import AT_ONCE, Document, caution, pages, pairs, pdf, table, within
from cloud.quiet import QuietRule
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from cloud.symptoms import NEAR_S, Symptom, Told
from cloud.turns import BusyError
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.ecg import Clock, Segment, row_id
from models.errors import UsageError
from models.verdicts import Finding, Priority, TrendRow
from models.wire import encode_segment

UTC_0 = 1_700_000_000.0
NOW = UTC_0 + 3600
HOUR = 3600.0


def words(document: Document) -> str:
    """Everything on its pages but the pictures, in order."""

    def of(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            return [text for key, held in value.items() if key not in {"svg", "kind"} for text in of(held)]
        return [text for held in value for text in of(held)] if isinstance(value, list | tuple) else []

    return "\n".join(
        [document.title, document.head, document.state, document.foot, *of(list(document.blocks))]
    )


def first_page(document: Document) -> str:
    """What stands before the first break, which is on page 1 where that is one page."""
    kinds = [block["kind"] for block in document.blocks]
    return words(replace(document, blocks=document.blocks[: kinds.index("page")]))


def keep_rows(store: SqliteStore, begin: float, end: float) -> None:
    """A row a minute, of which the last ten lack."""
    clock = Clock(utc_0=begin, fs=100.0, quality="arrival")
    for first in range(0, round(end - begin - 600) * 100, 6000):
        row = TrendRow(
            id=row_id("excerpt", 1, first),
            patch_id="excerpt",
            boot_id=1,
            first=first,
            last=first + 5999,
            fs=100.0,
            missing_s=6.0,
            unreadable_s=3.0,
            flagged_s=0.0,
            beats=70,
            n_V=1,
            n_S=2,
            af_s=0.0,
            hr_min=60.0,
            hr_mean=70.0,
            hr_max=80.0,
            model="screener/2 0a1b2c3d",
            clock=clock,
        )
        store.trends.commit(row, seq=0, site="home", now=begin)


def test_an_episode_s_report_says_first_what_was_not_analysed(kept: SqliteStore, episode_id: str) -> None:
    said = first_page(episode_report(everything(kept), episode_id, NOW))
    measured = kept.report(episode_id).measurements  # type: ignore[union-attr]
    assert measured.not_analysed_s == 3.0
    assert "Analysable time: 87.0 s. Not analysable: 3.0 s." in said
    assert "No alerts is not normal: 3.0 s could not be analysed." in said
    assert "missing 33.0 s to 35.5 s" in said
    assert "Not assessed: unclassifiable beat" in said
    assert "ST, QTc" in said
    assert "FINAL" in said


def test_it_gives_the_measured_rates_with_their_times(kept: SqliteStore, episode_id: str) -> None:
    measured = kept.report(episode_id).measurements  # type: ignore[union-attr]
    said = first_page(episode_report(everything(kept), episode_id, NOW))
    assert f"\n{measured.heart_rate_min:.0f}\n/min\n2023-11-1" in said
    assert f"\n{measured.heart_rate_max:.0f}\n/min\n2023-11-1" in said
    assert "time not known" not in said


def test_findings_have_probability_and_threshold_or_by_rule(kept: SqliteStore, episode_id: str) -> None:
    said = first_page(episode_report(everything(kept), episode_id, NOW))
    assert re.search(
        r"V ventricular premature beat\n\d+\n\n\nat [\d.]+ s\n0\.\d\d to 0\.\d\d\nthreshold 0\.\d\d", said
    )
    assert re.search(r"T ventricular trigeminy\n\d+\n[\d.]+ s\n[\d.]+ s\nat [\d.]+ s\n\nby rule", said)


def test_the_narrative_says_who_wrote_it(kept: SqliteStore, episode_id: str) -> None:
    document = episode_report(everything(kept), episode_id, NOW)
    report = kept.report(episode_id)
    assert report is not None
    for line in report.narrative.splitlines():
        assert line in words(document)
    assert f"Written by {report.model}. AI-generated, not yet reviewed." in words(document)


def test_the_last_page_names_models_with_their_hash_and_the_limits(
    kept: SqliteStore, episode_id: str
) -> None:
    said = words(episode_report(everything(kept), episode_id, NOW))
    model = kept.findings(episode_id)[0].finding.evidence["model"]
    assert re.fullmatch(r"localizer/\d+ [0-9a-f]{8}", model)
    last = said[said.index("Method and limits") :]
    assert model in last
    assert "Decision support. Not a diagnosis. Not for emergency monitoring." in last


def test_a_report_is_the_same_bytes_again(kept: SqliteStore, episode_id: str) -> None:
    first, second = (pdf(episode_report(everything(kept), episode_id, NOW)) for _ in range(2))
    assert first == second
    assert b"CreationDate" not in first
    days = [pdf(day_report(everything(kept), "excerpt", UTC_0 - HOUR, UTC_0 + HOUR, NOW)) for _ in range(2)]
    assert days[0] == days[1]


def test_figures_of_the_evidence_are_the_analyst_s(kept: SqliteStore, episode_id: str) -> None:
    report = kept.report(episode_id)
    assert report is not None
    evidence, measured = kept.evidence(report.id), report.measurements
    assert evidence is not None
    read = heart(evidence, (0, 90))
    assert read.mean == pytest.approx(measured.heart_rate_mean, abs=0.3)
    assert read.slowest is not None
    assert read.fastest is not None
    assert read.slowest.bpm == pytest.approx(measured.heart_rate_min, abs=0.3)
    assert read.fastest.bpm == pytest.approx(measured.heart_rate_max, abs=0.3)
    assert (read.beats, read.analysed_s) == (measured.beats, pytest.approx(measured.analysed_s, abs=0.1))


def test_stretches_add_up(kept: SqliteStore, episode_id: str) -> None:
    report = kept.report(episode_id)
    assert report is not None
    evidence = kept.evidence(report.id)
    assert evidence is not None
    whole = heart(evidence, (0, 90))
    for edge in (10.0, 34.0, 61.7):
        both = heart(evidence, (0, edge)) + heart(evidence, (edge, 90))
        assert both.beats == whole.beats
        assert both.analysed_s == pytest.approx(whole.analysed_s)
        assert both.dark_s == pytest.approx(whole.dark_s)
        assert whole.intervals - both.intervals in {0, 1}  # the interval across the edge
    assert heart(evidence, (100, 120)) == Heart()


def test_spans_are_united() -> None:
    assert united([(5, 6), (0, 2), (1, 3), (3, 4)]) == [(0, 4), (5, 6)]


def test_what_is_not_analysed_yet_makes_it_preliminary(tmp_path: Path, parts: list[Segment]) -> None:
    store = SqliteStore(str(tmp_path / "cloud.db"))
    for part in parts[:2]:
        payload = encode_segment(part, part.part, "home")
        store.commit_segment(payload, part, seq=part.part, site="home", now=UTC_0)
    said = first_page(episode_report(everything(store), parts[0].episode_id, NOW))
    assert "PRELIMINARY" in said
    assert "2 of 2 parts are not analysed yet" in said
    assert "Analysable time: not known yet" in said
    day = first_page(day_report(everything(store), "excerpt", UTC_0, UTC_0 + 60, NOW))
    assert "PRELIMINARY" in day
    assert "of them 0.0 s could not be read and 45.0 s are not analysed yet" in day
    assert pdf(episode_report(everything(store), parts[0].episode_id, NOW)).startswith(b"%PDF")
    store.close()


def test_a_day_says_what_did_not_come_and_that_no_minute_rows_do(kept: SqliteStore) -> None:
    said = words(day_report(everything(kept), "excerpt", UTC_0 - HOUR, UTC_0 + 23 * HOUR, UTC_0 + 48 * HOUR))
    assert (
        "Analysable time: 87.0 s of 24 h 0 min. 90.0 s came as episodes: of them 3.0 s could not be read"
        in said
    )
    assert "Outside the episodes, 23 h 58 min, no sample came here" in said
    assert "No minute rows" in said
    assert "Edge:" not in said
    assert "FINAL" in said


def test_a_day_with_minute_rows_tells_of_them_and_of_those_that_lack(kept: SqliteStore) -> None:
    keep_rows(kept, UTC_0 - HOUR, UTC_0 + HOUR)
    said = words(day_report(everything(kept), "excerpt", UTC_0 - HOUR, UTC_0 + HOUR, NOW))
    with kept.writing() as db:
        db.execute("delete from trends")
    assert (
        "By 110 minute rows 11 min 0 s did not reach the edge and 5 min 30 s could not be read there" in said
    )
    assert "of 10 min 0 s there is no row" in said
    assert "Edge: V" in said


def test_a_report_across_a_change_of_hands_says_that_it_is_not_of_one_patient(
    store: SqliteStore, parts: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    assignments = Assignments(store)
    assignments.assign(LOCAL, "excerpt", "one", "A", start=UTC_0 - HOUR)
    for part in parts:
        store.commit_segment(encode_segment(part, part.part, "home"), part, seq=0, site="home", now=NOW)

    def said() -> list[str]:
        seen = everything(store)
        day = day_report(seen, "excerpt", UTC_0 - 2 * HOUR, UTC_0 + 2 * HOUR, NOW)
        return [first_page(day), first_page(episode_report(seen, parts[0].episode_id, NOW))]

    assert not any("changed hands" in text for text in said())  # nothing came of the time before
    monkeypatch.setattr("cloud.assignments.time.time", lambda: UTC_0 + 40.0)
    assignments.assign(LOCAL, "excerpt", "two", "B")
    for text in said():
        assert f"The patch changed hands at {moment(UTC_0 + 40)}: beats, rates and burden" in text


QUIETED = "Under a quiet rule, so that nobody was called when they came: 1 V ventricular premature beat."
FREQUENT = "ventricular beats within 60 s"


def take(store: SqliteStore, network: Localizer, parts: list[Segment]) -> list[str]:
    """Analyses them; what the report of that day and the day's page say."""
    worker = Worker(store, network, CloudConfig())
    for part in parts:
        store.commit_segment(encode_segment(part, part.part, "home"), part, seq=0, site="home", now=UTC_0)
    while (job := store.claim("test", 60.0, now=time.time())) is not None:
        assert worker.work(job)
    for stored in store.alerts(states=CALLING):
        store.book.see(stored.alert.id, "ann", "s", stored.standing.version, now=NOW)
        store.book.suppress(stored.alert.id, "ann", "s", 1, hours=1.0, reason="known", now=NOW)
    assert [stored.standing.state for stored in store.alerts()] == [State.SUPPRESSED]
    with TestClient(create_app(store), base_url="http://127.0.0.1") as client:
        day = datetime.fromtimestamp(UTC_0).astimezone().date()
        page = client.get(f"/patches/excerpt/day?date={day}").text
    return [words(day_report(everything(store), "excerpt", UTC_0, UTC_0 + HOUR, NOW)), page]


def test_what_a_quiet_rule_covered_is_not_told_as_a_call(
    store: SqliteStore, network: Localizer, parts: list[Segment]
) -> None:
    rule = QuietRule(
        patch_id="excerpt", label="V", priority=Priority.LOW, since=0.0, until=9e9, reason="known", who="ann"
    )
    with store.writing() as db:
        store.patient_rules.add(db, rule)
    for said in take(store, network, parts):
        assert FREQUENT not in said
        assert QUIETED in said


def test_what_called_stays_a_call_when_it_is_suppressed_later(
    store: SqliteStore, network: Localizer, parts: list[Segment]
) -> None:
    for said in take(store, network, parts):
        assert FREQUENT in said
        assert QUIETED not in said


def test_a_day_counts_only_what_lies_in_it(kept: SqliteStore, episode_id: str) -> None:
    findings = [stored.finding for stored in kept.findings(episode_id)]
    inside = sum(f.label == "V" and f.first >= 20 * 360 and f.last < 60 * 360 for f in findings)
    document = day_report(everything(kept), "excerpt", UTC_0 + 20, UTC_0 + 60, NOW)
    assert 0 < inside < sum(f.label == "V" for f in findings)
    assert f"V ventricular premature beat\n{inside}\n" in words(document)
    assert "Analysable time: 37.0 s of 40 s" in words(document)


def test_a_patch_or_an_episode_nobody_knows_and_a_month_are_refused(kept: SqliteStore) -> None:
    with pytest.raises(UnknownPatchError, match="There is no patch other"):
        day_report(everything(kept), "other", UTC_0, UTC_0 + 60, NOW)
    assert "nothing came" in words(day_report(everything(kept), "excerpt", UTC_0 - 60, UTC_0, NOW))
    with pytest.raises(UnknownEpisodeError, match="There is no episode X"):
        episode_report(everything(kept), "X", NOW)
    with pytest.raises(UsageError, match=r"a week at most, not of 30\.0 days"):
        day_report(everything(kept), "excerpt", UTC_0, UTC_0 + 30 * 24 * HOUR, NOW)
    with pytest.raises(UsageError, match="begins before it ends"):
        day_report(everything(kept), "excerpt", UTC_0, UTC_0, NOW)


def test_a_moment_without_an_offset_is_utc() -> None:
    for same in ("2023-11-14T22:13:20", "2023-11-14T23:13:20+01:00"):
        assert utc_of(same) == pytest.approx(UTC_0)
    for wrong in ("", "yesterday", "9999-12-31", "2023-13-01"):
        with pytest.raises(UsageError, match="is no moment"):
            utc_of(wrong)


def test_the_gravest_events_come_first_and_none_is_shown_twice(found: Callable[..., Finding]) -> None:
    findings = [found("V", 1000 * i, 1000 * i + 30, 0.9) for i in range(8)]
    findings += [found("VT", 20_000, 20_900, None), found("V", 20_100, 20_130), found("S", 90_000, 90_030)]
    events = [Event(episode_id="e", finding=f, fs=250.0) for f in findings]
    labels = [event.finding.label for event in chosen(events, Style())]
    assert labels == ["VT", "V", "V", "V", "S"]


HOSTILE = '#panic("x") #import "@preview/cetz:0.3.1" $x_1$ *b* // `raw` \\ "q" <a> @b [c] \x00 \u202e 心電図'


def test_no_word_of_a_report_is_read_as_markup() -> None:
    document = Document(
        title=HOSTILE,
        head=HOSTILE,
        state=HOSTILE,
        foot=HOSTILE,
        blocks=(caution(HOSTILE), pairs({HOSTILE: HOSTILE}), table({HOSTILE: "left"}, [[HOSTILE]])),
    )
    assert b"panic" in pdf(document)  # its title, as it was written
    assert len(pages(document, dpi=72)) == 1


def test_a_long_report_breaks_into_pages() -> None:
    rows = [[str(i), "x " * 30] for i in range(400)]
    document = Document(
        title="t", head="h", state="s", foot="f", blocks=(table({"": "left", "b": "wide"}, rows),)
    )
    assert len(pages(document, dpi=40)) > 5


def test_a_print_that_hangs_is_given_up_and_holds_up_only_its_own_turn() -> None:
    go = threading.Event()
    for _ in range(AT_ONCE):
        with pytest.raises(BusyError, match=r"not printed within 0\.05 s"):
            within(0.05, lambda: [b""] if go.wait(20) else [])
    with pytest.raises(BusyError, match="Others have been printing"):
        within(0.05, lambda: [b"late"])
    go.set()
    begun = time.monotonic()
    assert within(10, lambda: [b"now"]) == [b"now"]
    assert time.monotonic() - begun < 9


@pytest.fixture
def told(kept: SqliteStore) -> Iterator[Callable[..., Symptom]]:
    """Tells a symptom of the patch's patient so many seconds into the episode; gone after the test."""
    held = Assignments(kept).assign(LOCAL, "excerpt", "one", "A", start=UTC_0 - HOUR)
    eve = Person(name="eve", role=Role.PATIENT, assignment_id=held.id)

    def tell(second: float, note: str = "", kind: str = "palpitations") -> Symptom:
        return kept.symptoms.tell(eve, Told(kind=kind, minutes="0", note=note), UTC_0 + second)

    yield tell
    with kept.writing() as db:
        for table in ("symptoms", "commands", "assignments", "patients", "trends"):
            db.execute(f"delete from {table}")


def test_a_symptom_stands_beside_the_rhythm_of_its_minute(
    kept: SqliteStore, episode_id: str, told: Callable[..., Symptom]
) -> None:
    told(45.0, HOSTILE, "fainting")
    shown = " ".join(HOSTILE.replace("\x00", " ").replace("\u202e", " ").split())
    findings = [stored.finding for stored in kept.findings(episode_id)]
    v = sum(f.label == "V" for f in findings)
    episode = episode_report(everything(kept), episode_id, NOW)
    day = day_report(everything(kept), "excerpt", UTC_0 - HOUR, UTC_0 + HOUR, NOW)
    for document in (episode, day, study_report(everything(kept), "excerpt", None, NOW)):
        said = words(document)
        found = re.search(r"fainting\n(.*)\n(.*); rate (\d+) to (\d+) /min; 87 of 120 s analysed", said)
        assert found is not None
        assert found[1] == shown
        assert f"{v} \N{MULTIPLICATION SIGN} ventricular premature beat" in found[2]
        assert pdf(document) == pdf(document)
    measured = kept.report(episode_id).measurements  # type: ignore[union-attr]
    assert int(found[3]) == pytest.approx(measured.heart_rate_min, abs=1)
    assert int(found[4]) == pytest.approx(measured.heart_rate_max, abs=1)


def test_a_symptom_where_nothing_was_analysed_says_what_the_edge_estimates_or_that_nothing_is_known(
    kept: SqliteStore, told: Callable[..., Symptom]
) -> None:
    for second in (-600.0, 1800.0):
        told(second)
    whole = (everything(kept), "excerpt", UTC_0 - HOUR, UTC_0 + HOUR, NOW)
    assert words(day_report(*whole)).count("nothing is known of that time") == 2
    keep_rows(kept, UTC_0 - HOUR, UTC_0)
    said = words(day_report(*whole))
    assert "not analysed here; by the edge's screener rate 60 to 80 /min, " in said
    assert said.count("nothing is known of that time") == 1
    assert "patient told of none" not in said
    study = words(study_report(everything(kept), "excerpt", None, NOW))
    assert re.search(r"by the edge\n\d+ beats in the .* that it could read\nV, estimated\n", study)


def test_a_symptom_far_from_an_episode_is_not_in_its_report(
    kept: SqliteStore, episode_id: str, told: Callable[..., Symptom]
) -> None:
    told(90.0 + NEAR_S + 1, "too late")
    assert "too late" not in words(episode_report(everything(kept), episode_id, NOW))
    told(90.0 + NEAR_S - 1, "just then")
    assert "just then" in words(episode_report(everything(kept), episode_id, NOW))
