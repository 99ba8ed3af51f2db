"""The JSON, the samples and the event stream, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.verdicts import Measurements, Report

Commit = Callable[..., Segment]


@pytest.mark.parametrize("path", ["/", "/api/alerts", "/static/strip.js", "/events?after=0"])
def test_every_answer_forbids_foreign_and_inline_code(server: Any, path: str) -> None:
    with httpx.stream("GET", server.url + path) as answer:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_documentation_page_that_needs_a_cdn_is_off_and_the_schema_stays(server: Any) -> None:
    assert httpx.get(f"{server.url}/docs").status_code == 404
    assert "/api/alerts" in httpx.get(f"{server.url}/openapi.json").json()["paths"]


def test_the_samples_are_those_of_the_parts(server: Any, commit: Commit) -> None:
    parts = [commit(0), commit(1, found=False)]
    answer = httpx.get(f"{server.url}/api/episodes/{parts[0].episode_id}/samples")
    counts = np.frombuffer(answer.content, dtype="<i4").reshape(1, -1)
    assert np.array_equal(counts, np.concatenate([part.counts for part in parts], axis=1))


def test_the_segments_are_listed_with_their_hashes(server: Any, commit: Commit) -> None:
    part = commit()
    assert httpx.get(f"{server.url}/api/segments").json() == [{"id": part.id, "sha256": part.sha256}]


def test_a_report_comes_with_the_row_of_the_audit_that_tells_of_it(
    server: Any, store: SqliteStore, commit: Commit, settle: Callable[..., None]
) -> None:
    part = commit(found=False)
    url = f"{server.url}/api/episodes/{part.episode_id}"
    assert httpx.get(url).json()["report_head"] is None
    unmeasured = dict.fromkeys(("heart_rate_mean", "heart_rate_min", "heart_rate_max", "rr_median"))
    report = Report(
        id="R",
        episode_id=part.episode_id,
        segment_ids=(part.id,),
        findings=(),
        measurements=Measurements(
            beats=1, pr=None, qrs=None, qt=None, analysed_s=1.0, not_analysed_s=0.0, **unmeasured
        ),
        narrative="made",
        abstentions=(),
        model="template/2",
    )
    settle(part, reports=(report,))
    head = store.report_head(report)
    assert head is not None
    assert httpx.get(url).json()["report_head"] == {"number": head.number, "hash": head.hash}


@pytest.mark.parametrize(
    "path", ["api/episodes/NONE", "api/episodes/NONE/samples", "fragments/episodes/NONE"]
)
def test_an_unknown_episode_is_not_found(server: Any, path: str) -> None:
    answer = httpx.get(f"{server.url}/{path}")
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no episode NONE.")


def test_another_sites_name_for_this_machine_is_refused(server: Any) -> None:
    assert httpx.get(server.url, headers={"Host": "elsewhere.example"}).status_code == 400


def test_a_stream_resumes_after_the_last_event_that_was_seen(server: Any, commit: Commit) -> None:
    commit()
    everything = _events(server, 3, {})
    assert [kind for _, kind, _ in everything] == ["segment", "findings", "alert"]
    seen = everything[0][0]
    resumed = _events(server, 2, {"Last-Event-ID": str(seen)})
    assert resumed == everything[1:]


def test_a_stream_cut_off_again_and_again_brings_every_event_once(server: Any, commit: Commit) -> None:
    writer = threading.Thread(target=lambda: [commit(number, found=False) for number in range(12)])
    writer.start()
    seen: list[int] = []
    while len(seen) < 12:
        seen += [number for number, _, _ in _events(server, 1, {"Last-Event-ID": str(max(seen, default=0))})]
    writer.join()
    assert seen == list(range(1, 13))


def test_a_stream_from_before_a_new_store_begins_anew(server: Any, commit: Commit) -> None:
    with httpx.stream("GET", f"{server.url}/events", headers={"Last-Event-ID": "999"}, timeout=10) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        for number in range(3):
            commit(number, found=False)
            assert next(line for line in lines if line.startswith("id: ")) == f"id: {number + 1}"


def test_a_server_that_stops_ends_the_streams_of_open_pages(server: Any) -> None:
    with httpx.stream("GET", f"{server.url}/events", timeout=10) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.stop()
        assert list(lines) == [""]  # to its regular end: a cut one would raise


def _events(server: Any, count: int, headers: dict[str, str]) -> list[tuple[int, str, dict[str, Any]]]:
    """The first `count` numbered events of the stream: (id, kind, data)."""
    out: list[tuple[int, str, dict[str, Any]]] = []
    with httpx.stream("GET", f"{server.url}/events?after=0", headers=headers, timeout=10) as answer:
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if "id" in fields:
                out.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
            fields = {}
            if len(out) == count:
                return out
    raise AssertionError(f"The stream ended after {len(out)} events.")
