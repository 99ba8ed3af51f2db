"""The calibrated strip: millimetres that can be measured, nothing hidden, the same bytes every time."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cloud.prints.report import strip_document
from cloud.prints.strip import GAINS, SPEEDS, Style, columns, draw, pieces
from cloud.prints.tracing import Tracing
from cloud.prints.typeset import pages, pdf, png
from models.ecg import Clock
from models.errors import UsageError
from models.verdicts import Finding

Make = Callable[..., Tracing]
Traces = Callable[[str], list[list[tuple[float, float]]]]
Found = Callable[..., Finding]
BOLD = (238, 191, 179)  # of the 5 mm lines


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(int)


def lines_apart(seen: np.ndarray) -> float:
    """How far apart the bold lines are along the first axis, in pixels, where nothing else is drawn."""
    apart = []
    for x in range(103, seen.shape[1] - 100, 50):  # between two lines of the other direction
        bold = np.abs(seen[:, x] - BOLD).sum(axis=-1) < 40
        apart += np.diff(np.flatnonzero(np.diff(bold.astype(int), prepend=0) == 1)).tolist()
    assert len(apart) > 50
    return float(np.median(apart))


def sizes(svg: str) -> tuple[list[float], list[float]]:
    root = ET.fromstring(svg)
    assert root.get("width", "").endswith("mm")
    shown = [float(root.get(name, "").removesuffix("mm")) for name in ("width", "height")]
    return shown, [float(n) for n in root.get("viewBox", "").split()]


def test_a_unit_of_the_svg_is_a_millimetre(made: Make) -> None:
    (width, height), box = sizes(draw(made(20)).svg)
    assert box == [0, 0, width, height]


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("gain", GAINS)
def test_a_second_and_a_millivolt_are_as_long_as_it_says(
    made: Make, traces: Traces, speed: float, gain: float
) -> None:
    style = Style(speed=speed, gain=gain)
    picture = pieces(made(3), style)[0]
    (points,) = traces(picture.svg)
    heights = [y for _, y in points]
    assert max(heights) - min(heights) == pytest.approx(gain, rel=0.01)
    falls = [a[0] for a, b in pairwise(points) if a[1] > b[1]]
    assert np.diff(falls) == pytest.approx(speed, rel=0.01)
    assert f"{speed:g} mm/s · {gain:g} mm/mV · unfiltered, as recorded at 250 Hz" in draw(made(3), style).svg


def test_the_calibration_pulse_is_a_millivolt_high_and_a_fifth_of_a_second_wide(made: Make) -> None:
    svg = pieces(made(3), Style(speed=50, gain=20))[0].svg
    assert 'class="pulse"' in svg
    assert "v-20h10v20" in svg


def test_grid_lines_of_the_png_are_five_millimetres_apart_and_it_says_its_dots_per_inch(made: Make) -> None:
    image = png(draw(made(7, leads=("I", "II", "III"))))
    assert Image.open(io.BytesIO(image)).info["dpi"] == pytest.approx((254, 254), rel=1e-3)
    seen = pixels(image)
    assert lines_apart(seen) == pytest.approx(50, rel=0.01)
    assert lines_apart(seen.transpose(1, 0, 2)) == pytest.approx(50, rel=0.01)


def test_the_trace_of_the_png_is_as_high_and_as_long_as_its_grid_says(made: Make) -> None:
    seen = pixels(png(draw(made(7))))
    dark = seen.sum(axis=-1) < 180
    plateaus = np.flatnonzero(dark[:, 150:].sum(axis=1) > 400)
    assert plateaus.max() - plateaus.min() == pytest.approx(100, abs=3)  # a line is 2.5 pixels thick
    steps = np.flatnonzero(dark[plateaus.min() + 20 : plateaus.max() - 20, 110:].sum(axis=0) > 50)
    edges = steps[np.diff(steps, prepend=-10) > 5]
    assert len(edges) > 10
    assert np.diff(edges) == pytest.approx(125, abs=2)


def test_grid_lines_of_the_pages_are_five_millimetres_apart_on_a4(made: Make) -> None:
    document = strip_document(made(20), Style())
    (page,) = pages(document)
    seen = pixels(page)
    assert seen.shape[:2] == (pytest.approx(2970, abs=1), pytest.approx(2100, abs=1))
    assert lines_apart(seen[600:1000].transpose(1, 0, 2)) == pytest.approx(50, rel=0.01)
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", pdf(document))
    assert box is not None
    assert [float(n) for n in box.groups()] == pytest.approx([595.28, 841.89], abs=0.1)


@pytest.mark.parametrize(("speed", "gain"), [(25.0, 10.0), (50.0, 20.0)])
def test_a_second_and_a_millivolt_are_as_long_in_the_pdf(made: Make, speed: float, gain: float) -> None:
    strokes = strokes_of(pdf(strip_document(made(3), Style(speed=speed, gain=gain))))
    trace = max(strokes, key=len)
    x, y = trace.T
    assert np.ptp(y) == pytest.approx(gain, rel=0.01)
    falls = x[:-1][np.abs(np.diff(y)) > gain / 2]
    assert np.diff(falls) == pytest.approx(speed / 2, rel=0.01)
    upright = {
        round(float(s[0, 0]), 2)
        for s in strokes
        if len(s) == 2 and np.ptp(s[:, 0]) < 0.01 and np.ptp(s[:, 1]) > 10
    }
    assert np.diff(sorted(upright)) == pytest.approx(1.0, rel=0.01)  # every millimetre


def strokes_of(document: bytes) -> list[npt.NDArray[np.float64]]:
    """The straight strokes of a PDF's only page, (point, x and y) in mm on the paper, from its operators."""
    content = max(map(inflated, re.findall(rb"stream\r?\n(.*?)\r?\nendstream", document, re.S)), key=len)
    words = re.sub(rb"\((?:\\.|[^\\)])*\)", b"", content, flags=re.S).replace(b"/", b" /").split()
    here, kept, numbers = np.eye(3), [], list[float]()
    paths, strokes = list[list[Any]](), []
    for word in words:
        if re.fullmatch(rb"[-+]?[\d.]+", word):
            numbers.append(float(word))
            continue
        match word:
            case b"q":
                kept.append(here)
            case b"Q":
                here = kept.pop()
            case b"cm":
                a, b, c, d, e, f = numbers
                here = np.array([[a, b, 0], [c, d, 0], [e, f, 1]]) @ here
            case b"m" | b"l":
                if word == b"m":
                    paths.append([])
                paths[-1].append((np.array([*numbers, 1]) @ here)[:2] * (25.4 / 72))
            case b"S" | b"f" | b"n" | b"W" | b"h":
                strokes += [np.array(path) for path in paths if word == b"S"]
                paths = [] if word in b"Sfn" else paths
        numbers = []
    return strokes


def inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:  # not compressed
        return stream


def test_it_is_the_same_bytes_every_time(made: Make, found: Found) -> None:
    tracing = made(9, gap=(500, 500), findings=(found("V", 100, 130), found("AFIB", 0, 2000)))
    assert draw(tracing) == draw(tracing)
    assert png(draw(tracing)) == png(draw(tracing))
    assert pdf(strip_document(tracing, Style())) == pdf(strip_document(tracing, Style()))


def test_a_gap_is_hatched_and_named_and_no_line_crosses_it(made: Make, traces: Traces) -> None:
    picture = draw(made(6, gap=(500, 500)))  # 2 s to 4 s
    assert 'class="hatch"' in picture.svg
    assert "missing 2.0 s" in picture.svg
    assert "2.0 s missing" in picture.says
    before, after = traces(picture.svg)
    assert before[-1][0] == pytest.approx(10 + 499 * 0.1)
    assert after[0][0] == pytest.approx(10 + 1000 * 0.1)


def test_a_short_gap_is_named_along_its_length(made: Make) -> None:
    assert "rotate(-90" in draw(made(6, gap=(500, 50))).svg


def test_what_was_reported_off_is_hatched_under_its_trace(made: Make, traces: Traces) -> None:
    picture = draw(made(6, lead_off=((500, 250),)))
    assert "lead off 1.0 s" in picture.svg
    (whole,) = traces(picture.svg)
    assert len(whole) == 1500


def test_a_finding_has_a_rail_and_a_chip_with_how_sure_it_is(made: Make, found: Found) -> None:
    svg = draw(made(7, findings=(found("V", 250, 280), found("PAUSE", 600, 1300, None)))).svg
    assert ">V 0.93</text>" in svg
    assert ">PAUSE by rule</text>" in svg
    assert "Probability from which a finding is told: V 0.50" in svg
    rail = re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="0.7"', svg)
    assert rail is not None
    assert [float(n) for n in rail.groups()] == pytest.approx([10 + 25, 31 * 0.1])


def test_unreadable_signal_is_marked_in_words(made: Make, found: Found) -> None:
    assert "NOISE unreadable signal" in draw(made(7, findings=(found("NOISE", 0, 1200, None),))).svg


def test_every_strip_says_what_it_is_not(made: Make) -> None:
    svg = draw(made(1)).svg
    for words in (
        "AI-generated, not yet reviewed",
        "Decision support. Not a diagnosis.",
        "Not for emergency",
    ):
        assert words in svg


def test_the_axis_says_the_time_of_day_with_its_offset_and_the_patch_s_seconds(made: Make) -> None:
    svg = draw(made(3, first=500)).svg
    assert re.search(r"2023-11-1\d \d\d:\d\d:22\.0 [+-]\d{4}<", svg)
    assert ">2 s</text>" in svg
    assert "time unknown" in draw(made(3, clock=Clock())).svg


def test_what_lies_beyond_the_paper_is_said_to_be_cut_off(made: Make) -> None:
    svg = draw(made(2, millivolts=8.0)).svg
    assert "cut off beyond ±5.0 mV" in svg
    assert "clip-path" in svg
    assert "clip-path" not in draw(made(2)).svg


def test_a_row_of_twelve_leads_fits_a_page(made: Make) -> None:
    leads = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert all(row.height_mm <= 250 for row in pieces(made(10, leads=leads, millivolts=4.0)))


@settings(max_examples=25)
@given(
    seconds=st.floats(0.5, 40), fs=st.sampled_from([100.0, 128.0, 250.0, 360.0]), first=st.integers(0, 10**7)
)
def test_rows_wrap_and_hold_every_sample_once(
    made: Make, traces: Traces, seconds: float, fs: float, first: int
) -> None:
    tracing = made(seconds, fs=fs, first=first)
    rows = pieces(tracing)
    drawn = [points for row in rows for points in traces(row.svg)]
    assert sum(map(len, drawn)) == tracing.counts.shape[1]
    assert all(row.width_mm <= 185 for row in rows)
    assert all(10 <= x <= 185.01 for points in drawn for x, _ in points)


@given(st.lists(st.integers(-5000, 5000), min_size=1, max_size=400), st.floats(0.05, 20))
def test_columns_keep_first_last_lowest_and_highest(values: list[int], step: float) -> None:
    x = np.rint(np.arange(len(values)) * step).astype(np.int64)
    y = np.array(values)
    fewer = columns(x, y)
    for column in np.unique(x // 10):
        own, kept = y[x // 10 == column], fewer[1][fewer[0] // 10 == column]
        assert (kept[0], kept[-1], kept.min(), kept.max()) == (own[0], own[-1], own.min(), own.max())
    assert len(fewer[0]) <= max(4 * len(np.unique(x // 10)), 1)


@pytest.mark.parametrize(
    "name",
    ['</text><script>alert("1")</script>', "&#x0;\x00\x1b]]>", '#panic("x") $ \\ @a <b> */', "心電図" * 40],
)
def test_no_name_is_read_as_markup(made: Make, name: str) -> None:
    tracing = made(2, leads=(name,), patch_id=name)
    root = ET.fromstring(draw(tracing).svg)
    assert {element.tag.partition("}")[2] for element in root.iter()} <= {
        *("svg", "title", "rect", "path", "text", "g", "clipPath")
    }
    assert pdf(strip_document(tracing, Style())).startswith(b"%PDF")


def test_a_scale_or_a_lead_that_there_is_not_is_refused_in_a_sentence(made: Make) -> None:
    with pytest.raises(UsageError, match="5, 10 or 20 mm/mV"):
        Style(gain=7)
    with pytest.raises(UsageError, match="There is no lead 'V9': this recording has II"):
        made(1).with_leads(["V9"])
    assert made(1, leads=("I", "II")).with_leads(["II"]).counts.shape == (1, 250)
