"""From a committed part to findings, report and alert: one implementation for the node and for replay."""

from __future__ import annotations

from collections.abc import Iterable

from cloud.analyst import EpisodeAnalyst
from cloud.calling import Cause, causes, judge
from cloud.config import RuleConfig
from cloud.quiet import InForce
from cloud.reading import facts, whole
from cloud.reports import is_due, write_report
from models.anyecg.evidence import Evidence
from models.anyecg.localizer import Localizer
from models.ecg import Segment
from models.verdicts import Alert, Finding, Report


class EpisodeAnalysis:
    """An episode's analyst, what there is to alert about, and the reports that were due; a function of the
    parts pushed in sample order."""

    def __init__(self, network: Localizer, rules: RuleConfig) -> None:
        self.analyst = EpisodeAnalyst(network, rules)
        self.causes: list[Cause] = []  # of alerts, in the order in which they held
        self.parts: list[str] = []  # ids pushed so far
        self.reports: list[Report] = []
        self.evidence: dict[str, Evidence] = {}  # of each report
        self._rules = InForce(thresholds=rules)
        self._head: Segment | None = None
        self._newest: Segment | None = None

    def push(self, segment: Segment, rules: InForce | None = None) -> list[Finding | Report]:
        """The next part; `rules` are those in force when it was committed, where they are the patch's own."""
        self._rules = rules or self._rules
        self.analyst.rules = self._rules.thresholds
        out: list[Finding | Report] = [*self.analyst.push(segment)]
        self.parts.append(segment.id)
        self._head = self._head or segment
        if is_due(segment):
            known = facts(self.analyst, self._head, whole(self._head, segment))
            self.reports.append(write_report(self.analyst, tuple(self.parts), segment, known))
            self.evidence[self.reports[-1].id] = known
            out.append(self.reports[-1])
        self._newest = segment
        self.causes = self._causes(self.causes)
        return out

    def holding(self, since: int | None) -> list[Cause]:
        """What there is to alert about, and beside it what held again after sample `since`."""
        if since is None or self._newest is None:
            return self.causes
        known = {(cause.priority, cause.label, cause.at) for cause in self.causes}
        again = self._causes((), since)
        return [*self.causes, *(c for c in again if (c.priority, c.label, c.at) not in known)]

    def _causes(self, before: Iterable[Cause], since: int = -1) -> list[Cause]:
        assert self._newest is not None
        rules, newest = self._rules, self._newest
        report_id = self.reports[-1].id if self.reports else None
        return causes(
            self.analyst, rules.thresholds, newest.fs, before, newest.part, report_id, rules.quiet, since
        )

    def follows(self, segments: Iterable[Segment]) -> bool:
        """These parts begin with the ones that were pushed."""
        return [segment.id for segment in segments][: len(self.parts)] == self.parts


class Analysis:
    """`push(segment)` -> what is new with it: decided findings, then a report where due, then the alert."""

    def __init__(self, network: Localizer, rules: RuleConfig | None = None) -> None:
        self._network = network
        self._rules = rules or RuleConfig()
        self._episode: EpisodeAnalysis | None = None
        self._episode_id: str | None = None
        self._alerts: dict[str, Alert] = {}  # by patch

    def push(self, segment: Segment) -> list[Finding | Report | Alert]:
        if self._episode is None or self._episode_id != segment.episode_id:
            self._episode, self._episode_id = EpisodeAnalysis(self._network, self._rules), segment.episode_id
        out: list[Finding | Report | Alert] = [*self._episode.push(segment)]
        before = self._alerts.get(segment.patch_id)
        alert, change = judge(before, self._episode.causes, segment)
        if alert is not None:
            self._alerts[segment.patch_id] = alert
            if change in {"raised", "raised again"}:
                out.append(alert)
        return out
