"""The course of an alert: what is refused, what follows, and that no path loses one nobody has answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloud.alerts import (
    CALLING,
    RESOLVE_S,
    Acknowledge,
    Action,
    Effect,
    Escalate,
    Evidence,
    Hear,
    Recur,
    Resolve,
    See,
    StaleError,
    Standing,
    State,
    Suppress,
    Undo,
    step,
)
from cloud.quiet import RefusedError, quiet_rule
from models.verdicts import Alert, Priority

WHO = st.sampled_from(["ann", "bob"])
SCREEN = st.sampled_from(["desk", "phone"])
PRIORITY = st.sampled_from([Priority.LOW, Priority.MEDIUM, Priority.HIGH])


def alert(priority: Priority = Priority.MEDIUM, entries: int = 1) -> Alert:
    past = {"episode_id": "e", "boot_id": 1, "label": "AFIB", "priority": str(priority), "at": 1, "utc": None}
    return Alert(
        id="A",
        patch_id="p",
        episode_id="e",
        label="AFIB",
        priority=priority,
        state="raised",
        at=1,
        rule="made",
        history=(past,) * entries,
    )


def raised(priority: Priority = Priority.MEDIUM, now: float = 0.0) -> Standing:
    return step(None, Evidence(alert=alert(priority), change="raised"), now)[0]


def seen(standing: Standing, who: str = "ann", screen: str = "desk") -> Standing:
    return step(standing, See(who=who, screen=screen, version=standing.version), 1.0)[0]


def acknowledged(priority: Priority = Priority.MEDIUM) -> Standing:
    looked = seen(raised(priority))
    return step(looked, Acknowledge(who="ann", screen="desk", version=looked.version), 2.0)[0]


def suppression(standing: Standing, hours: float = 1.0) -> Suppress:
    quiet = quiet_rule("p", "AFIB", Priority.MEDIUM, hours=hours, reason="known", who="ann", now=3.0)
    return Suppress(who="ann", screen="desk", version=standing.version, rule=replace(quiet, id=7))


def worse(standing: Standing, now: float = 9.0) -> Standing:
    return step(standing, Evidence(alert=alert(Priority.HIGH, 2), change="raised again"), now)[0]


def test_an_alert_is_raised_seen_acknowledged_and_resolved_with_a_version_each() -> None:
    course = [raised()]
    course.append(seen(course[-1]))
    course.append(step(course[-1], Acknowledge(who="ann", screen="desk", version=2), 2.0)[0])
    course.append(step(course[-1], Resolve(who="bob", version=3, reason="settled"), 3.0)[0])
    assert [(s.state, s.version) for s in course] == [
        (State.RAISED, 1),
        (State.SEEN, 2),
        (State.ACKNOWLEDGED, 3),
        (State.RESOLVED, 4),
    ]
    assert (course[-1].by, course[-1].reason, course[-1].acknowledged_by) == ("bob", "settled", "ann")


def test_nobody_acknowledges_what_their_own_screen_has_not_drawn() -> None:
    looked = seen(raised())
    for who, screen in (("bob", "desk"), ("ann", "phone")):
        with pytest.raises(RefusedError, match="Look at the strip first"):
            step(looked, Acknowledge(who=who, screen=screen, version=2), 2.0)


def test_a_second_one_who_looks_outdates_nobody() -> None:
    both = seen(seen(raised()), who="bob")
    assert both.version == 2
    assert step(both, Acknowledge(who="ann", screen="desk", version=2), 2.0)[0].acknowledged_by == "ann"


def test_the_second_who_acknowledges_is_told_who_was_first_and_when() -> None:
    both = seen(seen(raised()), who="bob")
    first, _ = step(both, Acknowledge(who="ann", screen="desk", version=2), 1_700_000_000.0)
    with pytest.raises(StaleError, match="ann was first: acknowledged at 2023-11-14 22:13:20 UTC") as refusal:
        step(first, Acknowledge(who="bob", screen="desk", version=2), 1_700_000_001.0)
    assert refusal.value.standing == first


@pytest.mark.parametrize("version", [0, 5, -1])
def test_a_version_that_never_stood_is_refused(version: int) -> None:
    with pytest.raises(StaleError):
        step(seen(raised()), Acknowledge(who="ann", screen="desk", version=version), 2.0)


def test_evidence_that_is_added_outdates_no_acknowledgement_and_worse_evidence_does() -> None:
    looked = seen(raised())
    added, effects = step(looked, Evidence(alert=alert(entries=2), change="added"), 5.0)
    assert (added.state, Effect.CALL in effects) == (State.SEEN, False)
    assert step(added, Acknowledge(who="ann", screen="desk", version=2), 6.0)[0].state is State.ACKNOWLEDGED
    with pytest.raises(StaleError, match="analysis was first: raised again"):
        step(worse(looked), Acknowledge(who="ann", screen="desk", version=2), 10.0)


def test_an_acknowledged_alert_is_raised_again_by_worse_evidence_only_and_must_be_seen_anew() -> None:
    same, effects = step(acknowledged(), Evidence(alert=alert(entries=2), change="added"), 9.0)
    assert (same.state, Effect.CALL in effects) == (State.ACKNOWLEDGED, False)
    again = worse(acknowledged())
    assert (again.state, again.called_at, again.viewers) == (State.RAISED, 9.0, frozenset())
    assert again.acknowledged_by is None
    with pytest.raises(RefusedError, match="Look at the strip first"):
        step(again, Acknowledge(who="ann", screen="desk", version=again.version), 10.0)


def test_an_alert_that_nobody_answered_goes_on_escalating_from_when_it_first_called() -> None:
    assert worse(raised(now=2.0), now=50.0).called_at == 2.0


def test_one_that_nobody_has_acknowledged_cannot_be_resolved() -> None:
    for standing in (raised(), seen(raised())):
        with pytest.raises(RefusedError, match="never disappears"):
            step(standing, Resolve(who="ann", version=standing.version), 2.0)


def test_a_high_alert_can_never_be_suppressed() -> None:
    for standing in (seen(raised(Priority.HIGH)), acknowledged(Priority.HIGH)):
        with pytest.raises(RefusedError, match="high alert can never be suppressed"):
            step(standing, suppression(standing), 3.0)
    with pytest.raises(RefusedError, match="high alert can never be suppressed"):
        quiet_rule("p", "VF", Priority.HIGH, hours=1, reason="known", who="ann", now=0.0)


@pytest.mark.parametrize(
    ("hours", "reason", "sentence"),
    [
        (0.0, "known", "hours"),
        (169.0, "known", "hours"),
        (float("nan"), "known", "hours"),
        (1.0, " ", "reason"),
    ],
)
def test_a_suppression_has_an_end_and_a_reason(hours: float, reason: str, sentence: str) -> None:
    with pytest.raises(RefusedError, match=sentence):
        quiet_rule("p", "AFIB", Priority.LOW, hours=hours, reason=reason, who="ann", now=0.0)


def test_what_is_suppressed_is_raised_by_undo_with_its_evidence_and_must_be_seen_anew() -> None:
    looked = seen(raised())
    quiet, effects = step(looked, suppression(looked), 3.0)
    assert (quiet.state, quiet.quiet, quiet.reason) == (State.SUPPRESSED, 7, "known")
    assert Effect.HUSH in effects
    back, effects = step(quiet, Undo(who="bob", version=quiet.version), 60.0)
    assert (back.state, back.called_at, back.alert.at, back.viewers) == (State.RAISED, 60.0, 1, frozenset())
    assert {Effect.CALL, Effect.LIFT} <= set(effects)


def test_a_quiet_rule_ends_with_what_it_suppressed_and_with_nothing_else() -> None:
    looked = seen(raised())
    quiet, _ = step(looked, suppression(looked), 3.0)
    assert Effect.LIFT in step(quiet, Resolve(who="bob", version=quiet.version), 60.0)[1]
    answered = acknowledged()
    assert Effect.LIFT not in step(answered, Resolve(who="bob", version=answered.version), 60.0)[1]


def hear(standing: Standing, *heard: tuple[int, float], settled: bool = True) -> Standing:
    for boot_id, seconds in heard:
        standing, _ = step(standing, Hear(boot_id=boot_id, heard_s=seconds, settled=settled), 100.0)
    return standing


def test_an_acknowledged_alert_resolves_by_itself_after_an_hour_of_recording_without_it() -> None:
    assert hear(acknowledged(), (1, 5000), (1, 5000 + RESOLVE_S - 1)).state is State.ACKNOWLEDGED
    over = hear(acknowledged(), (1, 5000), (1, 5000 + RESOLVE_S))
    assert (over.state, over.by, over.reason) == (
        State.RESOLVED,
        "recording",
        "60 min of recording without it",
    )


def test_only_what_was_heard_counts_and_nothing_before_a_boots_first_word() -> None:
    gone = hear(acknowledged(), (1, 0), (1, 3000), (2, 90_000), (2, 90_100))
    assert (gone.state, gone.quiet_s) == (State.ACKNOWLEDGED, 3100)
    assert hear(acknowledged(), (1, 100), (1, 50), (1, 100)).quiet_s == 0  # missing, and heard after all


def test_an_hour_begins_anew_when_the_label_is_shown_again_and_waits_for_what_is_on_its_way() -> None:
    nearly = hear(acknowledged(), (1, 0), (1, RESOLVE_S - 1))
    assert hear(step(nearly, Recur(), 5.0)[0], (1, RESOLVE_S + 1)).state is State.ACKNOWLEDGED
    waiting = hear(nearly, (1, RESOLVE_S + 1), settled=False)
    assert waiting.state is State.ACKNOWLEDGED
    assert hear(waiting, (1, RESOLVE_S + 1)).state is State.RESOLVED


def test_recording_resolves_nothing_that_nobody_has_acknowledged() -> None:
    for standing in (raised(), seen(raised())):
        assert hear(standing, (1, 0), (1, 10 * RESOLVE_S)) == standing


def test_a_person_escalates_what_is_open_and_it_stands_as_it_did_until_somebody_answers() -> None:
    for standing in (raised(), seen(raised()), acknowledged()):
        called, effects = step(standing, Escalate(who="bob", version=standing.version, reason="help"), 5.0)
        assert (called.state, called.did, called.by) == (standing.state, "escalated", "bob")
        assert (called.escalated_by, called.escalated_at, called.reason) == ("bob", 5.0, "help")
        assert (called.viewers, called.called_at) == (standing.viewers, standing.called_at)
        assert Effect.ESCALATE in effects
        assert Effect.HUSH not in effects
    assert worse(called).escalated_by is None  # what calls anew has been escalated by nobody


def test_who_answers_at_the_same_time_is_told_that_it_was_escalated() -> None:
    looked = seen(raised())
    called, _ = step(looked, Escalate(who="bob", version=looked.version), 5.0)
    for answered in (Acknowledge(who="ann", screen="desk", version=2), Escalate(who="ann", version=2)):
        with pytest.raises(StaleError, match="bob was first: escalated at"):
            step(called, answered, 6.0)
    assert step(called, Acknowledge(who="ann", screen="desk", version=3), 7.0)[0].state is State.ACKNOWLEDGED


def test_what_is_over_is_not_escalated() -> None:
    looked = seen(raised())
    quiet, _ = step(looked, suppression(looked), 3.0)
    done, _ = step(acknowledged(), Resolve(who="ann", version=3), 4.0)
    for standing in (quiet, done):
        with pytest.raises(RefusedError, match="nothing to escalate"):
            step(standing, Escalate(who="ann", version=standing.version), 5.0)


def test_evidence_never_changes_what_is_resolved() -> None:
    done, _ = step(acknowledged(), Resolve(who="ann", version=3), 4.0)
    with pytest.raises(RefusedError, match="new evidence opens a new one"):
        step(done, Evidence(alert=alert(Priority.HIGH, 2), change="raised again"), 5.0)


class Course(RuleBasedStateMachine):
    """Anybody does anything at any time, also with versions that are outdated or never were."""

    @initialize(priority=PRIORITY)
    def begin(self, priority: Priority) -> None:
        self.now = 0.0
        self.standing, effects = step(None, Evidence(alert=alert(priority), change="raised"), self.now)
        self.due = Effect.CALL in effects  # something waits to be delivered
        self.answered: set[str] = set()

    def do(self, action: Action) -> None:
        before = self.standing
        self.now += 1.0
        try:
            after, effects = step(before, action, self.now)
        except RefusedError:
            return
        assert after.version - before.version in (0, 1)
        assert before.decided <= after.decided <= after.version
        assert (after != before) or not effects
        moved = after.state is not before.state
        assert Effect.RECORD in effects or not moved
        assert Effect.TELL in effects or after.version == before.version
        if before.state in CALLING and after.state not in CALLING:
            assert isinstance(action, Acknowledge | Suppress)
            assert (action.who, action.screen) in before.viewers
        if before.state is State.ACKNOWLEDGED and after.state in CALLING:
            assert isinstance(action, Evidence)
            assert after.alert.priority > before.alert.priority
        if Effect.CALL in effects:
            assert after.state is State.RAISED
        self.due = Effect.CALL in effects or (self.due and Effect.HUSH not in effects)
        self.standing = after

    @rule(priority=PRIORITY)
    def evidence(self, priority: Priority) -> None:
        now = self.standing.alert
        top = max(priority, now.priority)
        self.do(Evidence(alert=alert(top, len(now.history) + 1), change="added"))

    @rule(who=WHO, screen=SCREEN, back=st.integers(-1, 3))
    def see(self, who: str, screen: str, back: int) -> None:
        self.do(See(who=who, screen=screen, version=self.standing.version - back))

    @rule(who=WHO, screen=SCREEN, back=st.integers(-1, 3))
    def acknowledge(self, who: str, screen: str, back: int) -> None:
        self.do(Acknowledge(who=who, screen=screen, version=self.standing.version - back))

    @rule(who=WHO, back=st.integers(-1, 3))
    def escalate(self, who: str, back: int) -> None:
        self.do(Escalate(who=who, version=self.standing.version - back))

    @rule(who=WHO, back=st.integers(0, 1))
    def resolve(self, who: str, back: int) -> None:
        self.do(Resolve(who=who, version=self.standing.version - back))

    @rule()
    def suppress(self) -> None:
        self.do(suppression(self.standing))

    @rule(who=WHO)
    def undo(self, who: str) -> None:
        self.do(Undo(who=who, version=self.standing.version))

    @rule(boot=st.integers(1, 2), seconds=st.floats(0, 20_000), settled=st.booleans())
    def hear(self, boot: int, seconds: float, settled: bool) -> None:
        self.do(Hear(boot_id=boot, heard_s=seconds, settled=settled))

    @rule()
    def recur(self) -> None:
        self.do(Recur())

    @invariant()
    def something_waits_exactly_while_nobody_has_answered(self) -> None:
        assert self.due is (self.standing.state in CALLING)

    @invariant()
    def a_high_one_is_never_suppressed(self) -> None:
        high = self.standing.alert.priority is Priority.HIGH
        assert not (high and self.standing.state is State.SUPPRESSED)


TestCourse = Course.TestCase
TestCourse.settings = settings(max_examples=150, stateful_step_count=25)
