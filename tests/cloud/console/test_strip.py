"""`<ecg-strip>` in a real browser, measured in pixels: at 96 px to the inch a millimetre is 3.78 px."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageColor
from playwright.sync_api import Browser, Page, expect

from models.ecg import Segment

MM = 96 / 25.4
SECOND = 25 * MM
MILLIVOLT = 10 * MM
CANVAS = "ecg-strip .scroll canvas"
DRAWN = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
SCROLL_TO_START = f"scroller => {{ scroller.scrollLeft = 0; return {DRAWN}; }}"
Pixels = npt.NDArray[np.int16]


class Strip:
    """The strip as it was drawn, and what it was drawn from."""

    def __init__(self, page: Page, server: Any, episode_id: str) -> None:
        page.goto(server.url)
        page.wait_for_selector("ecg-strip[data-ready]")
        page.wait_for_selector("[data-finding]")  # what stands around it has come: it moves no more
        self.page = page
        self.meta = httpx.get(f"{server.url}/api/episodes/{episode_id}").json()
        self.spans = json.loads(page.locator("ecg-strip").get_attribute("data-spans") or "")
        page.locator("ecg-strip .scroll").evaluate(SCROLL_TO_START)
        self.pixels = self.picture()

    def picture(self) -> Pixels:
        """(y, x, colour) as it is drawn now."""
        url = self.page.locator(CANVAS).evaluate("canvas => canvas.toDataURL()")
        image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")
        return np.asarray(image, dtype=np.int16)

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
    assert "25 mm/s · 10 mm/mV · no filter, as recorded at 250 Hz" in scale


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


class Scaled(Strip):
    """The same at another speed and gain, chosen as a person does."""

    def __init__(self, page: Page, server: Any, episode_id: str, speed: int, gain: int) -> None:
        super().__init__(page, server, episode_id)
        page.get_by_label("Speed").select_option(str(speed))
        page.get_by_label("Gain").select_option(str(gain))
        page.locator("ecg-strip .scroll").evaluate(SCROLL_TO_START)
        self.pixels = self.picture()
        self.second, self.millivolt = speed * MM, gain * MM


@pytest.mark.parametrize(("speed", "gain"), [(25, 5), (50, 20)])
def test_other_speeds_and_gains_are_as_right_and_the_grid_stays_one_of_millimetres(
    page: Page, server: Any, commit: Callable[..., Segment], speed: int, gain: int
) -> None:
    strip = Scaled(page, server, commit().episode_id, speed, gain)
    lines = np.flatnonzero(strip.like("bold").mean(axis=1) > 0.5)
    boxes = (lines - lines[0]) / (5 * MM)
    assert np.allclose(boxes, np.round(boxes), atol=1 / (5 * MM))
    ink = strip.ink()[:, : round(4.4 * strip.second)]
    ink[:, : round(strip.second / 2) - 8] = False
    rows = np.flatnonzero(_trace(strip, ink).any(axis=1))
    assert rows[-1] - rows[0] == pytest.approx(strip.millivolt, abs=1.5)
    edges = _centres(ink[(rows[0] + rows[-1]) // 2])
    assert np.allclose(np.diff(edges), strip.second / 2, atol=1.0)
    assert f"{speed} mm/s · {gain} mm/mV" in page.locator("ecg-strip .scale").inner_text()


def drag(page: Page, number: int, to: tuple[float, float]) -> None:
    """A caliper by its cross, to (x, y) of the paper."""
    cross = page.locator(".caliper i").nth(number).bounding_box()
    paper = page.locator("ecg-strip .space").bounding_box()
    assert cross is not None
    assert paper is not None
    page.mouse.move(cross["x"] + cross["width"] / 2, cross["y"] + cross["height"] / 2)
    page.mouse.down()
    page.mouse.move(paper["x"] + to[0] - 5, paper["y"] + to[1] + 5)
    page.mouse.move(paper["x"] + to[0], paper["y"] + to[1])
    page.mouse.up()


def reading(page: Page) -> tuple[float, float, float]:
    """(ms, /min, mV) that the calipers say."""
    said = page.locator("ecg-strip output").inner_text().replace("\N{MINUS SIGN}", "-")
    found = re.fullmatch(r"([\d.]+) ms · ([\d.]+)/min · ([-+\d.]+) mV", said)
    assert found is not None, said
    ms, rate, volts = map(float, found.groups())
    return ms, rate, volts


@pytest.mark.parametrize(("speed", "gain"), [(25, 10), (50, 20)])
def test_calipers_are_right_within_a_hundredth_by_mouse_and_by_keyboard(
    page: Page, server: Any, commit: Callable[..., Segment], speed: int, gain: int
) -> None:
    strip = Scaled(page, server, commit(millivolts=4).episode_id, speed, gain)  # 1 mV is too few pixels
    page.keyboard.press("c")
    trace = np.flatnonzero(_trace(strip, strip.ink()).any(axis=1))
    high, low = float(trace[0]) + 0.5, float(trace[-1]) + 0.5
    drag(page, 0, (1.0 * strip.second, low))
    drag(page, 1, (4.0 * strip.second, high))
    ms, rate, volts = reading(page)
    assert ms == pytest.approx(3000, rel=0.01)
    assert rate == pytest.approx(20, rel=0.01)
    assert volts == pytest.approx(4.0, rel=0.01)
    page.locator(".caliper").nth(1).focus()
    for _ in range(25):
        page.keyboard.press("Shift+ArrowLeft")  # 250 samples are a second; along the trace
    page.keyboard.press("ArrowDown")
    ms, rate, volts = reading(page)
    assert (ms, rate) == (pytest.approx(2000, rel=0.01), pytest.approx(30, rel=0.01))
    assert volts == pytest.approx(4.0, rel=0.01)
    said = page.locator(".caliper").nth(1).get_attribute("aria-valuetext") or ""
    assert " mV in II; " in said
    page.keyboard.press("c")
    expect(page.locator(".caliper")).to_have_count(0)


def test_a_finger_moves_a_caliper(browser: Browser, server: Any, commit: Callable[..., Segment]) -> None:
    commit()
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    page.wait_for_selector("[data-finding]")  # what stands around it has come: it moves no more
    page.locator("ecg-strip .measure").tap()
    page.locator(".caliper").first.evaluate("caliper => caliper.scrollIntoView({ block: 'center' })")
    page.evaluate(DRAWN)  # a finger would have the page before it, and the fixed foot at its bottom
    box = page.locator(".caliper").first.bounding_box()
    assert box is not None
    assert box["width"] >= 44
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = int(page.locator(".caliper").first.get_attribute("aria-valuenow") or 0)
    touches = context.new_cdp_session(page)
    for kind, points in (("touchStart", [(x, y)]), ("touchMove", [(x + 40, y)]), ("touchEnd", [])):
        said = {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]}
        touches.send("Input.dispatchTouchEvent", said)
    moved = int(page.locator(".caliper").first.get_attribute("aria-valuenow") or 0) - before
    assert moved == pytest.approx(1000 * 40 / SECOND, rel=0.02)
    context.close()


def test_the_minimap_shows_the_whole_and_a_click_moves_the_view(strip: Strip) -> None:
    page, place = strip.page, strip.page.locator("ecg-strip .map")
    assert page.locator(".map .mark").count() == 1
    assert page.locator(".map .missing").count() == 1
    box, view = place.bounding_box(), page.locator(".map .window")
    assert box is not None
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    places = """strip => { const { scrollLeft, clientWidth } = strip.querySelector(".scroll");
      return (scrollLeft + clientWidth / 2) / strip.querySelector(".space").offsetWidth; }"""
    middle = page.locator("ecg-strip").evaluate(places)
    assert middle == pytest.approx(min(0.75, 1 - 0.5 * _seen(page)), abs=0.01)
    expect(view).to_have_js_property("offsetLeft", round((middle - _seen(page) / 2) * box["width"]))


def _seen(page: Page) -> float:
    """How much of the strip is in view."""
    share = "s => s.querySelector('.scroll').clientWidth / s.querySelector('.space').offsetWidth"
    return float(page.locator("ecg-strip").evaluate(share))


def test_a_span_is_chosen_by_its_row_and_the_row_by_its_span(
    page: Page, server: Any, commit: Callable[..., Segment]
) -> None:
    strip = Strip(page, server, commit(spans=[("V", 500, 530), ("V", 4500, 4530)]).episode_id)
    paper = page.locator("ecg-strip .space").bounding_box()
    assert paper is not None
    page.mouse.click(paper["x"] + strip.x(515), paper["y"] + paper["height"] / 2)
    expect(page.locator("tr.current")).to_contain_text("2.00 s")
    page.get_by_role("button", name="V at 18.00 s: show").press("Enter")
    expect(page.locator("tr.current")).to_contain_text("18.00 s")
    left = page.locator("ecg-strip .scroll").evaluate("s => s.scrollLeft + s.clientWidth")
    assert left > strip.x(4500)


def test_a_filter_is_for_the_eye_and_says_so_and_its_corners_are_where_it_says(strip: Strip) -> None:
    page = strip.page
    page.get_by_label("Filter").select_option("band")
    scale = page.locator("ecg-strip .scale")
    expect(scale).to_contain_text("drawn through 0.5 to 40 Hz, for the eye only: it was analysed without")
    gains = page.evaluate("""async () => {
      const { filtered } = await import("/static/filter.js");
      const [fs, count] = [250, 15000];
      return [0.05, 0.5, 10, 40, 100].map((hz) => {
        const sine = (i) => Math.round(1e5 * Math.sin((2 * Math.PI * hz * i) / fs));
        const wave = Int32Array.from({ length: count }, (_, i) => sine(i));
        const out = filtered(wave, fs, [[7000, 500]]);
        const rms = (signal) => Math.sqrt(signal.slice(2000, 6000).reduce((sum, v) => sum + v * v, 0));
        return [rms(out) / rms(wave), Math.max(...out.subarray(7000, 7500).map(Math.abs))];
      });
    }""")
    half = 0.5**0.5
    assert [gain for gain, _ in gains] == pytest.approx([0.0, half, 1.0, half, 0.0], abs=0.02)
    assert {in_the_gap for _, in_the_gap in gains} == {0}


def test_panning_redraws_within_a_frame(page: Page, server: Any, commit: Callable[..., Segment]) -> None:
    for number in range(3):
        episode = commit(number, found=number == 0).episode_id
    Strip(page, server, episode)
    took = page.locator("ecg-strip").evaluate("""async (strip) => {
      const took = [];
      for (let i = 0; i < 60; i++) {
        strip.querySelector(".scroll").scrollLeft = 40 * i;
        await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
        took.push(strip.drawMs);
      }
      return took;
    }""")
    assert np.median(took) <= 16, took


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
