"""What a finding rests on, in words: on a real recording, and on windows whose quality is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from cloud.analysis import EpisodeAnalysis
from cloud.assignments import Assignments
from cloud.config import RuleConfig
from cloud.console.evidence import finding_row, lead_rows, not_read
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from cloud.store import Episode, StoredFinding, Timing
from models.anyecg.localizer import Localizer
from models.ecg import Segment
from models.verdicts import Finding, Quality, Screening
from tests.cloud.console.conftest import FS, square_part
from tests.cloud.console.test_page import report_of

Commit = Callable[..., Segment]
EPISODE = Episode(
    id="E", patch_id="p", boot_id=1, first=0, last=4999, fs=FS, leads=("II", "V1"), parts=1, final=False,
    continues=None, opened_by="screener", utc_0=0.0, clock_fs=FS, received_at=0.0, pending=0,
)  # fmt: skip
NOW = Timing(sampled_at=0.0, received_at=0.0, shown_at=0.0)


def stored(found: Finding) -> StoredFinding:
    return StoredFinding(id="F", finding=found, open=False, timing=NOW)


def screening(first: int, score: Mapping[str, float], why: Mapping[str, tuple[str, ...]] = {}) -> Screening:
    quality = Quality(readable=max(score.values()) < 0.5, reasons=why, score=score)
    return Screening(
        first=first, last=first + 2499, scores={}, quality=quality, flagged=False, model="screener/9 beef"
    )


def made(label: str, evidence: Mapping[str, Any], probability: float | None = None) -> Finding:
    return Finding(
        segment_id="S", label=label, first=500, last=999, leads=("II", "V1"), probability=probability,
        evidence=evidence,
    )  # fmt: skip


def test_every_finding_of_a_real_recording_names_what_was_checked(
    network: Localizer, excerpt_parts: list[Segment]
) -> None:
    episode = EpisodeAnalysis(network, RuleConfig())
    for part in excerpt_parts:
        episode.push(part)
    found = [*episode.analyst.findings, *episode.analyst.open]
    assert {f.label for f in found} >= {"V", "F", "T"}
    for f in found:
        row = finding_row(stored(f), EPISODE, [])
        assert row["threshold"] or (row["rule"] and row["measured"]) or f.label in {"NOISE", "LEADOFF"}, f


@pytest.mark.parametrize(
    ("label", "evidence", "rule", "measured"),
    [
        ("PAUSE", {"rr_s": 3.21, "rule": "no beat for >= 2.5 s"}, "no beat for ≥ 2.5 s", "RR 3.21 s"),
        ("BRADY", {"rate_bpm": 33.4, "rule": "mean < 40/min"}, "mean < 40/min", "rate 33.4 /min"),
        ("VT", {"beats": 7, "rate_bpm": 141.0, "rule": ">= 3 V"}, "≥ 3 V", "beats 7, rate 141 /min"),
        ("NOISE", {"why": ["noise"]}, None, ""),
    ],
)  # fmt: skip
def test_a_rule_stands_beside_the_value_that_was_held_against_it(
    label: str, evidence: dict[str, Any], rule: str | None, measured: str
) -> None:
    row = finding_row(stored(made(label, evidence)), EPISODE, [])
    assert (row["rule"], row["measured"], row["sure"]) == (rule, measured, "by rule")


def test_quality_is_that_of_the_windows_a_finding_lies_in_lead_by_lead() -> None:
    windows = [
        screening(0, {"II": 0.1, "V1": 0.9}, {"V1": ("noise",)}),
        screening(1250, {"II": 0.2, "V1": 0.1}),
        screening(2500, {"II": 0.8, "V1": 0.1}, {"II": ("flat",)}),
    ]
    assert finding_row(stored(made("PAUSE", {})), EPISODE, windows)["quality"] == "II 0.10, V1 0.90 (noise)"
    assert finding_row(stored(made("PAUSE", {})), EPISODE, [])["quality"] == "not judged"


def test_what_was_not_read_is_listed_with_its_reason_in_order() -> None:
    technical = [stored(made("NOISE", {"why": ["flat", "noise"]})), stored(made("V", {}, 0.9))]
    rows = not_read(EPISODE, technical, [(1250, 500)])
    assert [(row["from_s"], row["to_s"], row["why"]) for row in rows] == [
        (2.0, 4.0, "unreadable signal (flat, noise)"),
        (5.0, 7.0, "missing"),
    ]


def test_leads_without_any_window_are_not_said_to_be_readable() -> None:
    (row,) = lead_rows([square_part(0)])
    assert (row["judged"], row["readable"], row["worst"]) == (0, 0, None)


def test_an_episodes_page_names_weights_versions_and_the_head_of_its_report(
    server: Any, store: SqliteStore, commit: Commit, settle: Callable[..., None]
) -> None:
    part = commit(found=False)
    settle(part, reports=(report_of(part),))
    shown = httpx.get(f"{server.url}/fragments/episodes/{part.episode_id}").text
    head = httpx.get(f"{server.url}/api/episodes/{part.episode_id}").json()["report_head"]
    assert f"row {head['number']}, <code>{head['hash']}</code>" in shown
    assert "read by nobody yet" in shown  # the worker of this test says no network
    with store.writing():
        store.audit.append(
            "analysed",
            who="worker",
            now=1.0,
            episode_id=part.episode_id,
            network="localizer/9",
            weights="ab" * 32,
        )
    shown = httpx.get(f"{server.url}/fragments/episodes/{part.episode_id}").text
    assert re.search(r"read by localizer/9, weights <code>(ab){32}</code>; anyECG \d", shown)


def test_a_latency_is_that_of_who_has_the_patch_now(
    server: Any, store: SqliteStore, commit: Commit, beat: Callable[..., None]
) -> None:
    commit()
    beat()
    (of_all,) = httpx.get(f"{server.url}/api/latencies").json().items()
    assert (of_all[0], of_all[1]["n"]) == ("made", 2)
    assert of_all[1]["p50"] > 0
    Assignments(store).assign(LOCAL, "made", "one", "A")
    assert httpx.get(f"{server.url}/api/latencies").json() == {"made": {"n": 0, "p50": None, "p95": None}}
