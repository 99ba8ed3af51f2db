"""Writes reports anew by the language model, beside the workers: nothing waits for it.

A worker has committed findings, alert and the template's report by then. What is to be written stands in the
store, so that a killed node goes on where it was. The model writes in a thread of its own, within its budget
once it has a turn, for which it waits at most as long; one that hangs keeps that thread, and no report.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import Any

from cloud.reports import PLAN, left_to_the_template, written_by
from cloud.store import Draft, Store, Written
from cloud.strips import Readings, Strip
from cloud.turns import BusyError, Turns
from models.anyecg.chat.consultation import Answer, Consultation
from models.anyecg.chat.prompt import TooLongError
from models.anyecg.chat.runtime import Chat
from models.anyecg.grounding import check

logger = logging.getLogger(__name__)

QUESTION = "Write a report."
IDLE_S, RETRY_S = 1.0, 5.0
LEASE_S = 30.0  # beyond turn and budget
GRACE_S = 1.0  # for a model that ends by itself when its time is over
ENDING_S = 5.0  # for the answer that is being written; one that hangs ends with the process
MOST_ATTEMPTS = 3  # a report at which the process ended so often ends it no more
LATE = "the language model did not come to its end"  # in its time or in its tokens
FAILED = "the language model failed"
TOO_MUCH = "what was found is more than the language model can read"
ASTRAY = "the language model wrote something else"


class Reporter(threading.Thread):
    """Runs until `stop()`."""

    def __init__(self, store: Store, readings: Readings, chat: Chat, turns: Turns, budget_s: float) -> None:
        super().__init__(name="reporter", daemon=True)
        self._store, self._readings, self._chat = store, readings, chat
        self._turns, self._budget_s = turns, budget_s
        self._longest_s = 2 * budget_s + GRACE_S  # a turn, then an answer
        self._halt = threading.Event()
        self._halted: Future[None] = Future()
        self._writer = _Writer(self._answer)

    def stop(self) -> None:
        """The store is left alone once the thread has ended; what is being written then is claimed again."""
        self._halt.set()
        self._halted.set_result(None)

    def run(self) -> None:
        self._writer.start()
        while not self._halt.is_set():
            try:
                seen = self._store.last_event()
                draft = self._store.claim_report(self._longest_s + LEASE_S, now=time.time())
                if draft is None:
                    self._store.wait(seen, IDLE_S)
                elif written := self.write(draft):
                    self._store.write_report(draft, written, now=time.time())
                else:
                    self._store.release_report(draft)
                    self._halt.wait(RETRY_S)
            except Exception:  # a store that is away for a while must not end the reports for good
                logger.exception("the store is away")
                self._halt.wait(RETRY_S)
        self._writer.end(ENDING_S)

    def write(self, draft: Draft) -> Written | None:
        """By the model, or by the template with the reason; None where it was stopped, or the model is busy
        with others."""
        if draft.attempts > MOST_ATTEMPTS:
            return _template(draft, FAILED)
        answer = self._writer.write(draft, self._strip(draft))
        either: tuple[Future[Any], ...] = (answer, self._halted)
        wait(either, self._longest_s, FIRST_COMPLETED)
        try:
            return _written(draft, answer.result(0))
        except BusyError:  # with questions
            return None
        except TimeoutError:
            answer.cancel()
            return None if self._halt.is_set() else _template(draft, LATE)
        except TooLongError:
            return _template(draft, TOO_MUCH)
        except Exception:  # whatever a language model does, there is a report
            logger.exception("report %s: the language model failed", draft.report.id)
            return _template(draft, FAILED)

    def _strip(self, draft: Draft) -> Strip:
        episode = self._store.episode(draft.report.episode_id)
        assert episode is not None
        first, after = (round(s * episode.fs) for s in (draft.evidence.start, draft.evidence.end))
        return self._readings.strip(episode, first, after - 1)

    def _answer(self, draft: Draft, strip: Strip) -> Answer:
        """Held to what the draft rests on: its citations are ids of that evidence."""
        with self._turns.taken(self._budget_s):
            until = time.monotonic() + self._budget_s
            reading = replace(self._readings.of(strip), evidence=draft.evidence)
            return Consultation(self._chat, [reading]).answer(QUESTION, max(0.0, until - time.monotonic()))


class _Writer(threading.Thread):
    """Answers one draft after the other; ends with the process, whatever it is at."""

    def __init__(self, answer: Callable[[Draft, Strip], Answer]) -> None:
        super().__init__(name="writer", daemon=True)
        self._answer = answer
        self._drafts: queue.SimpleQueue[tuple[Draft, Strip, Future[Answer]] | None] = queue.SimpleQueue()

    def write(self, draft: Draft, strip: Strip) -> Future[Answer]:
        future: Future[Answer] = Future()
        self._drafts.put((draft, strip, future))
        return future

    def end(self, patience_s: float) -> None:
        """A process that ends amid a network's own code is aborted by it."""
        self._drafts.put(None)
        self.join(patience_s)

    def run(self) -> None:
        while (asked := self._drafts.get()) is not None:
            draft, strip, future = asked
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._answer(draft, strip))
            except Exception as error:  # told to who waits for it
                future.set_exception(error)


def _written(draft: Draft, answer: Answer) -> Written:
    if not answer.finished:  # in its time or in its tokens
        return _template(draft, LATE)
    if answer.plan != PLAN:
        return _template(draft, ASTRAY)
    for sentence in answer.written:
        held = check(sentence, answer.plan, [draft.evidence])
        if not held.supported:
            logger.warning("report %s: replaced %r: %s", draft.report.id, sentence, held.why)
    counts = {"claims": answer.claims, "replaced": answer.replaced, "added": answer.added}
    logger.info("report %s by %s in %.1f s: %s", draft.report.id, answer.model, answer.seconds, counts)
    report = written_by(draft.report, answer.sentences, draft.evidence, answer.model)
    return Written(report=report, **counts)


def _template(draft: Draft, why: str) -> Written:
    logger.warning("report %s is left to the template: %s", draft.report.id, why)
    return Written(report=left_to_the_template(draft.report, why, draft.evidence))
