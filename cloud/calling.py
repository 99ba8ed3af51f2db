"""When a nurse is called: the one table of rules over what an episode shows, and one open alert a patient.

Later or continuing episodes are added to the open alert; only a higher priority raises it again. Everything
here is a function of the episode and of the alerts before it, so redelivery and restarts change nothing. What
becomes of an alert afterwards is in `cloud/alerts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloud.analyst import EpisodeAnalyst
from cloud.config import RuleConfig
from cloud.docket import Called, Docket, told
from cloud.quiet import QuietRule, quieted
from cloud.rules import Spell, fast_from
from models.ecg import Segment, make_id
from models.verdicts import Alert, Priority

MINUTE_S = 60.0
FADING_MV = 1.0  # of the baseline during a pause: rather a lead that comes off, but never taken for granted
RATE_LABELS = {"BRADY": "below", "TACHY": "above"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A rule that holds: `at` is the sample of the last beat it needed."""

    priority: Priority
    label: str
    at: int
    rule: str
    part: int = 0  # of the episode, with which the rule first held
    report_id: str | None = None  # the episode's newest report then
    quiet: int | None = None  # the quiet rule that was in force then: it calls nobody


def call(docket: Docket, holding: Sequence[Cause], segment: Segment) -> list[Called]:
    """The changes to a patient's alerts with the causes of an episode up to this part.

    What a quiet rule covers goes to that rule's own suppressed alert; what a resolved alert told is told, and
    only what came after its resolution opens a new one.
    """
    out = []
    for quiet in sorted({cause.quiet for cause in holding}, key=lambda rule: rule or 0):
        before = docket.open if quiet is None else docket.quiet.get(quiet)
        mine = [c for c in holding if c.quiet == quiet and not _told_elsewhere(docket, before, c, segment)]
        alert, change = judge(before, mine, segment, _unused_id(docket, segment, quiet))
        if alert is not None and change is not None:
            out.append(Called(alert=alert, change=change, quiet=quiet))
    return out


def _told_elsewhere(docket: Docket, before: Alert | None, cause: Cause, segment: Segment) -> bool:
    same = (segment.episode_id, cause.label, str(cause.priority))
    for closed in docket.closed:
        if same in closed.told and (segment.boot_id != closed.boot_id or cause.at <= closed.through):
            return True
    if before is not None and same in told(before):
        return False
    others = [*docket.quiet.values(), *([docket.open] if docket.open else [])]
    return same in docket.beside or any(same in told(alert) for alert in others)


def _unused_id(docket: Docket, segment: Segment, quiet: int | None) -> str:
    """An episode's first alert has the id that a replay gives it; a later one hangs on the one before."""
    found = make_id("alert", segment.episode_id, *([] if quiet is None else ["quiet"]))
    while found in docket.ids:
        found = make_id("alert", segment.episode_id, found)
    return found


def causes(
    analyst: EpisodeAnalyst,
    rules: RuleConfig,
    fs: float,
    before: Iterable[Cause] = (),
    part: int = 0,
    report_id: str | None = None,
    quiet: Sequence[QuietRule] = (),
    since: int = -1,
) -> list[Cause]:
    """The first time each rule held after sample `since` of the episode: in the order of parts, in each the
    most urgent first.

    `before` are the causes after the part before: what once held stays, however a spell goes on, so that it
    does not matter whether parts came one by one or all at once. `quiet` are the quiet rules in force.
    """
    found = [cause for spell in analyst.spells for cause in of_spell(spell, rules, fs)]
    found += _frequent(analyst, rules, fs, since)
    first = {(cause.priority, cause.label): cause for cause in before}
    for cause in sorted(found, key=lambda c: c.at):
        if cause.at > since:
            rule = quieted(quiet, cause.label, cause.priority)
            now = replace(cause, part=part, report_id=report_id, quiet=rule)
            first.setdefault((cause.priority, cause.label), now)
    return sorted(first.values(), key=lambda c: (c.part, -c.priority, c.at, c.label))


def judge(
    before: Alert | None, holding: Sequence[Cause], segment: Segment, ident: str | None = None
) -> tuple[Alert | None, str | None]:
    """The patient's alert with the `causes` of an episode up to this part, and what changed: raised, raised
    again, added, corrected (a part that came late holds earlier evidence) or None. A new one gets `ident`."""
    alert, change = before, None
    for cause in holding:
        entry = _entry(cause, segment)
        if alert is None:
            alert, change = _raised(cause, segment, entry, ident), "raised"
        elif _known(alert, entry):
            if (earlier := _with_earlier(alert, entry)) != alert:
                alert, change = earlier, change or "corrected"
        elif cause.priority > alert.priority:
            alert = replace(
                alert,
                episode_id=segment.episode_id,
                label=cause.label,
                priority=cause.priority,
                at=cause.at,
                rule=cause.rule,
                report_id=cause.report_id,
                history=(*alert.history, entry),
            )
            change = change if change == "raised" else "raised again"
        else:
            alert = replace(alert, history=(*alert.history, entry))
            change = change or "added"
    return alert, change


def of_spell(spell: Spell, rules: RuleConfig, fs: float) -> list[Cause]:
    """What the table says of one spell, in the order of its rows."""
    lasts = (spell.last + 1 - spell.first) / fs
    out = []

    def holds(priority: Priority, at: int, rule: str) -> None:
        out.append(Cause(priority=priority, label=spell.label, at=at, rule=rule))

    match spell.label:
        case "VF" if lasts >= rules.vf_s:
            at = spell.first + round(rules.vf_s * fs)
            holds(Priority.HIGH, at, f"ventricular fibrillation or flutter for {rules.vf_s:g} s or more")
        case "VT" | "V":
            fast = fast_from(spell.marks, rules.vt_beats, fs)
            if fast is not None:
                holds(Priority.HIGH, fast, f"ventricular tachycardia of {rules.vt_beats} beats or more")
            if len(spell.marks) >= rules.run_beats:
                at = spell.marks[rules.run_beats - 1]
                holds(Priority.MEDIUM, at, f"{rules.run_beats} or more ventricular beats in a row")
        case "PAUSE" if lasts >= rules.pause_s:
            at = spell.first + round(rules.pause_s * fs)
            holds(Priority.HIGH, at, f"no beat for {rules.pause_s:g} s or more{_fading(spell)}")
        case "AFIB" if lasts >= rules.af_s:
            at = spell.first + round(rules.af_s * fs)
            holds(Priority.MEDIUM, at, f"atrial fibrillation for {rules.af_s:g} s or more")
        case "BRADY" | "TACHY":
            limit = rules.slow_bpm if spell.label == "BRADY" else rules.fast_bpm
            side = RATE_LABELS[spell.label]
            holds(Priority.MEDIUM, spell.marks[0], f"mean rate {side} {limit:g}/min over 30 s")
    return out


def _fading(spell: Spell) -> str:
    moved = spell.evidence.get("baseline_moved_mv", 0.0)
    return f"; the baseline moved by {moved:.1f} mV: check the electrode" if moved > FADING_MV else ""


def _frequent(analyst: EpisodeAnalyst, rules: RuleConfig, fs: float, since: int) -> list[Cause]:
    r = [beat.r for beat in analyst.beats if beat.label == "V" and beat.readable and beat.r > since]
    need = rules.v_per_minute
    for i in range(need - 1, len(r)):
        if r[i] - r[i + 1 - need] <= MINUTE_S * fs:
            rule = f"{need} or more ventricular beats within 60 s"
            return [Cause(priority=Priority.LOW, label="V", at=r[i], rule=rule)]
    return []


def _entry(cause: Cause, segment: Segment) -> dict[str, Any]:
    return {
        "episode_id": segment.episode_id,
        "boot_id": segment.boot_id,
        "label": cause.label,
        "rule": cause.rule,
        "priority": str(cause.priority),
        "at": cause.at,
        "utc": segment.clock.utc(cause.at),
        "quiet": cause.quiet,
    }


def _known(alert: Alert, entry: dict[str, Any]) -> bool:
    return (entry["episode_id"], entry["label"], entry["priority"]) in told(alert)


def _with_earlier(alert: Alert, entry: dict[str, Any]) -> Alert:
    """The alert with this cause's time where it is earlier than the one it knew."""
    names = ("episode_id", "label", "priority")
    history = tuple(
        {**entry} if all(past[n] == entry[n] for n in names) and entry["at"] < past["at"] else past
        for past in alert.history
    )
    own = (alert.episode_id, alert.label, str(alert.priority)) == tuple(entry[n] for n in names)
    at = min(alert.at, entry["at"]) if own else alert.at
    return replace(alert, history=history, at=at)


def _raised(cause: Cause, segment: Segment, entry: dict[str, Any], ident: str | None) -> Alert:
    return Alert(
        id=ident or make_id("alert", segment.episode_id),
        patch_id=segment.patch_id,
        episode_id=segment.episode_id,
        label=cause.label,
        priority=cause.priority,
        state="raised",
        at=cause.at,
        rule=cause.rule,
        report_id=cause.report_id,
        history=(entry,),
    )
