"""`anyecg cloud print` and `anyecg cloud export`: what is wanted of a store that a running node may use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cloud.console.seen import Seen, everything
from cloud.prints.day import day_report
from cloud.prints.export import export
from cloud.prints.report import episode_report
from cloud.prints.strip import draw
from cloud.prints.study import study_report
from cloud.prints.tracing import Tracing, of_episode, of_patch, open_kept, utc_of
from cloud.prints.typeset import pdf, png
from models.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An episode or what of it, or a patch between two moments, as the command line says it.

    `study`: all days of the patch's assignment, the one at `start` or else the newest.
    """

    episode: str | None
    patch: str | None
    start: str | None
    end: str | None
    study: bool = False

    def __post_init__(self) -> None:
        if self.study:
            if self.patch is None or self.episode is not None or self.end is not None:
                raise UsageError("A study needs --patch ID, and of several --from T, a moment in it.")
            return
        if (self.episode is None) == (self.patch is None):
            raise UsageError("Give --episode ID or --patch ID, one of them.")
        if self.patch is not None and (self.start is None or self.end is None):
            raise UsageError("--patch ID needs --from T and --to T.")

    def tracings(self, seen: Seen) -> Iterable[Tracing]:
        if self.episode is not None:
            return [of_episode(seen, self.episode, _second(self.start), _second(self.end))]
        return of_patch(seen, self.patch or "", *self.moments)

    @property
    def moments(self) -> tuple[float, float]:
        """Of a patch, Unix seconds."""
        return utc_of(self.start or ""), utc_of(self.end or "")


def print_to(out: Path, url: str, wanted: Wanted, now: float) -> None:
    """UsageError where there is no such print."""
    with _opened(url) as seen, _written(out):
        out.write_bytes(_printed(seen, wanted, out.suffix.lower(), now))


def export_to(folder: Path, url: str, wanted: Wanted, *, as_edf: bool, by_people: bool = False) -> list[Path]:
    with _opened(url) as seen, _written(folder):
        return export(wanted.tracings(seen), "edf" if as_edf else "wfdb", folder, by_people=by_people)


def _printed(seen: Seen, wanted: Wanted, suffix: str, now: float) -> bytes:
    match suffix, wanted.episode:
        case ".pdf", None if wanted.study:
            at = None if wanted.start is None else utc_of(wanted.start)
            return pdf(study_report(seen, wanted.patch or "", at, now))
        case ".pdf", None:
            return pdf(day_report(seen, wanted.patch or "", *wanted.moments, now))
        case ".pdf", str() as episode if wanted.start is None and wanted.end is None:
            return pdf(episode_report(seen, episode, now))
        case ((".svg" | ".png"), str()):
            (tracing,) = wanted.tracings(seen)
            picture = draw(tracing)
            return png(picture) if suffix == ".png" else picture.svg.encode()
    raise UsageError(
        "A report is a .pdf, of a whole episode or of a patch; a strip is an episode's .svg or .png."
    )


@contextlib.contextmanager
def _written(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Seen]:
    store = open_kept(url)
    try:
        yield everything(store)
    finally:
        store.close()


def _second(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UsageError(f"'{text}' is no second of an episode: write 12.5.") from None
