"""What an audit chain says of an alert, an episode or a patch: its rows, and those in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cloud.audit_check import ROWS, details_of, reading
from cloud.chain import SUBJECTS, Row, What, Who
from cloud.console.views import moment
from models.errors import UsageError

ABOUT = {  # an alert's history is that of its episodes too
    "alert": "(alert_id = :alert or episode_id in (select episode_id from audit where alert_id = :alert))",
    "episode": "episode_id = :episode",
    "patch": "patch_id = :patch",
}
CAPTURED = (
    "sampled_at",
    "edge_received_at",
    "boot_id",
    "first",
    "last",
    "screeners",
)  # the edge's share of a commit
SHA256_DIGITS = 64


def history(path: str, about: Mapping[str, str], limit: int) -> list[Row]:
    """The newest rows about all of `about` ("alert" | "episode" | "patch": id), oldest first.

    Raises:
        UsageError: there is nothing of it.
        DeliveryError: the store cannot be read.
    """
    where = " and ".join(ABOUT[name] for name in about) or "true"
    newest = f"{ROWS} where {where} order by number desc limit :limit"
    with reading(path) as db:
        rows = [{**row, "details": details_of(row)} for row in db.execute(newest, {**about, "limit": limit})]
    if not rows:
        wanted = " and ".join(f"{name} {ident}" for name, ident in about.items()) or "anything"
        raise UsageError(f"The audit chain of {path} tells nothing of {wanted}.")
    return rows[::-1]


def in_words(row: Row) -> Iterator[str]:
    """For people, a line or two: what the edge did stands in the row of the commit, by the edge's clock."""
    subjects = {name.removesuffix("_id"): row[name] for name in SUBJECTS if row[name]}
    told = dict(row["details"])
    if row["what"] == What.COMMITTED:
        captured = {name: told.pop(name, None) for name in CAPTURED}
        yield _line(row["number"], captured.pop("sampled_at"), Who.EDGE, "captured", subjects | captured)
    yield _line(row["number"], row["at"], row["who"], row["what"], subjects | told)


def _line(number: int, at: float | None, who: str, what: str, told: Row) -> str:
    words = ", ".join(f"{name.replace('_', ' ')} {_word(name, value)}" for name, value in told.items())
    return f"{number:7}  {_moment(at):25}  {who:8}  {what:20}  {words}"


def _word(name: str, value: Any) -> str:
    if name.endswith("_at"):
        return _moment(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return value[:8] if isinstance(value, str) and len(value) == SHA256_DIGITS else str(value)


def _moment(unix: float | None) -> str:
    try:
        return moment(unix)
    except (ValueError, OverflowError, OSError):  # beyond any calendar
        return moment(None)
