"""What the pages show, in words: rows for the templates, from what a person sees of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloud.alerts import State
from cloud.citations import Cited, pieces
from cloud.console.seen import Seen
from cloud.store import Episode, Patch, StoredAlert, StoredFinding
from models.anyecg.evidence import Evidence
from models.verdicts import LABELS, DecidedBy, Priority, Report

WORDING = "Decision support. Not a diagnosis. Not for emergency monitoring."
REVIEW = "AI-generated, not yet reviewed"
SYMBOLS = {Priority.HIGH: "▲▲▲", Priority.MEDIUM: "▲▲", Priority.LOW: "▲", Priority.TECHNICAL: "■"}
RECENT = 5  # causes of an alert that its card shows unfolded
UNITS = {"ms": "ms", "s": "s", "mv": "mV", "bpm": "/min"}  # last word of an evidence's key
SHORT = {"r": "R", "rr": "RR", "qrs": "QRS"}
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


def alert_rows(seen: Seen, states: Collection[State] = tuple(State)) -> list[Row]:
    return [alert_row(seen, stored) for stored in seen.alerts(states=states)]


def alert_row(seen: Seen, stored: StoredAlert) -> Row:
    alert, standing, timing = stored.alert, stored.standing, stored.timing
    episode = seen.episode(alert.episode_id)
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


def technical_rows(seen: Seen) -> list[Row]:
    return [
        {"patch_id": t.patch_id, "kind": t.kind, "text": t.text, "since": moment(t.raised_at)}
        for t in seen.technical_alerts()
    ]


def patch_rows(seen: Seen, now: float) -> list[Row]:
    return [_patch(patch, now) | {"patient": seen.patient(patch.patch_id, now)} for patch in seen.patches()]


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
    patient: Row | None

    @classmethod
    def of(cls, seen: Seen, episode_id: str) -> EpisodeView | None:
        episode = seen.episode(episode_id)
        if episode is None:
            return None
        report = seen.report(episode_id)
        newest = seen.segment(report.segment_ids[-1]) if report else None
        return cls(
            episode=episode,
            findings=seen.findings(episode_id),
            report=report,
            reported=newest.last if newest else None,
            evidence=seen.evidence(report) if report else None,
            patient=seen.patient_of(episode),
        )

    def rows(self) -> list[Row]:
        return [_finding(stored, self.episode) for stored in self.findings]

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

    def span(self) -> str:
        e = self.episode
        begin, end = e.first / e.fs, (e.last + 1) / e.fs
        held = "" if e.deleted_at is None else f"; samples deleted on {moment(e.deleted_at)} by rule"
        return f"{begin:.0f} s to {end:.0f} s of the recording, from {moment(e.utc(e.first))}{held}"


def _finding(stored: StoredFinding, episode: Episode) -> Row:
    f = stored.finding
    evidence = dict(f.evidence)
    threshold = evidence.pop("threshold", None)
    return {
        "id": stored.id,
        "first": f.first,
        "last": f.last,
        "label": f.label,
        "plain": LABELS[f.label].plain,
        "code": f.code,
        "at_s": f.first / episode.fs,
        "lasts_s": (f.last + 1 - f.first) / episode.fs,
        "leads": ", ".join(f.leads),
        "sure": "by rule" if f.probability is None else f"{f.probability:.2f}",
        "threshold": "" if threshold is None else f"threshold {threshold:.2f}",
        "evidence": " · ".join(_said(key, value, episode.fs) for key, value in evidence.items()),
        "open": stored.open,
    }


def _said(key: str, value: Any, fs: float) -> str:
    """One piece of evidence in words: `rr_ms` 464 is "RR 464 ms", `r_peak` a time of the recording."""
    if key == "r_peak":
        return f"R peak at {value / fs:.2f} s"
    name, _, unit = key.rpartition("_")
    if unit not in UNITS:
        name, unit = key, ""
    if value is None:
        return f"{_words(name)} not measured"
    return f"{_words(name)} {_number(value)} {UNITS.get(unit, '')}".rstrip()


def _words(key: str) -> str:
    return " ".join(SHORT.get(word, word) for word in key.split("_"))


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(k))} {_number(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return f"{len(value)} values" if len(value) > 8 else ", ".join(_number(v) for v in value)
    return str(value)
