"""`<ecg-strip>` in a real browser, measured in pixels: at 96 px to the inch a millimetre is 3.78 px."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageColor
from playwright.sync_api import Page

from models.ecg import Segment

MM = 96 / 25.4
SECOND = 25 * MM
MILLIVOLT = 10 * MM
CANVAS = "ecg-strip .scroll canvas"
SCROLL_TO_START = """scroller => new Promise((drawn) => {
  scroller.scrollLeft = 0;
  requestAnimationFrame(() => requestAnimationFrame(drawn));
})"""
Pixels = npt.NDArray[np.int16]


class Strip:
    """The strip as it was drawn, and what it was drawn from."""

    def __init__(self, page: Page, server: Any, episode_id: str) -> None:
        page.goto(server.url)
        page.wait_for_selector("ecg-strip[data-ready]")
        self.page = page
        self.meta = httpx.get(f"{server.url}/api/episodes/{episode_id}").json()
        self.spans = json.loads(page.locator("ecg-strip").get_attribute("data-spans") or "")
        page.locator("ecg-strip .scroll").evaluate(SCROLL_TO_START)
        url = page.locator(CANVAS).evaluate("canvas => canvas.toDataURL()")
        image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")
        self.pixels: Pixels = np.asarray(image, dtype=np.int16)

    def like(self, name: str, tolerance: int = 4) -> npt.NDArray[np.bool_]:
        """(y, x): pixels of the colour that the style sheet calls `--strip-{name}`."""
        style = "(strip, name) => getComputedStyle(strip).getPropertyValue(name).trim()"
        colour = ImageColor.getrgb(self.page.locator("ecg-strip").evaluate(style, f"--strip-{name}"))
        near: npt.NDArray[np.bool_] = np.abs(self.pixels - np.array(colour[:3])).max(axis=2) <= tolerance
        return near

    def ink(self) -> npt.NDArray[np.bool_]:
        """(y, x): dark pixels, the trace and its soft edges; the lead's name at the left is left out."""
        dark: npt.NDArray[np.bool_] = self.pixels.max(axis=2) < 165
        dark[:, : round(SECOND / 2) - 8] = False
        return dark

    def x(self, sample: float) -> float:
        return float(sample - self.meta["first"]) / float(self.meta["fs"]) * SECOND


@pytest.fixture
def strip(page: Page, server: Any, commit: Callable[..., Segment]) -> Strip:
    return Strip(page, server, commit().episode_id)


def test_a_bold_line_stands_every_five_millimetres_and_a_fine_one_every_millimetre(strip: Strip) -> None:
    row, until = _quiet_row(strip), round(strip.x(strip.spans[0]["first"])) - 2  # before anything is marked
    bold = np.flatnonzero(strip.like("bold")[row, :until])
    assert len(bold) == 10
    assert np.allclose(bold, np.arange(len(bold)) * 5 * MM, atol=1.0)
    fine = np.flatnonzero(strip.like("fine")[row, :until])
    assert [int(np.sum((fine > a) & (fine < b))) for a, b in pairwise(bold)] == [4] * 9


def test_the_boxes_are_as_high_as_they_are_wide(strip: Strip) -> None:
    bold = np.flatnonzero(strip.like("bold").mean(axis=1) > 0.5)
    boxes = [0, 2, 4]  # the lines between lie under the trace, at 1 mV and at rest
    assert np.allclose(bold - bold[0], np.array(boxes) * 5 * MM, atol=1.0)


def test_a_second_is_25_mm_wide_and_a_millivolt_10_mm_high(strip: Strip) -> None:
    ink = strip.ink()[:, : int(strip.x(1200))]
    rows = np.flatnonzero(_trace(strip, ink).any(axis=1))
    assert rows[-1] - rows[0] == pytest.approx(MILLIVOLT, abs=1.5)
    middle = (rows[0] + rows[-1]) // 2
    edges = _centres(ink[middle])  # down at 0.5 s, up at 1 s, down at 1.5 s ...
    assert np.allclose(edges[2::2] - edges[:-2:2], SECOND, atol=1.0)
    assert np.allclose(edges[1::2], [strip.x(250 * s) for s in range(1, len(edges) // 2 + 1)], atol=1.5)


def test_a_marked_span_sits_on_its_samples(strip: Strip) -> None:
    (finding,) = strip.meta["findings"]
    (span,) = strip.spans
    assert (span["label"], span["first"], span["last"]) == ("V", finding["first"], finding["last"])
    rail = strip.like("rail")
    lowest = np.flatnonzero(rail.any(axis=1))[-1]  # the chip stands above the rail
    across = np.flatnonzero(rail[lowest])
    assert across[0] == pytest.approx(strip.x(finding["first"]), abs=1.0)
    assert across[-1] + 1 == pytest.approx(strip.x(finding["last"] + 1), abs=1.0)


def test_what_lasts_has_a_rail_of_its_own_where_it_overlaps(
    page: Page, server: Any, commit: Callable[..., Segment]
) -> None:
    long, short = (200, 1199), (500, 999)  # samples
    part = commit(spans=[("AFIB", *long), ("PAUSE", *short), ("V", 510, 540)])
    strip = Strip(page, server, part.episode_id)
    rails = [
        (across[0], across[-1] + 1)
        for across in map(np.flatnonzero, strip.like("rail"))
        if len(across) and (np.diff(across) == 1).all() and len(across) > SECOND
    ]
    for first, last in (long, short):
        near = [(a, b) for a, b in rails if abs(a - strip.x(first)) <= 1 and abs(b - strip.x(last + 1)) <= 1]
        assert len(near) == 3  # px high, each on rows of its own


def test_what_lies_beyond_the_paper_is_cut_off_and_said_to_be(
    page: Page, server: Any, commit: Callable[..., Segment]
) -> None:
    strip = Strip(page, server, commit(millivolts=60).episode_id)
    assert strip.pixels.shape[0] < 12 * MILLIVOLT
    assert "cut off beyond ±5 mV" in page.locator("ecg-strip .scale").inner_text()
    top = np.flatnonzero(strip.like("bold").mean(axis=1) > 0.5)[0]
    assert not strip.ink()[: top - 1].any()


def test_a_gap_is_hatched_and_never_crossed_by_a_line(strip: Strip) -> None:
    ((first, count),) = strip.meta["gaps"]
    left, right = round(strip.x(first)), round(strip.x(first + count))
    bottom, ink = _lowest_bold(strip), strip.ink()
    inside = slice(left + 3, right - 3)
    hatch = strip.like("missing", tolerance=30)[:bottom, inside]
    assert hatch.any(axis=0).mean() > 0.95
    assert not _long_runs(ink[:bottom, inside])
    assert _long_runs(ink[:bottom, left - 40 : left - 3])
    assert _long_runs(ink[:bottom, right + 3 : right + 40])


def test_a_stretch_with_a_lead_off_is_marked_and_its_trace_stays(strip: Strip) -> None:
    ((first, count),) = strip.meta["lead_off"]
    inside = slice(round(strip.x(first)) + 3, round(strip.x(first + count)) - 3)
    bottom = _lowest_bold(strip)
    assert strip.like("off", tolerance=30)[:bottom, inside].any(axis=0).mean() > 0.9
    assert strip.ink()[:bottom, inside].any(axis=0).mean() > 0.7  # the hatch lies over it in places


def test_the_strip_says_in_words_what_it_shows(strip: Strip) -> None:
    said = strip.page.locator("ecg-strip").get_attribute("aria-label") or ""
    assert "1 V" in said
    assert "2.0 s missing" in said
    scale = strip.page.locator("ecg-strip .scale").inner_text()
    assert "25 mm/s · 10 mm/mV · unfiltered" in scale


def test_a_part_that_has_not_come_is_missing_and_not_flat(
    page: Page, server: Any, commit: Callable[..., Segment]
) -> None:
    commit(0)
    commit(2, found=False)
    strip = Strip(page, server, commit(3, found=False).episode_id)
    assert strip.meta["gaps"] == [[1250, 500], [5000, 5000]]


def test_the_strip_grows_when_a_part_arrives(strip: Strip, commit: Callable[..., Segment]) -> None:
    width = "s => s.scrollWidth"
    before = strip.page.locator("ecg-strip .scroll").evaluate(width)
    commit(1, found=False)
    strip.page.wait_for_selector('ecg-strip[aria-label*=" 40 s"]')
    after = strip.page.locator("ecg-strip .scroll").evaluate(width)
    assert after - before == pytest.approx(20 * SECOND, abs=1.5)


def _lowest_bold(strip: Strip) -> int:
    """Row of the grid's last bold line."""
    return int(np.flatnonzero(strip.like("bold").mean(axis=1) > 0.5)[-1])


def _quiet_row(strip: Strip) -> int:
    """A row of the grid between two lines, below the trace."""
    return _lowest_bold(strip) - 2


def _trace(strip: Strip, ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The ink inside the grid, without chips above and the time axis below."""
    inside = np.zeros_like(ink)
    rows = np.flatnonzero(strip.like("bold").mean(axis=1) > 0.5)
    inside[rows[0] + 1 : rows[-1]] = ink[rows[0] + 1 : rows[-1]]
    return inside


def _centres(line: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Middle of every run of True."""
    steps = np.flatnonzero(np.diff(line.astype(np.int8), prepend=0, append=0))
    return (steps[::2] + steps[1::2] - 1) / 2


def _long_runs(ink: npt.NDArray[np.bool_], least: int = 25) -> bool:
    """Whether any row holds ink without a break for `least` px: a line, not a letter of "missing"."""
    return any(
        bool((np.diff(np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0)))[::2] >= least).any())
        for row in ink
    )
