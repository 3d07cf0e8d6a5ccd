"""The store on one SQLite file: one thread writes, two others read."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine

from watcher.service.errors import StoreError
from watcher.service.ports import Reads, Writes
from watcher.service.records import Topic
from watcher.store.engine import make_engine, transact
from watcher.store.files import make_private, prepare, recognise, require
from watcher.store.reads import SqlReads
from watcher.store.writes import SqlWrites

T = TypeVar("T")
_READERS = 2


def open_store(path: Path, *, create: bool = True, query_only: bool = False) -> "SqliteStore":
    """Opens the database, after bringing its schema up to date; blocks, up to minutes for an upgrade of a large file.

    With `query_only` nothing is ever created or changed, which is safe beside a running daemon.

    Raises:
        SchemaTooNewError: a newer version wrote it.
        StoreError: it is missing (and not to be created), damaged, foreign, or can't be written.
    """
    if query_only or not create:
        require(path)
    if not query_only:
        make_private(path)
    writer = None if query_only else make_engine(path, writes=True)
    reader = make_engine(path, writes=False, connections=_READERS)
    store = SqliteStore(path, writer, reader)
    try:
        if writer is None:
            recognise(path, reader)
        else:
            prepare(path, writer)
    except BaseException:
        store.close()
        raise
    return store


class SqliteStore:
    """`Store` on one file. Made by `open_store`.

    Commands that live outside of an event loop use `write_now` and `read_now`; both ways go through the same threads.
    """

    def __init__(self, path: Path, writer: Engine | None, reader: Engine) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        self._lock = threading.Lock()
        self._closed = False
        self.committed: Callable[[frozenset[Topic]], None] = lambda _topics: None
        """Called after each commit that changed something, in the writer's thread: it must return at once."""

    async def write(self, work: Callable[[Writes], T]) -> T:
        """Runs `work` in the writer's thread inside one transaction; an exception from it rolls back and is raised.

        A cancelled caller gets its CancelledError when the transaction is over, committed or not; one that has not
        begun is never run.

        Raises:
            StoreError: the store could not do it, or is closed.
        """
        return await _result(self._submit_write(work))

    async def read(self, work: Callable[[Reads], T]) -> T:
        """Runs `work` in a reader's thread inside one read-only snapshot.

        Raises:
            StoreError: the store could not do it, or is closed.
        """
        return await _result(self._submit_read(work))

    def write_now(self, work: Callable[[Writes], T]) -> T:
        """As `write`, for a caller without an event loop: it blocks."""
        return self._submit_write(work).result()

    def read_now(self, work: Callable[[Reads], T]) -> T:
        """As `read`, for a caller without an event loop: it blocks."""
        return self._submit_read(work).result()

    def _submit_write(self, work: Callable[[Writes], T]) -> "Future[T]":
        writer = self._writer
        if writer is None:
            raise StoreError(f"{self.path} was opened for reading only")
        return self._submit(self._write_thread, lambda: self._write(writer, work))

    def _write(self, writer: Engine, work: Callable[[Writes], T]) -> T:
        def run(connection: Connection) -> tuple[T, set[Topic]]:
            tx = SqlWrites(connection)
            return work(tx), tx.topics

        done, topics = transact(self.path, writer, run)
        if topics:
            self.committed(frozenset(topics))
        return done

    def _submit_read(self, work: Callable[[Reads], T]) -> "Future[T]":
        return self._submit(
            self._read_threads, lambda: transact(self.path, self._reader, lambda connection: work(SqlReads(connection)))
        )

    def _submit(self, threads: ThreadPoolExecutor, function: Callable[[], T]) -> "Future[T]":
        with self._lock:
            if self._closed:
                raise StoreError(f"{self.path} is closed")
            return threads.submit(function)

    async def aclose(self) -> None:
        """Waits for all work that was handed in, then closes the file; later work is refused."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """As `aclose`, for a caller without an event loop."""
        with self._lock:
            self._closed = True
        self._read_threads.shutdown()
        self._write_thread.shutdown()
        # Readers first: the last connection to close moves the write-ahead log into the file, and must be able to.
        self._reader.dispose()
        if self._writer is not None:
            self._writer.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _result(work: "Future[T]") -> T:
    """The result of work in a thread; a cancelled caller goes on only when the thread no longer runs it."""
    done = asyncio.wrap_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            # `wait` leaves the work alone when the waiting is cancelled.
            await asyncio.wait([done])
        except asyncio.CancelledError as exc:
            cancelled = exc
            work.cancel()
    if cancelled is None:
        return done.result()
    if not done.cancelled():
        done.exception()  # looked at, or asyncio would report it as never retrieved
    raise cancelled
