"""Prints and exports of what people wrote: signed reports, labelled data, and the study at its end."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import anyecg
from cloud.annotations import Mark
from cloud.assignments import Assignments
from cloud.chain import sha256_of_text
from cloud.console.seen import Seen, everything
from cloud.prints.day import day_report
from cloud.prints.export import export, zipped
from cloud.prints.report import episode_report
from cloud.prints.stays import gathered
from cloud.prints.study import study_report, symptoms
from cloud.prints.tracing import UnknownPatchError, of_episode
from cloud.prints.typeset import Document, pages, pdf
from cloud.roles import LOCAL, Person, Role
from cloud.rows import REPORT
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.errors import UsageError
from models.verdicts import LABELS
from models.wire import encode_segment

UTC_0 = 1_700_000_000.0
NOW = UTC_0 + 3600
WEBER = Person(name="weber", role=Role.CLINICIAN, wards=frozenset({"A"}))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
HOSTILE = '#panic("x") $x$ *b* <a> @b \\ "q" [c] \x00 \x1b \u202e \u2028 \x85 心電図 <script>'


@pytest.fixture
def own(kept: SqliteStore, tmp_path: Path) -> Iterator[SqliteStore]:
    """A store like the analysed one that may be written to."""
    path = tmp_path / "cloud.db"
    with closing(sqlite3.connect(kept._path)) as before, closing(sqlite3.connect(path)) as after:
        before.backup(after)
    store = SqliteStore(str(path))
    yield store
    store.close()


@pytest.fixture
def assigned(own: SqliteStore) -> SqliteStore:
    Assignments(own).assign(
        LOCAL, "excerpt", "P1", "A", start=UTC_0 - 10, name="Anna Berg", born="1950-01-02"
    )
    return own


def words(document: Document) -> str:
    """Everything on its pages but the pictures."""
    return json.dumps(
        [document.title, document.state, document.foot, _bare(document.blocks)], ensure_ascii=False
    )


def _bare(value: object) -> object:
    if isinstance(value, dict):
        return {key: _bare(held) for key, held in value.items() if key != "svg"}
    return [_bare(held) for held in value] if isinstance(value, list | tuple) else value


def write(store: SqliteStore, episode_id: str, *sentences: str) -> None:
    """One more revision."""
    report, standing = store.report(episode_id), store.signing.standing(episode_id)
    assert report is not None
    rests_on = sha256_of_text(report.narrative)
    store.signing.revise(
        episode_id, WEBER, sentences, rests_on=rests_on, version=standing.version, now=NOW - 60
    )


def sign(store: SqliteStore, episode_id: str) -> None:
    report, standing = store.report(episode_id), store.signing.standing(episode_id)
    assert report is not None
    store.signing.sign(
        episode_id,
        WEBER,
        sha256=sha256_of_text(standing.text(report)),
        version=standing.version,
        for_patient="",
        now=NOW - 30,
    )


def test_a_signed_report_is_printed_as_it_was_signed_with_what_the_signature_binds(
    own: SqliteStore, episode_id: str
) -> None:
    before = episode_report(everything(own), episode_id, NOW)
    head = own.report_head(own.report(episode_id))  # type: ignore[arg-type]
    end = own.audit.head()
    assert f"row {head.number}, {head.hash}" in words(before)  # type: ignore[union-attr]
    assert f"row {end.number}, {end.hash}" in words(before)
    assert before.state == "FINAL, NOT REVIEWED"
    write(own, episode_id, "Palpitations at noon.")
    draft = words(episode_report(everything(own), episode_id, NOW))
    assert "Palpitations" not in draft
    assert "what nobody has signed is not printed" in draft
    sign(own, episode_id)
    own.signing.add(episode_id, WEBER, "Seen again.", version=2, for_patient="", now=NOW - 10)
    document = episode_report(everything(own), episode_id, NOW)
    said, signed = words(document), own.signing.standing(episode_id).signed
    assert signed is not None
    assert document.state == "FINAL, REVIEWED"
    assert "Palpitations at noon. (written by weber)" in said
    assert f"SHA-256 of the text {signed.sha256}" in said
    assert f"row {signed.head.number}, {signed.head.hash}" in said
    assert "Addendum by weber" in said
    assert "Seen again." in said
    assert "not yet reviewed" not in said
    assert document.foot.startswith("AI-generated, text reviewed by weber at 2023-")
    assert pdf(document) == pdf(episode_report(everything(own), episode_id, NOW))


def test_what_was_signed_of_an_earlier_report_is_no_review_of_the_newest(
    own: SqliteStore, episode_id: str
) -> None:
    sign(own, episode_id)
    assert episode_report(everything(own), episode_id, NOW).state == "FINAL, REVIEWED"
    report = own.report(episode_id)
    assert report is not None
    newer = replace(report, id="newer", narrative=report.narrative.replace("Report: ", "Report: Then this. "))
    with own.writing() as db:
        row = own.one("select * from reports where id = ?", report.id)
        assert row is not None
        renewed = {
            "id": newer.id,
            "position": row["position"] + 1,
            "report": REPORT.dump_json(newer).decode(),
        }
        db.table("reports").insert(row | renewed | {"written": None})
    document = episode_report(everything(own), episode_id, NOW)
    assert document.state == "FINAL, NOT REVIEWED"
    assert "Then this. " in words(document)
    assert "of an earlier report" in words(document)
    assert not document.foot.startswith("AI-generated, text reviewed")
    day = day_report(everything(own), "excerpt", UTC_0 - 60, UTC_0 + 600, NOW)
    assert day.state == "FINAL, NOT REVIEWED"


def test_a_day_tells_what_was_signed_in_it(own: SqliteStore, episode_id: str) -> None:
    def day() -> Document:
        return day_report(everything(own), "excerpt", UTC_0 - 60, UTC_0 + 600, NOW)

    assert day().state == "FINAL, NOT REVIEWED"
    assert "Audit head" in words(day())
    write(own, episode_id, "Palpitations at noon.")
    sign(own, episode_id)
    assert day().state == "FINAL, REVIEWED"
    assert "1 of 1 episodes, by weber" in words(day())
    assert day().foot.startswith("AI-generated; the text of 1 of 1 reports reviewed.")
    assert "not yet reviewed" not in words(day())
    assert "Palpitations at noon." in words(day())


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_any_text_reaches_print_and_export_as_it_was_written(
    own: SqliteStore, episode_id: str, tmp_path: Path, text: str
) -> None:
    with own.writing() as db:  # each example signs anew
        db.execute("delete from signatures")
    write(own, episode_id, text)
    sign(own, episode_id)
    document = episode_report(everything(own), episode_id, NOW)
    for line in text.split("\n"):
        assert json.dumps(line, ensure_ascii=False)[1:-1] in words(document)
    own.annotations.add(
        episode_id, WEBER, Mark(first=10, last=400, label="VT", leads=("MLII",), comment=text), now=NOW
    )
    files = export([of_episode(everything(own), episode_id)], "wfdb", tmp_path / "x", by_people=True)
    (said,) = [path for path in files if path.suffix == ".json"]
    assert json.loads(said.read_text())[-1]["mark"]["comment"] == text
    assert len(wfdb.rdann(str(said.with_suffix("")), "atr").sample) > 0


def test_no_word_of_a_person_is_read_as_markup(own: SqliteStore, episode_id: str) -> None:
    write(own, episode_id, HOSTILE)
    sign(own, episode_id)
    own.signing.add(episode_id, WEBER, HOSTILE, version=2, for_patient=HOSTILE, now=NOW)
    assert len(pages(episode_report(everything(own), episode_id, NOW), dpi=40)) > 1


def test_what_people_marked_is_labelled_data_beside_the_models_findings(
    own: SqliteStore, episode_id: str, tmp_path: Path
) -> None:
    found = [stored for stored in own.findings(episode_id) if stored.finding.label == "V"]
    corrected, wrong = found[:2]
    peak, leads = corrected.finding.evidence["r_peak"], corrected.finding.leads
    add = own.annotations.add
    bounds = {"first": corrected.finding.first - 3, "last": corrected.finding.last + 3}
    add(episode_id, WEBER, Mark(**bounds, label="S", leads=leads, replaces=corrected.id), now=NOW)
    gone = {"first": wrong.finding.first, "last": wrong.finding.last}
    add(
        episode_id,
        WEBER,
        Mark(**gone, label=None, leads=leads, replaces=wrong.id, comment="Rauschen"),
        now=NOW,
    )
    add(episode_id, WEBER, Mark(first=18_000, last=21_599, label="AFIB", leads=leads), now=NOW)
    tracing = of_episode(everything(own), episode_id)
    plain = export([tracing], "wfdb", tmp_path / "plain")
    files = export([tracing], "wfdb", tmp_path / "people", by_people=True)
    assert {path.suffix for path in files} == {".hea", ".dat", ".atr", ".model", ".json", ""}
    where = str(files[0].with_suffix(""))
    model, before = wfdb.rdann(where, "model"), wfdb.rdann(str(plain[0].with_suffix("")), "atr")
    assert (model.sample.tolist(), model.symbol, model.aux_note) == (
        before.sample.tolist(),
        before.symbol,
        before.aux_note,
    )
    people = wfdb.rdann(where, "atr")
    rows = sorted(zip(people.sample.tolist(), people.symbol, people.aux_note, strict=True))
    assert rows == sorted(
        [
            (0, "+", "(U"),
            (peak, "S", "by weber"),
            (wrong.finding.first, '"', "V wrong by weber"),
            (18_000, "+", LABELS["AFIB"].wfdb),
            (18_000, '"', "AFIB 10.00 s by weber"),
            (21_600, "+", "(U"),
        ]
    )
    told = json.loads(files[0].with_suffix(".json").read_text())
    assert [row["mark"]["label"] for row in told] == [one.mark.label for one in tracing.people]
    assert {row["who"] for row in told} == {"weber"}
    assert len(told) == 3
    assert zipped([tracing], "wfdb", by_people=True) == zipped([tracing], "wfdb", by_people=True)
    edf = zipfile.ZipFile(io.BytesIO(zipped([tracing], "edf", by_people=True)))
    assert any(b"by weber" in edf.read(name) for name in edf.namelist())


def test_a_study_is_all_days_of_one_assignment(assigned: SqliteStore, episode_id: str) -> None:
    seen = everything(assigned)
    document = study_report(seen, "excerpt", None, UTC_0 + 20 * 86_400)
    said = words(document)
    assert document.state == "PRELIMINARY"
    assert "the patch is still on the patient" in said
    for word in (
        "Anna Berg, born 1950-01-02",
        "20 d",
        "Analysable time: 87.0 s of",
        "Day by day",
        "Hour by hour",
    ):
        assert word in said
    assert "% of beats" in said
    assert "Pauses" in said
    assert "button was not pressed" in said
    assert "Of 480 of 481 nothing came and no minute row tells" in said
    end = assigned.audit.head()
    assert f"row {end.number}, {end.hash}" in said
    assert pdf(document) == pdf(study_report(seen, "excerpt", UTC_0, UTC_0 + 20 * 86_400))
    Assignments(assigned).end(LOCAL, "excerpt")
    ended = study_report(everything(assigned), "excerpt", UTC_0, UTC_0 + 10**9)
    assert ended.state == "FINAL, NOT REVIEWED"


def test_a_study_that_is_not_theirs_is_not_there(assigned: SqliteStore) -> None:
    with pytest.raises(UnknownPatchError, match="was on a patient at 2023-"):
        study_report(everything(assigned), "excerpt", UTC_0 - 60, NOW)
    other = Person(name="x", role=Role.CLINICIAN, wards=frozenset({"B"}))
    with pytest.raises(UnknownPatchError, match="There is no patch excerpt"):
        study_report(Seen(assigned, Assignments(assigned), other), "excerpt", None, NOW)
    mine = Seen(assigned, Assignments(assigned), WEBER)
    assert "Anna Berg" in words(study_report(mine, "excerpt", None, NOW))
    operator = Seen(assigned, Assignments(assigned), Person(name="op", role=Role.OPERATOR))
    assert "Anna Berg" not in words(study_report(operator, "excerpt", None, NOW))


def test_a_symptom_is_told_with_the_rhythm_near_it(
    assigned: SqliteStore, parts: list[Segment], episode_id: str
) -> None:
    press = parts[0].first + round(20 * parts[0].fs)
    marked = replace(parts[0], markers=(press,))
    with assigned.writing() as db:
        payload = encode_segment(marked, 0, "home")
        db.execute("update segments set payload = ? where id = ?", [payload, marked.id])
    day = gathered(everything(assigned), "excerpt", UTC_0 - 10, UTC_0 + 600)
    (felt,) = symptoms(everything(assigned), day)
    assert felt.at == pytest.approx(UTC_0 + 20, abs=0.01)
    near = [
        s.finding
        for s in assigned.findings(episode_id)
        if s.finding.label == "V" and s.finding.first < 50 * parts[0].fs
    ]
    assert f"{len(near)} V ventricular premature beat" in felt.found
    assert felt.rate is not None
    assert 47 <= felt.read_s <= 50  # of 50 s, 2.5 s are a gap
    said = words(study_report(everything(assigned), "excerpt", None, NOW))
    assert "Presses of the patient's button: 1. Near 1 of them something was found" in said


def test_the_command_prints_a_study_and_exports_what_people_marked(
    assigned: SqliteStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text(f'store = "sqlite:///{Path(assigned._path).as_posix()}"\n', encoding="utf-8")

    def run(*words: str) -> None:
        anyecg.app(["cloud", *words, "--config", str(config)], standalone_mode=False)

    out = tmp_path / "study.pdf"
    run("print", "study", "--patch", "excerpt", "-o", str(out))
    assert out.read_bytes().startswith(b"%PDF")
    times = ["--from", "2023-11-14", "--to", "2023-11-16"]
    run("export", "--patch", "excerpt", *times, "--people", "-o", str(tmp_path / "x"))
    suffixes = [Path(line).suffix for line in capsys.readouterr().out.split()]
    assert suffixes == [".hea", ".dat", ".atr", ".model", ".json", ""]
    with pytest.raises(UsageError, match="There is no print 'month'"):
        run("print", "month", "--patch", "excerpt", "-o", str(out))
    with pytest.raises(UsageError, match="A study needs --patch ID"):
        run("print", "study", "-o", str(out))
