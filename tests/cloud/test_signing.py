"""A report that people edit, sign and add to, on a real store; and what a patient may read of it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.annotations import Annotations, Mark, TakenError
from cloud.audit_check import verify
from cloud.drafts import ConflictError, NoReportError, Standing
from cloud.quiet import RefusedError
from cloud.reports import FOOT, framed
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome
from models.anyecg.evidence import Evidence
from models.ecg import Segment
from models.verdicts import Finding, Measurements, Report
from models.wire import encode_segment

WEBER = Person(name="weber", role=Role.CLINICIAN)
MARSH = Person(name="marsh", role=Role.CLINICIAN)
NARRATIVE = (
    "Template report. AI-generated, not yet reviewed.\n2 ventricular premature beats [a1].\n"
    f"Mean rate 70 /min [a2].\nNo alerts is not normal: 3.0 s could not be analysed.\n{FOOT}"
)
NOTHING = dict.fromkeys(
    ("heart_rate_mean", "heart_rate_min", "heart_rate_max", "rr_median", "pr", "qrs", "qt")
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)  # no surrogate is Unicode text


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def analyse(store: SqliteStore, make_part: Callable[..., Segment]) -> Callable[..., Report]:
    """A part comes, with a V at its begin and a generated report of all parts so far."""

    def put(number: int = 0, narrative: str = NARRATIVE) -> Report:
        part = make_part(number)
        store.commit_segment(encode_segment(part, 0, "home"), part, seq=0, site="home", now=1.0)
        ids = [make_part(n).id for n in range(number + 1)]
        made = [
            Report(
                id=f"R{n}",
                episode_id=part.episode_id,
                segment_ids=tuple(ids[: n + 1]),
                findings=(),
                measurements=Measurements(beats=1, analysed_s=1.0, not_analysed_s=0.0, **NOTHING),
                narrative=narrative if n == number else NARRATIVE,
                abstentions=(),
                model="template/2",
            )
            for n in range(number + 1)
        ]
        job = store.claim("a", 30.0, now=10.0)
        assert job is not None
        known = Evidence(letter="a", leads=part.leads, start=0.0, end=1.0, facts=())
        about = {"segment_id": ids[0], "leads": ("II",), "evidence": {"threshold": 0.5, "r_peak": 15}}
        outcome = Outcome(
            episode_id=part.episode_id,
            findings=(Finding(label="V", first=10, last=20, probability=0.9, **about),),  # type: ignore[arg-type]
            open=(),
            reports=tuple(made),
            evidence={report.id: known for report in made},
        )
        assert store.finish(job, outcome, now=10.0)
        return made[-1]

    return put


@pytest.fixture
def report(analyse: Callable[..., Report], store: SqliteStore) -> Report:
    store.note_head(now=0.0)
    return analyse()


def edit(
    store: SqliteStore, report: Report, *sentences: str, version: int = 0, who: Person = WEBER
) -> Standing:
    rests_on = sha256(report.narrative)
    return store.signing.revise(
        report.episode_id, who, sentences, rests_on=rests_on, version=version, now=20.0
    )


def sign(store: SqliteStore, report: Report, who: Person = WEBER, for_patient: str = "") -> Standing:
    standing = store.signing.standing(report.episode_id)
    return store.signing.sign(
        report.episode_id,
        who,
        sha256=sha256(standing.text(report)),
        version=standing.version,
        for_patient=for_patient,
        now=30.0,
    )


def rows(store: SqliteStore, what: str) -> list[dict[str, object]]:
    return store.all("select * from audit where what like ? order by number", what)


def test_a_narrative_is_taken_apart_and_put_together_without_its_review() -> None:
    frame = framed(NARRATIVE)
    assert frame.origin == "Template report."
    assert frame.sentences == ("2 ventricular premature beats [a1].", "Mean rate 70 /min [a2].")
    assert frame.text() == NARRATIVE.replace(" AI-generated, not yet reviewed.", "")
    assert framed("made").text() == "made"


def test_an_edit_keeps_the_generated_report_the_text_its_author_and_the_difference(
    store: SqliteStore, report: Report
) -> None:
    standing = edit(store, report, "2 ventricular premature beats [a1].", "Palpitations at noon.")
    (revision,) = standing.revisions
    assert (revision.who, revision.at, revision.version, revision.report_id) == ("weber", 20.0, 1, "R0")
    assert revision.generated == NARRATIVE == store.report(report.episode_id).narrative  # type: ignore[union-attr]
    changed = [line for line in revision.diff.split("\n")[3:] if line[0] in "+-"]
    assert changed == ["-Mean rate 70 /min [a2].", "+Palpitations at noon."]
    assert [line.text for line in standing.lines(report) if line.by == "weber"] == ["Palpitations at noon."]
    assert "No alerts is not normal: 3.0 s could not be analysed." in revision.text
    assert revision.text.endswith(FOOT)


def test_who_wrote_a_sentence_is_who_was_first(store: SqliteStore, report: Report) -> None:
    edit(store, report, "One.")
    standing = edit(store, report, "One.", "Two.", version=1, who=MARSH)
    assert [line.by for line in standing.lines(report)][1:3] == ["weber", "marsh"]


def test_the_second_of_two_is_told_who_was_first(store: SqliteStore, report: Report) -> None:
    edit(store, report, "One.")
    with pytest.raises(ConflictError, match=r"weber was first: edited at 1970-01-01 00:00:20 UTC"):
        edit(store, report, "Other.", who=MARSH)
    sign(store, report)
    with pytest.raises(ConflictError, match="weber was first: signed"):
        store.signing.sign(report.episode_id, MARSH, sha256="", version=1, for_patient="", now=31.0)
    assert [row.who for row in store.signing.standing(report.episode_id).signatures] == ["weber"]


def test_a_signature_binds_text_report_and_audit_head(store: SqliteStore, report: Report) -> None:
    head = store.report_head(report)
    edit(store, report, "One.")
    signed = sign(store, report).signed
    assert signed is not None
    assert signed.text == framed(NARRATIVE).text(["One."])
    assert signed.sha256 == sha256(signed.text)
    assert (signed.report_id, signed.head, signed.who) == ("R0", head, "weber")
    (told,) = rows(store, "report signed")
    assert (told["who"], told["report_id"]) == ("weber", "R0")
    assert signed.sha256 in str(told["details"])


def test_only_the_text_that_was_read_is_signed(store: SqliteStore, report: Report) -> None:
    with pytest.raises(ConflictError, match="has changed since"):
        store.signing.sign(
            report.episode_id, WEBER, sha256=sha256("another"), version=0, for_patient="", now=1.0
        )


def test_after_signing_there_is_no_edit_only_an_addendum(store: SqliteStore, report: Report) -> None:
    with pytest.raises(RefusedError, match="not signed yet"):
        store.signing.add(report.episode_id, WEBER, "Later.", version=0, for_patient="", now=1.0)
    sign(store, report)
    with pytest.raises(RefusedError, match="weber signed this report: write an addendum"):
        edit(store, report, "One.", version=1)
    with pytest.raises(RefusedError, match="signed this report already"):
        sign(store, report, MARSH)
    standing = store.signing.add(report.episode_id, MARSH, "Later.", version=1, for_patient="", now=40.0)
    (addendum,) = standing.addenda
    assert (addendum.text, addendum.who, addendum.sha256) == ("Later.", "marsh", sha256("Later."))
    assert standing.signed is not None
    assert standing.text(report) == standing.signed.text == framed(NARRATIVE).text()
    assert len(rows(store, "report addendum")) == 1


def test_a_newer_generated_report_touches_nothing_that_is_signed(
    store: SqliteStore, report: Report, analyse: Callable[..., Report]
) -> None:
    edit(store, report, "One.")
    before = sign(store, report)
    newer = analyse(1, NARRATIVE.replace("70", "80"))
    assert store.report(report.episode_id) == newer
    assert store.signing.standing(report.episode_id) == before
    assert before.signed is not None
    assert before.signed.generated != newer.narrative
    assert verify(str(store._path))["problems"] == []


def test_a_draft_may_begin_anew_with_a_newer_generated_report_and_with_no_other(
    store: SqliteStore, report: Report, analyse: Callable[..., Report]
) -> None:
    edit(store, report, "One.")
    newer = analyse(1, NARRATIVE.replace("70", "80"))
    assert edit(store, report, "Two.", version=1).revisions[-1].report_id == "R0"
    assert edit(store, newer, "Three.", version=2).revisions[-1].report_id == "R1"
    with pytest.raises(ConflictError, match="has changed since"):
        edit(store, report, "Four.", version=3)


def test_who_is_nobody_signs_nothing_and_what_is_not_generated_is_not_signed(
    store: SqliteStore, report: Report
) -> None:
    with pytest.raises(RefusedError, match="by a named person"):
        sign(store, report, LOCAL)
    with pytest.raises(NoReportError, match="before it is generated"):
        store.signing.sign("NONE", WEBER, sha256="", version=0, for_patient="", now=1.0)
    with pytest.raises(RefusedError, match="too long"):
        edit(store, report, "x" * 30_000)
    assert store.signing.standing(report.episode_id) == Standing()


def test_a_patient_reads_only_a_summary_that_was_signed_and_the_newest(
    store: SqliteStore, report: Report
) -> None:
    read = store.signing.signed_summary
    edit(store, report, "One.")
    assert read(episode_id=report.episode_id) is None
    sign(store, report, for_patient="A few extra beats.")
    found = read(episode_id=report.episode_id)
    assert found is not None
    assert (found.text, found.who, found.at) == ("A few extra beats.", "weber", 30.0)
    store.signing.add(report.episode_id, MARSH, "Later.", version=2, for_patient="All well.", now=40.0)
    for where in ({"episode_id": report.episode_id}, {"patch_id": "p"}, {"patch_id": "p", "begin": 1000.0}):
        assert read(**where).text == "All well."  # type: ignore[arg-type,union-attr]
    for where in ({"patch_id": "q"}, {"patch_id": "p", "begin": 1000.5}, {"patch_id": "p", "end": 1000.5}):
        assert read(**where) is None  # type: ignore[arg-type]
    with store.writing() as db:
        db.execute("update segments set utc_0 = null")  # of no known time: whose it is, nobody knows
    assert read(patch_id="p") is None
    with store.writing() as db:
        db.execute("delete from jobs")
        db.execute("delete from segments")
    assert read(patch_id="p") is None


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sentences=st.lists(TEXTS, max_size=4), words=TEXTS)
def test_any_text_comes_back_as_it_was_written(
    store: SqliteStore, report: Report, sentences: list[str], words: str
) -> None:
    version = store.signing.standing(report.episode_id).version
    standing = edit(store, report, *sentences, version=version)
    assert standing.text(report) == framed(NARRATIVE).text(sentences)
    assert "\n".join(line.text for line in standing.lines(report)) == standing.text(report)
    mark = Mark(first=10, last=20, label="V", leads=("II",), comment=words)
    assert store.annotations.add(report.episode_id, WEBER, mark, now=1.0).mark == mark
    assert store.annotations.every(report.episode_id)[-1].mark.comment == words
    assert verify(str(store._path))["problems"] == []


# -- annotations --------------------------------------------------------------------------------------------


@pytest.fixture
def marks(store: SqliteStore, report: Report) -> Annotations:
    return store.annotations


def test_a_correction_keeps_the_models_finding_and_what_it_was(
    store: SqliteStore, report: Report, marks: Annotations
) -> None:
    (before,) = store.findings(report.episode_id)
    mark = Mark(first=8, last=22, label="S", leads=("II",), replaces=before.id)
    made = marks.add(report.episode_id, WEBER, mark, now=5.0)
    assert store.findings(report.episode_id) == [before]
    assert made.replaced == {"label": "V", "first": 10, "last": 20, "r_peak": 15}
    finding = made.finding()
    assert finding is not None
    assert (finding.label, finding.probability, finding.evidence) == (
        "S",
        None,
        {"by": "weber", "r_peak": 15},
    )
    (told,) = rows(store, "strip annotated")
    assert (told["who"], told["episode_id"]) == ("weber", report.episode_id)


def test_of_two_who_correct_the_same_the_second_is_told_who_was_first(
    store: SqliteStore, report: Report, marks: Annotations
) -> None:
    (found,) = store.findings(report.episode_id)
    wrong = Mark(first=10, last=20, label=None, leads=("II",), replaces=found.id)
    first = marks.add(report.episode_id, WEBER, wrong, now=5.0)
    with pytest.raises(TakenError, match="weber was first"):
        marks.add(report.episode_id, MARSH, replace(wrong, label="S"), now=6.0)
    again = marks.add(report.episode_id, MARSH, replace(wrong, label="S", replaces=first.id), now=7.0)
    assert marks.standing(report.episode_id) == [again]
    assert len(marks.every(report.episode_id)) == 2
    assert again.replaced == {"label": "V", "first": 10, "last": 20, "r_peak": 15}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"label": "SVX"}, "There is no label 'SVX'"),
        ({"label": None}, "or which finding is wrong"),
        ({"first": 30}, "lies on the strip"),
        ({"last": 100}, "lies on the strip"),
        ({"leads": ("V1",)}, "of one or more of the leads II"),
        ({"leads": ()}, "of one or more of the leads II"),
        ({"replaces": "NONE"}, "There is no finding NONE in this episode any more"),
    ],
)
def test_a_mark_that_does_not_fit_is_refused(
    report: Report, marks: Annotations, wrong: dict[str, object], words: str
) -> None:
    mark = replace(Mark(first=10, last=20, label="V", leads=("II",)), **wrong)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match=words):
        marks.add(report.episode_id, WEBER, mark, now=1.0)
    assert marks.every(report.episode_id) == []


# -- tampering ----------------------------------------------------------------------------------------------

TABLES = ("revisions", "signatures", "annotations")


@pytest.fixture
def told(store: SqliteStore, report: Report) -> Path:
    edit(store, report, "One.")
    sign(store, report, for_patient="Well.")
    store.signing.add(report.episode_id, MARSH, "Later.", version=2, for_patient="", now=40.0)
    mark = Mark(first=10, last=20, label="V", leads=("II",), comment="seen")
    store.annotations.add(report.episode_id, WEBER, mark, now=50.0)
    store.note_head(now=60.0)
    return Path(store._path)


def problems(path: Path, *statements: str) -> list[str]:
    with closing(sqlite3.connect(path)) as db, db:
        for table in TABLES:
            db.execute(f"drop trigger {table}_no_update")
        for statement in statements:
            db.execute(statement)
    return [problem["text"] for problem in verify(str(path))["problems"]]


def test_what_people_wrote_is_sound_and_the_database_refuses_to_change_it(told: Path) -> None:
    assert verify(str(told))["problems"] == []
    with closing(sqlite3.connect(told)) as db:
        for table in TABLES:
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                db.execute(f"update {table} set who = 'x'")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("revisions", "text = 'x'"),
        ("revisions", "at = 9e999"),
        ("signatures", "who = 'marsh'"),
        ("signatures", "text = 'x'"),
        ("signatures", "sha256 = 'x'"),
        ("signatures", "for_patient = x'ff'"),
        ("annotations", "label = 'S'"),
        ("annotations", "last = 30"),
    ],
)
def test_any_column_that_was_altered_is_found(told: Path, table: str, change: str) -> None:
    (said,) = problems(told, f"update {table} set {change} where id = 1")
    assert said.startswith(f"The entry 1 of {table} is not stored as row ")


def test_a_signed_text_with_a_new_hash_beside_it_is_found(told: Path) -> None:
    (said,) = problems(told, f"update signatures set text = 'x', sha256 = '{sha256('x')}' where id = 1")
    assert said.startswith("The entry 1 of signatures is not stored as row ")


@pytest.mark.parametrize("table", TABLES)
def test_what_left_is_found_and_what_came_past_the_chain(told: Path, table: str) -> None:
    (gone,) = problems(told, f"delete from {table} where id = 1")
    assert gone.endswith(f"tells how entry 1 of {table} came; it is gone.")
    with closing(sqlite3.connect(told)) as db, db:
        columns = [row[1] for row in db.execute(f"pragma table_info({table})")]
        values = ["9" if name == "id" else f"'{name}'" for name in columns]
        db.execute(f"insert into {table} values ({', '.join(values)})")
    texts = [problem["text"] for problem in verify(str(told))["problems"]]
    assert f"No row of the chain tells how entry 9 of {table} came." in texts
