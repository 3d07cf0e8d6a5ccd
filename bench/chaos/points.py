"""Moments at which a process may be killed, as they show from outside: requests, messages, and writes of its store."""

import contextlib
import ctypes
import os
import select
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

STORE_WRITE = "store write"
REQUEST, ANSWER = "request", "answer"
MESSAGE, TAKEN = "message", "message taken"
CANCEL, CANCELLED = "cancel", "cancel answered"
ALL = (STORE_WRITE, REQUEST, ANSWER, MESSAGE, TAKEN, CANCEL, CANCELLED)
_IN_MODIFY = 0x2
_EVENT = 16


class Points:
    """Counts them as they come by. Whoever brings one waits until what was armed for it is done."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._armed: tuple[str, int, Callable[[], None]] | None = None

    def arm(self, name: str, number: int, act: Callable[[], None]) -> None:
        """Do this at the `number`th point of that name from now on, once."""
        with self._lock:
            self._armed = (name, self.seen[name] + number, act)

    def disarm(self) -> bool:
        """Whether it was still to be done."""
        with self._lock:
            armed, self._armed = self._armed, None
        return armed is not None

    def hit(self, name: str) -> None:
        with self._lock:
            self.seen[name] += 1
            if self._armed is None or self._armed[0] != name or self.seen[name] < self._armed[1]:
                return
            act, self._armed = self._armed[2], None
        act()


@contextlib.contextmanager
def watching_writes(folder: Path, points: Points) -> Iterator[None]:
    """Counts the writes to the database and its log in a folder, by inotify: nothing in the program knows of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_CLOEXEC)
    if handle < 0 or libc.inotify_add_watch(handle, os.fsencode(folder), _IN_MODIFY) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            if select.select([handle], [], [], 0.1)[0]:
                _count(os.read(handle, 65536), points)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        os.close(handle)


def _count(events: bytes, points: Points) -> None:
    at = 0
    while at < len(events):
        length = int.from_bytes(events[at + 12 : at + _EVENT], "little")
        name = events[at + _EVENT : at + _EVENT + length].rstrip(b"\0").decode()
        at += _EVENT + length
        if name in ("watcher.db", "watcher.db-wal"):
            points.hit(STORE_WRITE)
