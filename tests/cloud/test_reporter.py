"""Reports by a language model: whatever it does, every alert comes at once and every report holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cloud.ask import Asked, Asking
from cloud.config import CloudConfig
from cloud.reporter import FAILED, LATE, MOST_ATTEMPTS, TOO_MUCH, Reporter
from cloud.reports import BY_A_MODEL, FOOT, MODEL
from cloud.sqlite_store import SqliteStore
from cloud.store import Draft
from cloud.strips import Readings
from cloud.turns import Turns
from cloud.worker import Worker
from models.anyecg.chat.answers import answer
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.runtime import Chat, Small
from models.anyecg.localizer import Localizer
from models.ecg import Segment, segment_id
from models.recordings import Recording
from models.verdicts import Report
from models.wire import encode_segment

MakeChat = Callable[..., Chat]
LIE = "999 ventricular premature beats, first at 1.0 s, last at 2.0 s [a11]."
HANGS_S = 60.0


def commit(store: SqliteStore, part: Segment) -> None:
    store.commit_segment(encode_segment(part, part.part, "home"), part, seq=part.part, site="home", now=1.0)


def analyse(store: SqliteStore, network: Localizer, *parts: Segment) -> None:
    worker = Worker(store, network, CloudConfig())
    for part in parts:
        commit(store, part)
    while (job := store.claim("test", 30.0, now=time.time())) is not None:
        assert worker.work(job)


def wait_until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def reporting(
    store: SqliteStore, chat: Chat, readings: Readings, budget_s: float = 20.0
) -> Iterator[Reporter]:
    reporter = Reporter(store, readings, chat, Turns(1), budget_s)
    with running(store, reporter):
        yield reporter


@contextmanager
def running(store: SqliteStore, thread: Reporter | Worker) -> Iterator[None]:
    thread.start()
    try:
        yield
    finally:
        thread.stop()
        store.wake()
        thread.join()


def written(
    store: SqliteStore, chat: Chat, readings: Readings, episode: str, budget_s: float = 20.0
) -> Report:
    """The episode's report after the reporter's turn at it."""
    before = store.report(episode)
    with reporting(store, chat, readings, budget_s):
        wait_until(lambda: store.report(episode) != before)
    after = store.report(episode)
    assert after is not None
    return after


@pytest.fixture
def episode(store: SqliteStore, network: Localizer, excerpt_parts: list[Segment]) -> str:
    """Analysed, with the template's report."""
    analyse(store, network, *excerpt_parts[:1])
    return excerpt_parts[0].episode_id


def test_the_models_sentences_take_the_templates_place(
    store: SqliteStore, episode: str, readings: Readings, scripted: MakeChat
) -> None:
    template = store.report(episode)
    assert template is not None
    evidence = store.evidence(template.id)
    assert evidence is not None
    said = answer(Plan("report"), [evidence])
    report = written(store, scripted(lambda _: ["report", *said]), readings, episode)
    assert report.narrative.splitlines()[1 : 1 + len(said)] == list(said)
    assert report.narrative.startswith(BY_A_MODEL)
    assert report.narrative.endswith(FOOT)
    assert report.model == "scripted/1"
    assert replace(report, narrative="", model="") == replace(template, narrative="", model="")
    counts = store.stats()["language"]
    assert counts.pop("claims") >= len(said)
    assert counts == {"reports": 1, "left_to_template": 0, "replaced": 0, "added": 0}
    told = [event.data["report_id"] for event in store.events(0) if event.kind == "report"]
    assert told == [template.id, template.id]


def test_what_does_not_hold_is_replaced_counted_and_logged(
    store: SqliteStore, episode: str, readings: Readings, scripted: MakeChat, caplog: pytest.LogCaptureFixture
) -> None:
    template = store.report(episode)
    report = written(store, scripted(lambda _: ["report", LIE]), readings, episode)
    assert template is not None
    assert "999" not in report.narrative
    assert report.narrative.splitlines()[1:] == template.narrative.splitlines()[1:]
    counts = store.stats()["language"]
    assert (counts["replaced"], counts["added"] > 0) == (1, True)
    assert any("999" in record.getMessage() for record in caplog.records)


def test_a_model_that_answers_something_else_leaves_the_report_to_the_template(
    store: SqliteStore, episode: str, readings: Readings, scripted: MakeChat
) -> None:
    report = written(store, scripted(lambda _: ["decline treatment", "x"]), readings, episode)
    assert report.narrative.startswith("Template report: the language model wrote something else.")
    assert report.model == MODEL


def test_a_model_that_fails_leaves_the_report_to_the_template(
    store: SqliteStore, episode: str, readings: Readings, scripted: MakeChat
) -> None:
    report = written(store, scripted(lambda _: 1 / 0), readings, episode)  # type: ignore[arg-type, return-value]
    assert report.narrative.startswith(f"Template report: {FAILED}.")
    too_long = written_again(store, scripted(lambda _: ["report"], longest=50), readings, episode)
    assert store.stats()["language"]["left_to_template"] == 1
    assert too_long.narrative.startswith(f"Template report: {TOO_MUCH}.")


def written_again(store: SqliteStore, chat: Chat, readings: Readings, episode: str) -> Report:
    with store.writing() as db:
        db.execute("update reports set written = null, lease_until = 0")
    return written(store, chat, readings, episode)


def test_the_shipped_model_reads_what_the_shipped_networks_make_of_an_episode(
    store: SqliteStore, episode: str, readings: Readings
) -> None:
    report = written(store, Small(), readings, episode)
    assert report.narrative.startswith(BY_A_MODEL)
    assert report.model.startswith("anyecg-chat-small/")
    assert " ventricular premature beats" in report.narrative
    assert store.stats()["language"]["replaced"] == 0


def test_the_shipped_model_ends_a_report_of_five_minutes_a_week_after_the_patch_began(
    store: SqliteStore,
    network: Localizer,
    excerpt: Recording,
    excerpt_parts: list[Segment],
    readings: Readings,
) -> None:
    """Late times are long; what is held to the findings may be as long as it must."""
    head, first = excerpt_parts[0], round(7 * 86_400 * excerpt.fs)
    ident = segment_id(head.patch_id, head.boot_id, first, first + excerpt.counts.shape[1] - 1)
    part = replace(head, id=ident, episode_id=ident, first=first, counts=excerpt.counts, final=True)
    analyse(store, network, part)
    asking = Asking(store, readings, Small(), Turns(1), 60.0)
    *_, end = asking.stream(Asked(episodes=(part.episode_id,), question="What is abnormal here, and where?"))
    assert (end["plan"], end["finished"]) == ("findings", True)
    report = written(store, Small(), readings, part.episode_id, budget_s=60.0)
    assert report.narrative.startswith(BY_A_MODEL)


def test_only_the_newest_report_of_an_episode_is_written(
    store: SqliteStore,
    network: Localizer,
    excerpt_parts: list[Segment],
    readings: Readings,
    scripted: MakeChat,
) -> None:
    analyse(store, network, *excerpt_parts)
    written(store, scripted(lambda _: ["report"]), readings, excerpt_parts[0].episode_id)
    assert [r.model for r in store.reports(excerpt_parts[0].episode_id)] == [MODEL, "scripted/1"]


def test_a_report_of_an_episode_that_has_moved_on_is_not_kept(
    store: SqliteStore,
    network: Localizer,
    excerpt_parts: list[Segment],
    readings: Readings,
    scripted: MakeChat,
) -> None:
    """A part came late: what the report says of the others is no longer all."""
    analyse(store, network, *(excerpt_parts[n] for n in (0, 1, 2, 4)))
    draft = store.claim_report(30.0, now=time.time())
    assert draft is not None
    analyse(store, network, excerpt_parts[3])
    reporter = Reporter(store, readings, scripted(lambda _: ["report"]), Turns(1), 20.0)
    reporter._writer.start()
    said = reporter.write(draft)
    assert said is not None
    assert not store.write_report(draft, said, now=time.time())
    newest = store.report(excerpt_parts[0].episode_id)
    assert newest is not None
    assert (newest.model, len(newest.segment_ids)) == (MODEL, 5)


def test_a_report_whose_writer_was_killed_is_written_after_its_lease_and_not_for_ever_tried(
    store: SqliteStore, episode: str, readings: Readings, scripted: MakeChat
) -> None:
    now = time.time()
    for attempt in range(3):
        draft = store.claim_report(10.0, now=now + 11 * attempt)
        assert draft is not None
        assert store.claim_report(10.0, now=now + 11 * attempt) is None
    last = store.claim_report(10.0, now=now + 33)
    assert last is not None
    assert last.attempts == 4
    said = Reporter(store, readings, scripted(lambda _: ["report"]), Turns(1), 20.0).write(last)
    assert said is not None
    assert said.report.narrative.startswith(f"Template report: {FAILED}.")


def test_a_report_waits_for_a_model_that_is_busy_however_often_it_is_claimed(
    store: SqliteStore,
    episode: str,
    readings: Readings,
    scripted: MakeChat,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cloud.reporter.RETRY_S", 0.01)
    claims: list[int] = []
    turns, claim = Turns(1), store.claim_report

    def counted(lease_s: float, *, now: float) -> Draft | None:
        draft = claim(lease_s, now=now)
        claims.extend([] if draft is None else [draft.attempts])
        return draft

    monkeypatch.setattr(store, "claim_report", counted)
    reporter = Reporter(store, readings, scripted(lambda _: ["report"]), turns, 0.1)
    with turns.taken(), running(store, reporter):
        wait_until(lambda: len(claims) > 2 * MOST_ATTEMPTS)
        assert set(claims) == {1}
        waiting = store.report(episode)
    assert waiting is not None
    assert (waiting.model, LATE in waiting.narrative) == (MODEL, False)
    assert written(store, scripted(lambda _: ["report"]), readings, episode).model == "scripted/1"


class Hanging:
    """Says nothing for a minute, or until the test is over."""

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()

    def __call__(self, _: str) -> list[str]:
        self.asked.set()
        self.over.wait(HANGS_S)
        return ["report"]


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hangs = Hanging()
    yield hangs
    hangs.over.set()


def of_another_patch(parts: list[Segment]) -> list[Segment]:
    episode = segment_id("other", 1, parts[0].first, parts[0].last)
    idents = [segment_id("other", 1, part.first, part.last) for part in parts]
    return [
        replace(part, patch_id="other", boot_id=1, id=ident, episode_id=episode)
        for part, ident in zip(parts, idents, strict=True)
    ]


def test_an_alert_arrives_within_two_seconds_while_the_model_hangs(
    store: SqliteStore,
    network: Localizer,
    excerpt_parts: list[Segment],
    readings: Readings,
    scripted: MakeChat,
    hanging: Hanging,
) -> None:
    analyse(store, network, excerpt_parts[0])
    worker = Worker(store, network, CloudConfig())
    with running(store, worker), reporting(store, scripted(hanging), readings, budget_s=1.0):
        assert hanging.asked.wait(20.0)
        before, alarming = of_another_patch(excerpt_parts[:2])  # the sixth ventricular beat is in part 1
        commit(store, before)
        wait_until(lambda: not store.pending())
        assert store.open_alert("other") is None
        commit(store, alarming)
        wait_until(lambda: store.open_alert("other") is not None, within_s=2.0)
        report = store.report(before.episode_id)
        assert report is not None
        assert report.model == MODEL
        for part in (excerpt_parts[0], before):
            wait_until(lambda part=part: LATE in narrative(store, part.episode_id))
        assert not hanging.over.is_set()


def narrative(store: SqliteStore, episode: str) -> str:
    report: Any = store.report(episode)
    return str(report.narrative)


def test_a_model_that_is_slow_is_stopped_in_its_budget_and_the_next_report_is_its_own(
    store: SqliteStore,
    network: Localizer,
    excerpt_parts: list[Segment],
    readings: Readings,
    scripted: MakeChat,
) -> None:
    slow = threading.Event()
    slow.set()

    def says(_: str) -> list[str]:
        if slow.is_set():
            time.sleep(0.3)  # a token
        return ["report"]

    analyse(store, network, excerpt_parts[0])
    chat = scripted(says)
    first = written(store, chat, readings, excerpt_parts[0].episode_id, budget_s=0.5)
    assert first.narrative.startswith(f"Template report: {LATE}.")
    slow.clear()
    (other,) = of_another_patch(excerpt_parts[:1])
    analyse(store, network, other)
    assert written(store, chat, readings, other.episode_id).model == "scripted/1"


def test_what_could_not_be_analysed_is_said_in_a_models_report_too(
    store: SqliteStore,
    network: Localizer,
    excerpt_parts: list[Segment],
    readings: Readings,
    scripted: MakeChat,
) -> None:
    part = excerpt_parts[0]
    counts = part.counts.copy()
    gap = (part.first + 3600, 1800)
    counts[:, gap[0] : gap[0] + gap[1]] = 0
    analyse(store, network, replace(part, counts=counts, gaps=(gap,)))
    report = written(store, scripted(lambda _: ["report"]), readings, part.episode_id)
    assert "No alerts is not normal: " in report.narrative
    assert "could not be analysed and may hide something" in report.abstentions[0]
