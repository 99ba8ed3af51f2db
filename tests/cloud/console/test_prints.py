"""What the page hands out as files: what they are, and in a sentence why there is none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from cloud.console.app import create_app
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment


@pytest.fixture
def client(store: SqliteStore) -> Iterator[TestClient]:
    with TestClient(create_app(store), base_url="http://127.0.0.1") as opened:
        yield opened


def test_strips_reports_and_exports_of_an_episode(client: TestClient, commit: Callable[..., Segment]) -> None:
    path = f"/episodes/{commit(0).episode_id}"
    svg = client.get(f"{path}/strip.svg?from=1&to=8&gain=20&speed=50&leads=II")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert "50 mm/s · 20 mm/mV" in svg.text
    assert "missing 2.0 s" in svg.text
    assert "V 0.93" in svg.text
    png = client.get(f"{path}/strip.png?to=7")
    assert Image.open(io.BytesIO(png.content)).format == "PNG"
    for name in ("strip.pdf", "report.pdf"):
        made = client.get(f"{path}/{name}")
        assert made.headers["content-type"] == "application/pdf"
        assert made.content.startswith(b"%PDF")
    for form, count in (("wfdb", 4), ("edf", 2)):
        made = client.get(f"{path}/export?format={form}")
        assert made.headers["content-disposition"].startswith("attachment")
        assert len(zipfile.ZipFile(io.BytesIO(made.content)).namelist()) == count


def test_a_day_of_a_patch(client: TestClient, commit: Callable[..., Segment]) -> None:
    commit(0)
    made = client.get(
        "/patches/made/day.pdf", params={"from": "2023-11-14", "to": "2023-11-15T00:00:00+01:00"}
    )
    assert made.status_code == 200
    assert made.content.startswith(b"%PDF")


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("strip.svg?gain=7", 422, "5, 10 or 20 mm/mV"),
        ("strip.svg?from=500", 422, "it holds too little"),
        ("strip.svg?from=nan", 422, "no time of a recording"),
        ("strip.svg?from=1e300", 422, "no time of a recording"),
        ("strip.svg?leads=V9", 422, "There is no lead 'V9'"),
        ("strip.gif", 422, "path.kind"),
        ("export?format=dicom", 422, "query.format"),
    ],
)
def test_what_cannot_be_printed_is_said_in_a_sentence(
    client: TestClient, commit: Callable[..., Segment], query: str, status: int, words: str
) -> None:
    answer = client.get(f"/episodes/{commit(0).episode_id}/{query}")
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_what_there_is_not_is_not_found(client: TestClient) -> None:
    for path in ("/episodes/X/strip.png", "/episodes/X/report.pdf", "/episodes/X/export"):
        assert client.get(path).status_code == 404
    assert client.get("/patches/X/day.pdf?from=2023-11-14&to=2023-11-15").status_code == 404
    assert client.get("/patches/X/day.pdf?from=never&to=2023-11-15").json() == {
        "detail": "'never' is no moment: write 2026-05-01T10:00:00+00:00."
    }


def test_a_picture_too_high_is_refused(client: TestClient, commit: Callable[..., Segment]) -> None:
    for number in range(16):
        segment = commit(number, found=number == 0, millivolts=4)
    answer = client.get(f"/episodes/{segment.episode_id}/strip.png")
    assert answer.status_code == 422
    assert "m high: ask for a shorter stretch, or for PDF" in answer.json()["detail"]


def test_the_episode_s_page_links_to_them(client: TestClient, commit: Callable[..., Segment]) -> None:
    episode = commit(0).episode_id
    page = client.get(f"/fragments/episodes/{episode}").text
    for name in (
        "report.pdf",
        "strip.pdf",
        "strip.png",
        "strip.svg",
        "export?format=wfdb",
        "export?format=edf",
    ):
        assert f'href="/episodes/{episode}/{name}"' in page
