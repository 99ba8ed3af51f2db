"""What the pages show, in words: rows for the templates, from what a person sees of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from cloud.alerts import CALLING, State
from cloud.chain import Head
from cloud.citations import Cited, pieces
from cloud.console.evidence import finding_row, lead_rows, not_read
from cloud.console.seen import Hand, Seen
from cloud.drafts import Standing
from cloud.store import Episode, Patch, StoredAlert, StoredFinding
from cloud.symptoms import Symptom
from models.anyecg.evidence import Evidence
from models.ecg import Segment
from models.verdicts import LABELS, DecidedBy, Priority, Report

WORDING = "Decision support. Not a diagnosis. Not for emergency monitoring."
REVIEW = "AI-generated, not yet reviewed"
SYMBOLS = {Priority.HIGH: "▲▲▲", Priority.MEDIUM: "▲▲", Priority.LOW: "▲", Priority.TECHNICAL: "■"}
RECENT = 5  # causes of an alert that its card shows unfolded
MOST = 100  # cards of a queue; beyond it the page says that there are more
NOT_ASSESSED = ", ".join(row.plain for row in LABELS.values() if row.decided_by is DecidedBy.NOT_ASSESSED)

Row = dict[str, Any]


def moment(unix: float | None) -> str:
    """Date, time and UTC offset of the clinic's clock, or that it is not known."""
    if unix is None:
        return "time unknown"
    return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def lasting(seconds: float) -> str:
    """`3 h 10 min`, `1 min 10 s`, `8 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """What waits for people; each list in the order of its page, at most so many of a state."""

    review: list[Row]  # unanswered ones first
    suppressed: list[Row]
    technical: list[Row]
    patches: list[Row]

    @classmethod
    def of(cls, seen: Seen, now: float) -> Queues:
        """An unanswered one is never crowded out by those that somebody has acknowledged."""
        answered = seen.alerts(MOST + 1, (State.ACKNOWLEDGED,))
        quiet = seen.alerts(MOST + 1, (State.SUPPRESSED,))
        return cls(
            review=[alert_row(seen, stored) for stored in [*seen.alerts(MOST + 1, CALLING), *answered]],
            suppressed=[alert_row(seen, stored) for stored in quiet],
            technical=technical_rows(seen, MOST + 1),
            patches=patch_rows(seen, now),
        )

    @property
    def calling(self) -> list[Row]:
        return [row for row in self.review if row["calling"]]

    @property
    def high(self) -> int:
        """Unanswered and high: these sound."""
        return sum(row["priority"] == str(Priority.HIGH) for row in self.calling)


def counted(rows: Sequence[Row]) -> str:
    """How many there are, as far as they were read."""
    return f"{MOST}+" if len(rows) > MOST else str(len(rows))


def alert_rows(seen: Seen, states: Collection[State] = tuple(State), limit: int = MOST) -> list[Row]:
    return [alert_row(seen, stored) for stored in seen.alerts(limit, states)]


def alert_row(seen: Seen, stored: StoredAlert) -> Row:
    alert, standing, timing = stored.alert, stored.standing, stored.timing
    episode, quiet = seen.episode(alert.episode_id), seen.quiet(stored)
    return {
        "id": alert.id,
        "episode_id": alert.episode_id,
        "priority": str(alert.priority),
        "symbol": SYMBOLS[alert.priority],
        "label": alert.label,
        "plain": LABELS[alert.label].plain,
        "rule": alert.rule,
        "state": alert.state,
        "version": standing.version,
        "decided": standing.decided,
        "acknowledged_by": standing.acknowledged_by,
        "acknowledged": moment(standing.acknowledged_at) if standing.acknowledged_by else None,
        "calling": standing.state in CALLING,
        "escalated_by": standing.escalated_by,
        "escalated": moment(standing.escalated_at) if standing.escalated_by else None,
        "until": None if quiet is None else moment(quiet.until),
        "until_utc": None if quiet is None else quiet.until,
        "by": standing.by,
        "reason": standing.reason,
        "patch_id": alert.patch_id,
        "patient": seen.patient(alert.patch_id, timing.sampled_at or timing.shown_at),
        "at": alert.at,
        "at_s": alert.at / episode.fs if episode else None,
        "recorded": moment(episode.utc(alert.at) if episode else None),
        "arrived": moment(timing.shown_at),
        "history": [_entry(entry, episode) for entry in alert.history],
    }


def _entry(entry: Mapping[str, Any], episode: Episode | None) -> Row:
    """One cause that was raised or added, with the time it was recorded."""
    return {
        "priority": entry["priority"],
        "rule": entry["rule"],
        "at_s": entry["at"] / episode.fs if episode else None,
        "recorded": moment(entry["utc"]),
        "episode_id": entry["episode_id"],
        "at": entry["at"],
    }


def hand_rows(hands: Sequence[Hand]) -> list[Row]:
    """Patients, each with the change of hands before and after where that lies in what is shown."""
    return [
        patient | {"since": moment(since) if since else None, "until": moment(until) if until else None}
        for since, until, patient in hands
    ]


def technical_rows(seen: Seen, limit: int = MOST) -> list[Row]:
    return [
        {"id": t.id, "patch_id": t.patch_id, "kind": t.kind, "text": t.text, "since": moment(t.raised_at)}
        for t in seen.technical_alerts(limit=limit)
    ]


def patch_rows(seen: Seen, now: float) -> list[Row]:
    return [
        _patch(patch, now)
        | {"patient": seen.patient(patch.patch_id, now), "symptom": _newest(seen, patch.patch_id, now)}
        for patch in seen.patches()
    ]


def _newest(seen: Seen, patch_id: str, now: float) -> Row | None:
    """What the patient told last, within a day."""
    told = seen.symptoms(patch_id, now - 86_400, now)
    return symptom_row(max(told, key=lambda symptom: symptom.said_at)) if told else None


def _patch(patch: Patch, now: float) -> Row:
    beat, lost = patch.heartbeat, patch.not_analysed_s
    battery = beat.get("battery_mv")
    return {
        "patch_id": patch.patch_id,
        "online": patch.online,
        "ended": bool(beat.get("ended")),
        "heard": bool(beat),
        "newest_utc": beat.get("newest_utc"),
        "age": None if (age := patch.newest_age_s(now)) is None else lasting(age),
        "battery": None if battery is None else f"{battery / 1000:.2f} V",
        "lead_off": ", ".join(beat.get("lead_off") or ()),
        "waiting": beat.get("outbox_depth", 0),
        "not_analysed": lasting(lost) if lost >= 1 else None,
    }


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """One episode: the strip's numbers for scripts, and rows for the template."""

    episode: Episode
    findings: list[StoredFinding]
    report: Report | None
    reported: int | None  # last sample that the report knows of
    evidence: Evidence | None  # what the report cites
    hands: list[Row]  # whom it was recorded of
    parts: tuple[Segment, ...]  # those of `episode`: one that came while this was read is not among them
    head: Head | None  # of the audit, that tells of the report
    analysed_by: tuple[str, str] | None  # network, and the SHA-256 of its weights
    symptoms: list[Symptom]
    signing: Standing  # what people made of the report
    covered: bool  # what is signed rests on the newest report as it is

    @classmethod
    def of(cls, seen: Seen, episode_id: str) -> EpisodeView | None:
        episode = seen.episode(episode_id)
        if episode is None:
            return None
        report, signing = seen.report(episode_id), seen.signing(episode_id)
        signed = signing.signed
        newest = seen.segment(report.segment_ids[-1]) if report else None
        return cls(
            episode=episode,
            findings=seen.findings(episode_id),
            report=report,
            reported=newest.last if newest else None,
            evidence=seen.evidence(report) if report else None,
            hands=hand_rows(seen.hands_of(episode)),
            parts=tuple(part for part in seen.parts(episode_id) if part.last <= episode.last),
            head=seen.report_head(report) if report else None,
            analysed_by=seen.analysed_by(episode_id),
            symptoms=seen.symptoms_of(episode),
            signing=signing,
            covered=bool(signed and report and signed.report_id == report.id and seen.holds(signed)),
        )

    def rows(self) -> list[Row]:
        screenings = [screening for part in self.parts for screening in part.screenings]
        return [finding_row(stored, self.episode, screenings) for stored in self.findings]

    def leads(self) -> list[Row]:
        return lead_rows(self.parts)

    def gaps(self) -> list[tuple[int, int]]:
        """(first, count) of what is missing, also between parts and where a rule deleted the samples: what is
        not there is missing, not flat."""
        e = self.episode
        spans = [
            (e.first - 1, e.first - 1),
            *((p.first, p.last) for p in self.parts),
            (e.last + 1, e.last + 1),
        ]
        holes = [
            (last + 1, first - last - 1) for (_, last), (first, _) in pairwise(spans) if first > last + 1
        ]
        return [span for part in self.parts for span in part.gaps] + holes

    def not_read(self) -> list[Row]:
        return not_read(self.episode, self.findings, self.gaps())

    def screeners(self) -> list[str]:
        return sorted({screening.model for part in self.parts for screening in part.screenings})

    def told(self) -> list[Row]:
        """What the patient felt, with the second of the recording at which."""
        fs, utc_0, clock_fs = self.episode.fs, self.episode.utc_0, self.episode.clock_fs
        if utc_0 is None or clock_fs is None:
            return []
        return [symptom_row(s) | {"at_s": (s.at - utc_0) * clock_fs / fs} for s in self.symptoms]

    def counts(self) -> list[tuple[str, int]]:
        """(plain name, how many), most first."""
        found = Counter(LABELS[stored.finding.label].plain for stored in self.findings)
        return found.most_common()

    def report_lines(self) -> list[list[Row]]:
        """The report's lines as pieces of text, some of which are citations."""
        if self.report is None:
            return []
        lines = self.report.narrative.splitlines()
        if self.evidence is None:
            return [[{"text": line, "cite": None}] for line in lines]
        cited = Cited(evidence=self.evidence, findings=self.report.findings, fs=self.episode.fs)
        return [pieces(line, [cited]) for line in lines]

    def behind(self) -> str | None:
        """How much of the episode the report does not know of yet, None where it knows all."""
        if self.reported is None or self.reported >= self.episode.last:
            return None
        return lasting((self.episode.last - self.reported) / self.episode.fs)

    def reviewed(self) -> str | None:
        """By whom and when; None: by nobody yet."""
        signed, earlier = self.signing.signed, "" if self.covered else ", of an earlier report"
        return f"reviewed by {signed.who} at {moment(signed.at)}{earlier}" if signed else None

    def span(self) -> str:
        e = self.episode
        begin, end = e.first / e.fs, (e.last + 1) / e.fs
        held = "" if e.deleted_at is None else f"; samples deleted on {moment(e.deleted_at)} by rule"
        return f"{begin:.0f} s to {end:.0f} s of the recording, from {moment(e.utc(e.first))}{held}"


def symptom_row(symptom: Symptom) -> Row:
    return {
        "kind": symptom.kind,
        "note": symptom.note,
        "felt": moment(symptom.at),
        "said": moment(symptom.said_at),
    }
