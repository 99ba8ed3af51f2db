"""What the cloud asks for: kept by its id before anything is done, done once, and answered whenever it comes.

`take` keeps a command; `run` does what is kept, also after a kill. A mark opens an episode as the patch's own
button does. Where its moment lies further back than an episode reaches, the stretch around it is sent from
the recorder instead, which the answer says. Pulls go on by turns, an hour of each, and wait while much of
them is on its way.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

from edge.intake import Intake
from edge.outbox import Outbox
from edge.pulls import Stretch, minutes, stretches
from edge.recorded import Recorded
from edge.recorder import Recorder
from models.commands import Answer, Command, Mark, PullRange, body_of, decode, encode
from models.ecg import Marker
from models.errors import AnyEcgError, DeliveryError, PayloadError
from models.ranges import Pulled

logger = logging.getLogger(__name__)

TICK_S = 0.2
AROUND_S = 60.0  # of a mark that came late: sent from the recorder
PATIENCE_S = 600.0  # that a mark waits for its patch before the recorder is asked
HOUR_S = 3600
REST_S = 10.0  # after the outbox could not be written
ON_THE_WAY = 60  # messages; beyond, a pull waits
SOURCE = "symptom"  # of the marker
LATE = "The moment had passed: what was recorded around it is sent; it is analysed where an episode holds it."
NOTHING = "Nothing of it was recorded here."
GONE = "What was recorded of it has made room for what is newer."

Row = dict[str, Any]
Do = Callable[[Row], Awaitable[Answer | None]]
Say = Callable[[str, bytes], None]  # (patch, answer)


class Commands:
    """One thread: `take` and `run` belong to the loop of the edge; the recorder is read in another.

    Args:
        say: sends an answer to the cloud if it is connected, and else drops it: the cloud asks again.
    """

    def __init__(self, box: Outbox, intake: Intake, recorder: Recorder, recorded: Recorded, say: Say) -> None:
        self._box, self._db = box, box.db
        self._intake, self._recorder, self._recorded = intake, recorder, recorded
        self._say = say
        self._sent: dict[str, int] = {}  # outbox sequence when the last of a pull was stored, by command
        self._asked_at: dict[str, float] = {}  # when the recorder is asked next for a mark without its patch

    def take(self, dev: str, payload: bytes) -> None:
        """A command for a patch of this site; junk, and what is for another edge, changes nothing."""
        try:
            command = decode(Command, payload)
            held = self._row(command.id)
            if held is None and self._mine(dev):
                self._keep(command, dev)
            elif held is not None and held["answer"]:
                self._say(dev, held["answer"])
        except PayloadError as error:
            logger.warning("a command for %s was not read: %s", dev, error)
        except sqlite3.Error as error:  # it comes again
            logger.warning("a command for %s was not kept: %s", dev, error)

    async def run(self, stored: Callable[[], None]) -> None:
        """Does what is kept until cancelled; `stored()` says that there is more to send."""
        await asyncio.gather(
            self._forever("mark", self._mark, stored), self._forever("pull-range", self._pull, stored)
        )

    async def _forever(self, kind: str, do: Do, stored: Callable[[], None]) -> None:
        """In turns, oldest first; what cannot be done now is tried again."""
        waiting = "select * from commands where answer is null and kind = ? order by came_at, id"
        while True:
            await asyncio.sleep(TICK_S)
            try:
                for row in list(self._db.query(waiting, [kind])):
                    answer = await self._outcome(do, row)
                    if answer is not None:
                        self._answer(row["dev"], answer)
                    stored()
            except (sqlite3.Error, DeliveryError) as error:
                logger.warning("a command waits: %s", error)
                await asyncio.sleep(REST_S)

    async def _outcome(self, do: Do, row: Row) -> Answer | None:
        try:
            return await do(row)
        except (sqlite3.Error, DeliveryError):
            raise
        except AnyEcgError as error:
            return _refusal(row["id"], str(error))
        except Exception as error:  # ours to repair; a patient is screened all the same
            logger.exception("a command cannot be done")
            return _refusal(row["id"], repr(error))

    # -- what is kept --------------------------------------------------------------------------------

    def _mine(self, dev: str) -> bool:
        newest = self._intake.newest
        return (newest is not None and newest.patch_id == dev) or self._box.knows(dev)

    def _keep(self, command: Command, dev: str) -> None:
        row: Row = {"id": command.id, "dev": dev, "kind": command.kind, "came_at": time.time()}
        try:
            body = body_of(command.kind, command.body).model_dump_json()
        except PayloadError as error:
            row["answer"], body = encode(_refusal(command.id, str(error))), "{}"
        self._db.table("commands").insert({**row, "body": body}, ignore=True)
        if "answer" in row:
            self._say(dev, row["answer"])

    def _row(self, me: str) -> Row | None:
        return next(iter(self._db.query("select * from commands where id = ?", [me])), None)

    def _answer(self, dev: str, answer: Answer) -> None:
        """Kept first: whoever asks again hears the same."""
        payload = encode(answer)
        self._db.table("commands").update(answer.id, {"answer": payload})
        for held in (self._sent, self._asked_at):
            held.pop(answer.id, None)
        self._say(dev, payload)

    # -- a mark --------------------------------------------------------------------------------------

    async def _mark(self, row: Row) -> Answer | None:
        """None while its window, or the patch, is still to come."""
        if self._heard(row):
            told = {"how": "episode", "boot_id": row["boot_id"], "sample": row["sample"]}
            return Answer(id=row["id"], state="done", told=told)
        body = Mark.model_validate_json(row["body"])
        at = min(body.at, row["came_at"])  # by a clock that is ahead nothing is marked that is still to come
        intake = self._intake
        if intake.newest is None or intake.newest.patch_id != row["dev"]:
            return await self._mark_away(row, at)
        boot = (intake.newest.patch_id, intake.newest.boot_id)
        if not intake.ended:
            if row["calls_at"] is not None and row["boot_id"] == boot[1]:
                return None  # the segmenter has it, also after a kill: the clock may say otherwise by now
            sample = intake.sample_at(at)
            if sample is None:
                return None
            call = intake.mark(sample)
            if call is not None:
                self._note(row["id"], boot, sample, call)
                return None
        return await self._mark_late(row, at) or _nothing(row["id"])

    async def _mark_away(self, row: Row, at: float) -> Answer | None:
        """Its patch is not here. It may come; or another edge has it, so that this one refuses nothing."""
        due = self._asked_at.setdefault(row["id"], row["came_at"] + PATIENCE_S)
        if time.time() < due:
            return None
        self._asked_at[row["id"]] = time.time() + PATIENCE_S
        return await self._mark_late(row, at)

    def _heard(self, row: Row) -> bool:
        """Whether the window that the mark called is decided, and what came of it on the disk."""
        if row["calls_at"] is None:
            return False
        state = self._box.restore(row["dev"], row["boot_id"])
        return state is not None and state.processed >= row["calls_at"]

    def _note(self, me: str, boot: tuple[str, int], sample: int, call: int) -> None:
        """On the disk before the segmenter can act on it: this thread decides no window in between."""
        self._db.table("commands").update(me, {"boot_id": boot[1], "sample": sample, "calls_at": call})
        marker = Marker(patch_id=boot[0], boot_id=boot[1], first=sample, source=SOURCE)
        self._recorder.push(marker, self._intake.clock.at)

    async def _mark_late(self, row: Row, at: float) -> Answer | None:
        """What is recorded around it; None where nothing is."""
        pull = PullRange(begin=max(0.0, at - AROUND_S), end=at + AROUND_S, resolution=1)
        pieces = await asyncio.to_thread(self._pieces, row["dev"], pull)
        for number, piece in enumerate(pieces):
            await self._send(row, piece, pull, number)
        told = {"how": "range", "stretches": _told(pieces)}
        return Answer(id=row["id"], state="done", reason=LATE, told=told) if pieces else None

    # -- a pull --------------------------------------------------------------------------------------

    async def _pull(self, row: Row) -> Answer | None:
        """The next hour of it; None while more is to come, and until the cloud has all of it."""
        if self._box.depth("range") > ON_THE_WAY:
            return None
        pull = PullRange.model_validate_json(row["body"])
        pieces = await self._begun(row, pull)
        if not pieces:
            return _nothing(row["id"], self._recorded.gone(row["dev"], pull))
        if row["reached"] < len(pieces):
            await self._send(row, pieces[row["reached"]], pull, row["reached"])
            return None
        if self._box.holds_range(self._sent.setdefault(row["id"], self._box.counter("sequence"))):
            return None
        gone = self._recorded.gone(row["dev"], pull)
        if refused := self._refused(row, pieces, pull.resolution):
            reason = f"The cloud refused {refused} of the minutes: they are kept at the edge."
            return Answer(id=row["id"], state="refused", reason=reason, told={"evicted": gone})
        return Answer(id=row["id"], state="done", told={"stretches": _told(pieces), "evicted": gone})

    async def _begun(self, row: Row, pull: PullRange) -> list[Stretch]:
        """What there was to send when the pull began, on the disk: after a kill it may be less."""
        if row["pieces"] is None:
            pieces = await asyncio.to_thread(self._pieces, row["dev"], pull)
            kept = json.dumps([(boot_id, first, last) for (_, boot_id), first, last in pieces])
            row |= {"pieces": kept, "reached": 0}
            self._db.table("commands").update(row["id"], {"pieces": kept, "reached": 0})
        return [((row["dev"], boot_id), first, last) for boot_id, first, last in json.loads(row["pieces"])]

    def _refused(self, row: Row, pieces: list[Stretch], resolution: int) -> int:
        """How many minutes of a pull the cloud would not have."""
        return sum(
            one.resolution == resolution
            and any(boot[1] == one.boot_id and first <= one.first <= last for boot, first, last in pieces)
            for one in self._box.dead_ranges(row["dev"], row["came_at"])
        )

    async def _send(self, row: Row, piece: Stretch, pull: PullRange, number: int) -> None:
        """Through the outbox."""
        made = await asyncio.to_thread(self._made, piece, pull)
        self._box.commit_pulled(made, row["id"], number + 1)

    def _made(self, piece: Stretch, pull: PullRange) -> list[Pulled]:
        """None of a boot that has left since the pull began, where the answer tells its times as evicted."""
        if pull.begin is not None and piece[0] not in self._recorded.boots():
            return []
        return list(minutes(self._recorded, piece, pull.resolution))

    def _pieces(self, dev: str, pull: PullRange) -> list[Stretch]:
        """What there is of it, in hours of sample index, as the recorder's files are."""
        pieces = []
        for boot, first, last in stretches(self._recorded, dev, pull):
            size = self._recorded.head(boot).hour_samples
            if last + 1 - first > (pull.longest_s + 120) * size / HOUR_S:  # minutes are sent whole
                raise PayloadError("size", f"At this resolution at most {pull.longest_s} s are sent at once.")
            edges = [first, *range((first // size + 1) * size, last + 1, size), last + 1]
            pieces += [(boot, a, b - 1) for a, b in pairwise(edges)]
        return pieces


def _told(pieces: list[Stretch]) -> list[list[int]]:
    """[boot, first, last] of each boot."""
    out: dict[int, list[int]] = {}
    for (_, boot_id), first, last in pieces:
        out.setdefault(boot_id, [boot_id, first, last])[2] = last
    return list(out.values())


def _nothing(me: str, gone: Sequence[tuple[float, float]] = ()) -> Answer:
    """Looked for, and not there: which the cloud may show, other than what failed."""
    reason = GONE if gone else NOTHING
    return Answer(id=me, state="refused", reason=reason, told={"stretches": [], "evicted": gone})


def _refusal(me: str, reason: str) -> Answer:
    return Answer(id=me, state="refused", reason=reason[:500])
