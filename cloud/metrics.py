"""Figures for Prometheus: what this process counted, and what its store says whenever it is asked.

Patches are named by their ids and patients not at all. A label that grows with what is watched is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloud.sqlite_store import SqliteStore
from models.verdicts import Priority

PATCHES = 200  # with an age of their own, those heard last
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

Line = tuple[tuple[str, ...], float]  # values of the labels, and the figure


class Metrics:
    """A registry of its own, so that two nodes of one process do not mix."""

    def __init__(self, store: SqliteStore) -> None:
        self._registry = CollectorRegistry()
        self._received = Counter(
            "anyecg_received",
            "Segments and trend rows that came, by what became of them, since this process began.",
            ["kind", "outcome"],
            registry=self._registry,
        )
        self._analysis = Histogram(
            "anyecg_analysis_seconds",
            "From claiming a part to committing what was found in it.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self._clients = Gauge("anyecg_sse_clients", "Open event streams of pages.", registry=self._registry)
        self._registry.register(_Stored(store))

    def received(self, kind: str, outcome: str) -> None:
        """`outcome`: committed, duplicate, conflict or refused."""
        self._received.labels(kind, outcome).inc()

    def analysed(self, seconds: float) -> None:
        self._analysis.observe(seconds)

    def watch_clients(self, count: Callable[[], int]) -> None:
        self._clients.set_function(count)

    def text(self) -> bytes:
        """In Prometheus' own format; DeliveryError where the store cannot be read."""
        return generate_latest(self._registry)


class _Stored(Collector):
    """What the store knows, read at each scrape."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        return []  # else registering it would read the store

    def collect(self) -> Iterator[Metric]:
        now = time.time()
        yield from self._queue(now)
        yield from self._alerts()
        yield from self._patches(now)
        yield from self._reports()
        yield from self._held()

    def _queue(self, now: float) -> Iterator[Metric]:
        waiting = self._store.one(
            "select count(*) as n, min(s.received_at) as since from jobs j"
            " join segments s on s.id = j.segment_id where not done"
        )
        assert waiting is not None
        age = 0.0 if waiting["since"] is None else max(0.0, now - waiting["since"])
        yield _gauge("anyecg_queue_jobs", "Parts committed and not analysed yet.", waiting["n"])
        yield _gauge("anyecg_queue_oldest_seconds", "How long the oldest of them has waited.", age)

    def _alerts(self) -> Iterator[Metric]:
        counted = self._count("select priority, state, count(*) as n from alerts group by priority, state")
        alerts = [((Priority(int(p)).name.lower(), state), n) for (p, state), n in counted]
        yield _gauge(
            "anyecg_alerts", "Alerts by priority and by how they stand.", alerts, ["priority", "state"]
        )
        standing = self._count(
            "select kind, count(*) as n from technical where cleared_at is null group by kind"
        )
        yield _gauge("anyecg_technical_alerts", "Technical alerts that hold, by kind.", standing, ["kind"])
        failing = self._count(
            "select channel, count(*) as n from deliveries where error is not null and state = 'waiting'"
            " group by channel"
        )
        yield _gauge(
            "anyecg_deliveries_failing", "Messages of alerts that are tried again.", failing, ["channel"]
        )

    def _patches(self, now: float) -> Iterator[Metric]:
        patches = sorted(self._store.patches(), key=lambda patch: patch.heard_at, reverse=True)
        ages = [((p.patch_id,), age) for p in patches if (age := p.newest_age_s(now)) is not None]
        yield _gauge("anyecg_patches", "Patches ever heard.", len(patches))
        yield _gauge(
            "anyecg_newest_sample_age_seconds",
            f"Age of a patch's newest sample, of the {PATCHES} patches heard last.",
            ages[:PATCHES],
            ["patch"],
        )

    def _reports(self) -> Iterator[Metric]:
        by = self._store.one(
            "select count(*) as total,"
            " coalesce(sum(written is not null and claims + replaced + added > 0), 0) as model,"
            " coalesce(sum(written is not null), 0) as tried, coalesce(sum(replaced), 0) as replaced"
            " from reports"
        )
        assert by is not None
        written = [(("model",), by["model"]), (("template",), by["total"] - by["model"])]
        yield _gauge("anyecg_reports", "Reports kept, by who wrote them as they stand.", written, ["by"])
        yield _gauge(
            "anyecg_reports_left_to_template",
            "Reports that the language model could not write; each says why.",
            by["tried"] - by["model"],
        )
        yield _gauge(
            "anyecg_claims_replaced", "Sentences of the language model that did not hold.", by["replaced"]
        )

    def _held(self) -> Iterator[Metric]:
        yield _counter("anyecg_events", "Lines of the live stream ever written.", self._store.last_event())
        yield _gauge("anyecg_store_bytes", "Of the store's file.", self._store.size_bytes())
        yield _gauge("anyecg_audit_head_number", "Rows of the audit chain.", self._store.audit.head().number)

    def _count(self, sql: str) -> list[Line]:
        """Of rows whose last column is `n` and whose others are labels."""
        rows = self._store.all(sql)
        return [(tuple(str(value) for name, value in row.items() if name != "n"), row["n"]) for row in rows]


def _gauge(name: str, told: str, value: float | Sequence[Line], labels: list[str] | None = None) -> Metric:
    family = GaugeMetricFamily(name, told, labels=labels or [])
    for values, figure in [((), value)] if isinstance(value, float | int) else value:
        family.add_metric(values, figure)
    return family


def _counter(name: str, told: str, value: float) -> Metric:
    family = CounterMetricFamily(name, told)
    family.add_metric([], value)
    return family
