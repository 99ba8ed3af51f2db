"""Pages from blocks, by typst: PDF and PNG, the same bytes for the same words.

Words reach typst as JSON and are only ever strings there; the template beside this file has no other input.
typst's own fonts are used and no others, so that a page does not depend on the machine. It runs without the
interpreter's lock, in a thread that is waited for and no longer than allowed.
"""

from __future__ import annotations

import json
import queue
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cloud.prints.strip import Picture
from cloud.turns import BusyError
from models.errors import AnyEcgError

TEMPLATE = Path(__file__).parent / "pages.typ"
DPI = 254  # 10 pixels to the millimetre
AT_ONCE = 2
LIMIT_S = 30.0
MOST_PNG_MM = 1200.0  # of height: 12,000 lines of pixels

Block = Mapping[str, Any]
How = Literal["left", "right", "wide"]  # a column stands; a wide one takes the room that is left
_turns = threading.BoundedSemaphore(AT_ONCE)


class PrintError(AnyEcgError):
    """A page cannot be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A report: `head` and `foot` stand on every page, `state` says how far it is to be trusted."""

    title: str
    head: str
    state: str
    foot: str
    blocks: tuple[Block, ...]


def pdf(document: Document, limit_s: float = LIMIT_S) -> bytes:
    """Raises PrintError, and BusyError after `limit_s` or where others are printing for so long."""
    return _typst(_data(document), "pdf", limit_s)[0]


def pages(document: Document, dpi: int = DPI, limit_s: float = LIMIT_S) -> list[bytes]:
    """A PNG a page."""
    return [_with_dpi(png, dpi) for png in _typst(_data(document), "png", limit_s, dpi)]


def png(picture: Picture, dpi: int = DPI, limit_s: float = LIMIT_S) -> bytes:
    """The picture alone, and its dots per inch, so that it prints as large as it was drawn."""
    if picture.height_mm > MOST_PNG_MM:
        raise PrintError(
            f"This would be {picture.height_mm / 1000:.1f} m high: ask for a shorter stretch, or for PDF."
        )
    data = {"title": picture.says, "bare": True, "blocks": [chart(picture)]}
    return _with_dpi(_typst(data, "png", limit_s, dpi)[0], dpi)


# -- blocks -------------------------------------------------------------------------------------------------


def heading(text: str) -> Block:
    return {"kind": "heading", "text": text}


def note(text: str) -> Block:
    return {"kind": "note", "text": text}


def lines(said: Iterable[str]) -> Block:
    return {"kind": "lines", "lines": list(said)}


def caution(*said: str) -> Block:
    return {"kind": "caution", "lines": list(said)}


def pairs(rows: Mapping[str, str]) -> Block:
    return {"kind": "pairs", "rows": [list(row) for row in rows.items()]}


def table(head: Mapping[str, How], rows: Iterable[Iterable[str]]) -> Block:
    return {
        "kind": "table",
        "head": list(head),
        "align": ["right" if how == "right" else "left" for how in head.values()],
        "widths": [1 if how == "wide" else 0 for how in head.values()],
        "rows": [list(row) for row in rows],
    }


def strip(title: str, about: str, pictures: Iterable[Picture]) -> Block:
    return {"kind": "strip", "title": title, "note": about, "pictures": [_drawn(p) for p in pictures]}


def chart(picture: Picture) -> Block:
    return {"kind": "chart", "picture": _drawn(picture)}


def new_page() -> Block:
    return {"kind": "page"}


def _drawn(picture: Picture) -> Mapping[str, Any]:
    size = {"width": picture.width_mm, "height": picture.height_mm}
    return {"svg": picture.svg, "says": picture.says, **size}


# -- typst --------------------------------------------------------------------------------------------------


def _data(document: Document) -> Mapping[str, Any]:
    names = ("title", "head", "state", "foot")
    return {name: getattr(document, name) for name in names} | {"bare": False, "blocks": document.blocks}


def _typst(
    data: Mapping[str, Any], kind: Literal["pdf", "png"], limit_s: float, dpi: int = DPI
) -> list[bytes]:
    def compile_it() -> list[bytes]:
        import typst

        try:
            made: bytes | list[bytes] = typst.compile(
                str(TEMPLATE),
                root=str(TEMPLATE.parent),
                format=kind,
                ppi=dpi,
                sys_inputs={"data": json.dumps(data)},
                ignore_system_fonts=True,
            )
        except typst.TypstError as error:
            raise PrintError(f"This page cannot be typeset: {error.message}.") from error
        return made if isinstance(made, list) else [made]

    return within(limit_s, compile_it)


def within(limit_s: float, make: Callable[[], list[bytes]]) -> list[bytes]:
    """What `make` makes in a thread of its own, of which few run at once.

    One that takes too long cannot be ended: it keeps its turn until it is done, so that they do not pile up.
    """
    if not _turns.acquire(timeout=limit_s):
        raise BusyError(f"Others have been printing for {limit_s:g} s; try again in a minute.")
    done: queue.SimpleQueue[list[bytes] | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(make())
        except BaseException as error:  # raised again where it is waited for
            done.put(error)
        finally:
            _turns.release()

    threading.Thread(target=run, name="print", daemon=True).start()
    try:
        made = done.get(timeout=limit_s)
    except queue.Empty:
        raise BusyError(f"This was not printed within {limit_s:g} s: print a shorter stretch.") from None
    if isinstance(made, BaseException):
        raise made
    return made


def _with_dpi(image: bytes, dpi: int) -> bytes:
    """typst does not say how large a pixel is; a pHYs chunk behind the header does (PNG 11.3.5.3)."""
    per_metre = round(dpi / 0.0254)
    chunk = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    header = 8 + 25  # signature and IHDR
    return (
        image[:header] + struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk)) + image[header:]
    )
