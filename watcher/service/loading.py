"""A job's book out of the store: how the daemon goes on with what it knew before it was stopped."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime

from watcher.domain.alerts import Alert, Transition
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.engine import Fold
from watcher.domain.observations import Observation
from watcher.service.book import JobBook, subject_of
from watcher.service.bookstate import unpacked
from watcher.service.config import Selection
from watcher.service.ports import Reads, Store
from watcher.service.records import JobKey, JobRecord, Proposal
from watcher.service.visit import CANCELLED

_TOGETHER = 50
"""Jobs that are read in one transaction at most."""


@dataclass(slots=True)
class Stored:
    """All that the store has of a job that is still watched."""

    record: JobRecord
    states: list[tuple[str, str, object]]
    tail: list[Observation]
    alerts: list[Alert]
    proposals: list[Proposal]


def read_stored(reads: Reads, key: JobKey) -> Stored | None:
    """Everything of one job, in one consistent read; rows only from where the saved rule states end."""
    record = reads.job(key)
    if record is None:
        return None
    subject = subject_of(key)
    return Stored(
        record,
        [(s.rule, s.fingerprint, s.state) for s in reads.states(subject)],
        [o for _, o in reads.observations(key, after_seq=record.saved_seq)],
        reads.latest_alerts(subject),
        reads.proposals(key=key),
    )


_Asked = tuple[JobKey, "asyncio.Future[Stored | None]"]


class Loader:
    """Reads jobs out of the store; those that are asked for while it reads are read together after that.

    A transaction of its own takes as long as reading a job: the first sweep after a start reads all of them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: list[_Asked] = []
        self._reading: asyncio.Task[None] | None = None

    async def read(self, key: JobKey) -> Stored | None:
        """All that the store has of a job; None when it has none.

        Raises:
            StoreError: it can't be read.
        """
        done: asyncio.Future[Stored | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, done))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        return await done

    async def _read_all(self) -> None:
        while self._asked:
            group, self._asked = self._asked[:_TOGETHER], self._asked[_TOGETHER:]
            await self._read(group)

    async def _read(self, group: list[_Asked]) -> None:
        try:
            found = await self._store.read(lambda reads: [read_stored(reads, key) for key, _ in group])
        except Exception as error:  # noqa: BLE001 - handed to the one who asked
            if len(group) > 1:
                for asked in group:
                    await self._read([asked])
            else:
                _settle(group[0], error)
            return
        for asked, stored in zip(group, found, strict=True):
            _settle(asked, stored)


def _settle(asked: _Asked, answer: Stored | Exception | None) -> None:
    _, done = asked
    if done.done():
        return  # whoever asked has gone
    if isinstance(answer, Exception):
        done.set_exception(answer)
    else:
        done.set_result(answer)


def load_book(stored: Stored, selection: Selection, now: datetime) -> tuple[JobBook, list[Transition]]:
    """A job as it was when the daemon last committed it; rows after the saved states are folded again.

    Returns transitions for alerts whose rule is not configured any more.
    """
    fold = Fold.of(subject_of(stored.record.key), selection.rules, selection.lives)
    record = replace(stored.record, selection=selection.name, feed=None, moved=None)  # the book's state has those
    book = JobBook(record, selection, fold, saved_at=now, seen_at=now)
    book.proposal = next((p for p in stored.proposals if p.state.open), None)
    book.past = {p.id: p for p in stored.proposals if not p.state.open}
    book.state = unpacked(stored.record)
    book.fresh_contact = not book.state.contacted
    told = fold.adopt(stored.alerts, now)
    if any(past.ended_the_job for past in book.past.values()):
        told += fold.retire(now, CANCELLED)
    fold.hold(book.state.held)
    fold.in_part = book.state.pace.holes.open
    book.stale = fold.load(stored.states)
    fold.observe_silently(stored.tail)
    steps = (book.state.pace.train_step, book.state.pace.eval_step)
    fold.last_step = max((step for step in steps if step is not None), default=None)
    return book, told


def unwatched(record: JobRecord) -> Selection:
    """For a job that the configuration does not select any more: no rules, and no cancels."""
    return Selection(name=record.selection, rules=(), policy=CancelPolicy())
