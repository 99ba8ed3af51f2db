"""The colours and the few shapes of a printed strip, as SVG in millimetres."""

from __future__ import annotations

import math
import re
import textwrap
from enum import StrEnum
from xml.sax.saxutils import escape as escaped

FONT = "DejaVu Sans Mono, monospace"
LETTER = 0.602  # em: the width of every letter of the font
HATCH_MM = 2.0
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Ink(StrEnum):
    """The page's colours in daylight (`cloud/console/static/style.css`)."""

    PAPER = "#fffdfb"
    FINE = "#f8e3dd"
    BOLD = "#eebfb3"
    TRACE = "#10181c"
    TINT = "#1d62be"  # at 11 %
    DULL = "#5a646e"  # at 10 %
    RAIL = "#1d62be"
    ON_RAIL = "#fff"
    TEXT = "#17242a"
    QUIET = "#5b6b73"
    MISSING = "#9aa7ad"
    OFF = "#c79a2b"


def escape(words: str) -> str:
    """For XML, which has no place for control characters: they become a question mark in a box."""
    return escaped(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", words), {'"': "&quot;"})


def number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def width_of(words: str, size: float) -> float:
    return len(words) * LETTER * size


def fit(words: str, width: float, size: float) -> str:
    """As much of the words as the width has room for; what is left off is shown to be."""
    most = int(width / (LETTER * size))
    return words if len(words) <= most else words[: max(0, most - 1)] + "…"


def wrapped(words: str, width: float, size: float) -> list[str]:
    """The words in as many lines as they need."""
    return textwrap.wrap(words, int(width / (LETTER * size)))


def text(x: float, y: float, words: str, size: float, ink: str = Ink.TEXT, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
    return f'<text {place} fill="{ink}"{weight} xml:space="preserve">{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, ink: str = "", *, opacity: float = 1.0) -> str:
    look = f' fill="{ink}"' if ink else ""
    look += f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
    size = f'width="{number(width)}" height="{number(height)}"'
    return f'<rect x="{number(x)}" y="{number(y)}" {size}{look}/>'


def line(x0: float, y0: float, x1: float, y1: float, ink: str, thick: float) -> str:
    path = f"M{number(x0)} {number(y0)}L{number(x1)} {number(y1)}"
    return f'<path d="{path}" stroke="{ink}" stroke-width="{thick:g}"/>'


def hatched(x0: float, x1: float, top: float, bottom: float, ink: str, words: str, cover: str | None) -> str:
    """A stretch under lines at 45 degrees, with words where they have room, upright or along it."""
    lines = []
    high, first = bottom - top, math.floor((x0 + top - bottom) / HATCH_MM)
    for n in range(first, math.ceil(x1 / HATCH_MM) + 1):
        a, b = max(x0, n * HATCH_MM), min(x1, n * HATCH_MM + high)
        if a < b:
            y = bottom - (a - n * HATCH_MM), bottom - (b - n * HATCH_MM)
            lines.append(f"M{number(a)} {number(y[0])}L{number(b)} {number(y[1])}")
    ground = rect(x0, top, x1 - x0, high, cover) if cover else ""
    thick = 0.35 if cover else 0.2  # over a trace that must be read
    path = f'<path class="hatch" d="{"".join(lines)}" stroke="{ink}" stroke-width="{thick}"/>'
    return ground + path + _label(x0, x1, top, bottom, words)


def _label(x0: float, x1: float, top: float, bottom: float, words: str) -> str:
    """As large as there is room for, upright or along the stretch; nothing where there is none."""
    middle = (x0 + x1) / 2, (top + bottom) / 2
    for size, turned in ((2.8, False), (2.1, False), (2.8, True), (2.1, True)):
        wide, high = width_of(words, size) + 1.2, size + 0.8
        room = (bottom - top, x1 - x0) if turned else (x1 - x0, bottom - top)
        if room[0] >= wide and room[1] >= high:
            turn = f' transform="rotate(-90 {number(middle[0])} {number(middle[1])})"' if turned else ""
            box = rect(middle[0] - wide / 2, middle[1] - high / 2, wide, high, Ink.PAPER)
            said = text(middle[0] - wide / 2 + 0.6, middle[1] + size * 0.36, words, size, bold=True)
            return f"<g{turn}>{box}{said}</g>"
    return ""
