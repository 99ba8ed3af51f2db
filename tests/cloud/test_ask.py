"""Questions about strips: streamed sentence by sentence, with the spans they cite, for a bounded crowd."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from cloud.ask import OTHERS, TEMPLATE_SAID, Asked, Asking, UnknownEpisodeError
from cloud.config import ChatConfig, RuleConfig
from cloud.quiet import Thresholds
from cloud.sqlite_store import SqliteStore
from cloud.strips import KEPT, Readings, Strip, dates
from cloud.turns import BusyError, Turns, apart
from models.anyecg.chat.consultation import TOO_SLOW
from models.anyecg.chat.runtime import Chat
from models.ecg import Segment, segment_id
from models.errors import UsageError
from models.wire import encode_segment

MakeChat = Callable[..., Chat]
MakeAsking = Callable[..., Asking]
Line = dict[str, Any]
LIE = "999 ventricular premature beats in all [a11]."


def commit(store: SqliteStore, part: Segment) -> str:
    store.commit_segment(encode_segment(part, part.part, "home"), part, seq=part.part, site="home", now=1.0)
    return part.episode_id


@pytest.fixture
def episode(store: SqliteStore, excerpt_parts: list[Segment]) -> str:
    """60 s."""
    idents = {commit(store, part) for part in excerpt_parts[:3]}
    return idents.pop()


@pytest.fixture
def make_asking(store: SqliteStore, readings: Readings, scripted: MakeChat) -> MakeAsking:
    def make(*lines: str, says: Any = None, turns: Turns | None = None, **chat: Any) -> Asking:
        model = scripted(says or (lambda _: lines))
        return Asking(store, readings, model, turns or Turns(1), ChatConfig(**chat).budget_s)

    return make


def asked(*episodes: Any, question: str = "How many?") -> Asked:
    return Asked.model_validate({"episodes": episodes, "question": question})


def sentences(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["type"] == "sentence"]


def test_an_answer_comes_sentence_by_sentence_with_the_spans_it_cites(
    store: SqliteStore, episode: str, make_asking: MakeAsking, excerpt_parts: list[Segment]
) -> None:
    lines = list(make_asking("findings").stream(asked(episode)))
    assert [line["type"] for line in lines][:2] == ["ecgs", "read"]
    (ecg,) = lines[0]["ecgs"]
    assert (ecg["ecg"], ecg["episode"], ecg["from_s"], ecg["to_s"]) == ("a", episode, 0.0, 60.0)
    (ventricular,) = [s for s in sentences(lines) if s["text"].split()[1] == "ventricular"]
    (cite,) = ventricular["cites"]
    assert cite["text"] in ventricular["text"]
    assert cite["id"] == cite["text"][1:-1]
    fs = excerpt_parts[0].fs
    assert len(cite["spans"]) == int(ventricular["text"].split()[0]) > 3
    for span in cite["spans"]:
        assert span["first"] / fs == pytest.approx(span["from_s"], abs=0.001)
        assert 0 < span["last"] - span["first"] < 0.3 * fs
    assert f"{cite['spans'][0]['from_s']:.1f}-{cite['spans'][0]['to_s']:.1f} s" in ventricular["text"]
    assert lines[-1]["type"] == "end"
    assert lines[-1]["finished"]


def test_what_does_not_hold_is_never_shown_and_counted(
    episode: str, make_asking: MakeAsking, caplog: pytest.LogCaptureFixture
) -> None:
    lines = list(make_asking("count V", LIE).stream(asked(episode)))
    assert [line["text"].split()[0] != "999" for line in sentences(lines)] == [True]
    end = lines[-1]
    assert (end["plan"], end["replaced"], end["claims"], end["model"]) == ("count V", 1, 1, "scripted/1")
    assert any("999" in record.getMessage() for record in caplog.records)


def test_an_interval_of_the_papers_grammar_lies_where_the_strip_has_it(
    episode: str, make_asking: MakeAsking
) -> None:
    span = {"episode": episode, "from": 20, "to": 60}
    lines = list(make_asking("locate V").stream(asked(span)))
    sentence, counts = sentences(lines)
    assert counts["text"].endswith(" 20.0 s.")
    assert sentence["text"].startswith("Duration: ")
    for cite in sentence["cites"]:
        begin = float(cite["text"].split("s-")[0])
        assert cite["id"] is None
        assert cite["spans"][0]["from_s"] == pytest.approx(20.0 + begin, abs=0.01)


def test_a_stretch_is_read_as_if_nothing_else_had_been_recorded(
    episode: str, make_asking: MakeAsking
) -> None:
    asking = make_asking("measure BEATS")
    whole, part = (
        sentences(list(asking.stream(asked(wanted))))[0]
        for wanted in (episode, {"episode": episode, "from": 20, "to": 50})
    )
    assert whole["cites"][0]["spans"][0]["to_s"] == 60.0
    (bounds,) = part["cites"][0]["spans"]
    assert (bounds["from_s"], bounds["to_s"]) == (20.0, 50.0)
    counts = [float("".join(filter(str.isdigit, s["text"].split("[")[0]))) for s in (whole, part)]
    assert 0.4 * counts[0] < counts[1] < 0.6 * counts[0]


def test_a_patchs_own_thresholds_decide_what_is_answered(
    store: SqliteStore, episode: str, make_asking: MakeAsking
) -> None:
    asking = make_asking("present TACHY")
    (usual,) = sentences(list(asking.stream(asked(episode))))
    assert usual["text"].startswith("No fast heart rate was found")
    patch = store.episode(episode)
    assert patch is not None
    own = Thresholds(patch_id=patch.patch_id, own={"fast_bpm": 80.0}, at=0.5, who="dr", reason="young")
    store.patient_rules.set_thresholds(own, RuleConfig())
    (patient,) = sentences(list(asking.stream(asked(episode))))
    assert patient["text"].startswith("Yes, 1 stretch of fast heart rate")


@pytest.mark.parametrize(("begin", "end"), [(45, 75), (30, 60)])
def test_what_has_not_come_at_the_edge_of_a_span_is_not_analysed(
    begin: int, end: int, store: SqliteStore, excerpt_parts: list[Segment], make_asking: MakeAsking
) -> None:
    (episode,) = {commit(store, part) for part in excerpt_parts if part.part != 2}  # 45 to 60 s
    lines = list(make_asking("present AFIB").stream(asked({"episode": episode, "from": begin, "to": end})))
    (ecg,) = lines[0]["ecgs"]
    (said,) = sentences(lines)
    assert (ecg["from_s"], ecg["to_s"]) == (begin, end)
    assert "in the 15 s that could be analysed, 15.0 s could not" in said["text"]
    dark = next(cite for cite in said["cites"] if cite["id"] == "a2")
    assert [(span["from_s"], span["to_s"]) for span in dark["spans"]] == [(45.0, 60.0)]


def test_several_strips_have_letters_and_each_its_citations(
    store: SqliteStore, episode: str, make_asking: MakeAsking
) -> None:
    halves = [{"episode": episode, "from": a, "to": a + 30} for a in (30, 0)]
    lines = list(make_asking("compare RATE").stream(asked(*halves)))
    assert [ecg["ecg"] for ecg in lines[0]["ecgs"]] == ["a", "b"]
    assert lines[0]["caution"] is None
    assert [line["ecg"] for line in lines if line["type"] == "read"] == ["a", "b"]
    rates, *_ = sentences(lines)
    assert "1970" not in rates["text"]  # of one minute: nothing tells which was first
    begins = {cite["ecg"]: cite["spans"][0]["from_s"] for cite in rates["cites"]}
    assert begins == {"a": 30.0, "b": 0.0}


def test_dates_are_given_where_they_tell_the_order(store: SqliteStore, episode: str) -> None:
    held = store.episode(episode)
    assert held is not None
    minute = round(60 * held.fs)
    early, same, late = (Strip(held, at, at + 9, ()) for at in (0, 9, minute))
    assert [date is not None for date in dates([late, early])] == [True, True]
    assert dates([late, early]) == [late.date, early.date]
    assert dates([early, same, late]) == [None] * 3
    assert dates([early]) == [None]


def test_strips_of_different_patches_are_not_told_as_one_course(
    store: SqliteStore, episode: str, make_part: Callable[..., Segment], make_asking: MakeAsking
) -> None:
    for number in range(12):
        other = commit(store, make_part(number, patch="q"))
    lines = list(make_asking("compare RATE").stream(asked(episode, other)))
    assert lines[0]["caution"] == OTHERS
    assert "(" not in sentences(lines)[0]["text"].split(":")[0]  # no dates, so no order


def test_a_patch_that_changed_hands_is_not_told_as_one_course(
    store: SqliteStore, episode: str, excerpt_parts: list[Segment], make_asking: MakeAsking
) -> None:
    day = round(86_400 * excerpt_parts[0].fs)
    head = excerpt_parts[0]
    ident = segment_id(head.patch_id, head.boot_id, day, day + head.last - head.first)
    later = replace(head, id=ident, episode_id=ident, first=day)
    asking, of = make_asking("compare RATE"), asked(episode, commit(store, later))
    one, two = (list(asking.stream(of, worn)) for worn in (lambda _: {"anna"}, lambda e: {e.id}))
    assert (one[0]["caution"], "From earlier to later" in sentences(one)[0]["text"]) == (None, True)
    assert (two[0]["caution"], "From earlier to later" in sentences(two)[0]["text"]) == (OTHERS, False)


@pytest.mark.parametrize(
    ("wanted", "question"),
    [((), "Why?"), (("e",) * 7, "Why?"), (("e",), "  "), (("e",), "?" * 501), (("e", {"episode": "e"}), "?")]
    + [(({"episode": "e", "from": 0, "to": far},), "?") for far in (float("inf"), 1e308)],
)
def test_a_request_that_is_none_is_refused(wanted: tuple[Any, ...], question: str) -> None:
    with pytest.raises(ValidationError):
        asked(*wanted, question=question)


def test_what_cannot_be_asked_about_is_said_before_anything_is_read(
    episode: str, make_asking: MakeAsking, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = make_asking("report")
    with pytest.raises(UnknownEpisodeError, match="no episode NONE"):
        asking.stream(asked("NONE"))
    monkeypatch.setattr("cloud.ask.room", lambda ecgs: 50 * ecgs)
    with pytest.raises(UsageError, match="120 s are asked about, 100 s are the most"):
        asking.stream(asked(episode, episode))
    with pytest.raises(UsageError, match="of 70 to 80 s it holds too little"):
        asking.stream(asked({"episode": episode, "from": 70, "to": 80}))


def test_too_much_at_once_is_one_sentence(
    episode: str, readings: Readings, store: SqliteStore, scripted: MakeChat
) -> None:
    asking = Asking(store, readings, scripted(lambda _: ["report"], longest=600), Turns(1), 20.0)
    *_, last = asking.stream(asked(episode))
    assert last["type"] == "error"
    assert "600 are the most" in last["detail"]


def test_a_model_that_fails_or_is_late_is_said(episode: str, make_asking: MakeAsking) -> None:
    *_, failed = make_asking(says=lambda _: 1 / 0).stream(asked(episode))
    assert failed == {"type": "error", "detail": "The question could not be answered; the log says why."}

    def slowly(after: int) -> Callable[[str], list[str]]:
        tokens = itertools.count()

        def says(_: str) -> list[str]:
            time.sleep(2.5 if next(tokens) >= after else 0.0)
            return ["count V", LIE, LIE]

        return says

    *_, sentence, end = make_asking(says=slowly(after=15), budget_s=2.0).stream(asked(episode))
    assert " ventricular premature beats in all " in sentence["text"]
    assert (end["plan"], end["finished"], end["note"]) == ("count V", False, TEMPLATE_SAID)
    _, read, late = make_asking(says=slowly(after=0), budget_s=2.0).stream(asked(episode))
    assert (read["type"], late) == ("read", {"type": "error", "detail": TOO_SLOW})


def test_a_strip_is_read_once_for_many_questions_and_memory_is_bounded(
    episode: str, readings: Readings, make_asking: MakeAsking
) -> None:
    asking, kept = make_asking("count V"), readings._kept
    list(asking.stream(asked(episode)))
    (first,) = kept.values()
    for _ in range(3):
        list(asking.stream(asked(episode)))
    (again,) = kept.values()
    assert again is first
    for begin in range(KEPT + 3):
        list(asking.stream(asked({"episode": episode, "from": begin, "to": begin + 3})))
    assert len(kept) == KEPT


@pytest.fixture
def held() -> Iterator[Turns]:
    """One turn, which somebody has."""
    turns, over = Turns(1, most_waiting=1), threading.Event()
    taken = threading.Event()

    def hold() -> None:
        with turns.taken():
            taken.set()
            over.wait(30.0)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    yield turns
    over.set()
    thread.join()


def test_who_comes_beyond_waits_its_turn_and_is_told(
    episode: str, make_asking: MakeAsking, held: Turns
) -> None:
    lines = make_asking("count V", turns=held).stream(asked(episode))
    assert [next(lines)["type"], next(lines)] == ["ecgs", {"type": "waiting", "before": 0}]
    while not held.waiting:
        time.sleep(0.01)
    with pytest.raises(BusyError, match="1 others are waiting already"):
        make_asking("count V", turns=held).stream(asked(episode))
    with held._changed:  # the one that had it is done
        held.free += 1
        held._changed.notify()
    assert [line["type"] for line in lines] == ["read", "sentence", "end"]


def test_nobody_waits_for_ever(held: Turns) -> None:
    with pytest.raises(BusyError, match="busy for 0 s"), held.taken(0.01):
        raise AssertionError("a turn that was not free")


def test_a_model_that_hangs_keeps_nobody() -> None:
    over = threading.Event()

    def hanging() -> Iterator[str]:
        yield "begun"
        over.wait(60.0)

    lines = apart(hanging(), 2.0)
    assert next(lines) == "begun"
    with pytest.raises(BusyError, match="has not answered"):
        next(lines)
    over.set()


def test_who_stops_listening_ends_the_answer() -> None:
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
                time.sleep(0.01)
        finally:
            ended.set()

    lines = apart(endless(), 5.0)
    assert next(lines) == 0
    lines.close()  # type: ignore[attr-defined]
    assert ended.wait(5.0)
