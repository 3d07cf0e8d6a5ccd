"""Jobs that the service restarted under another id, and those that go on for them, so that people see one story."""

from collections.abc import Iterable, Sequence

from watcher.domain.observations import Snapshot
from watcher.domain.restarts import successor_listed
from watcher.service.book import JobBook
from watcher.service.records import JobRecord


class Restarts:
    """Which job goes on for which, in one account."""

    def __init__(self) -> None:
        self._origins: dict[str, JobRecord] = {}
        """By id of a restarted job: the record of the one that it goes on for."""

    def note(self, record: JobRecord) -> None:
        """A job that was stored."""
        if record.successor:
            self._origins[record.successor] = record

    def heed(self, stored: JobRecord) -> None:
        """A person vetoed a job, or lifted that: so it is for the one that goes on for it."""
        for origin in self._origins.values():
            if origin.key == stored.key:
                origin.keep = stored.keep

    def link(self, books: Iterable[JobBook], listed: Sequence[Snapshot]) -> None:
        """Find the jobs that go on for restarted ones in a list."""
        for book in books:
            if book.state.restarted_at is None:
                continue
            if book.record.successor is None:
                taken = set(self._origins)
                book.record.successor = successor_listed(book.snapshot, book.state.restarted_at, listed, taken)
            self.note(book.record)

    def go_on(self, book: JobBook) -> None:
        """What a job takes over from the one that it goes on for: a veto goes over with it, until it is lifted."""
        origin = self._origins.get(book.key.job_id)
        if origin is not None:
            book.origin = origin.key.job_id
            book.record.keep |= origin.keep
