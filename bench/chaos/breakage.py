"""What is done to the machine under the process: its disk, its database, its file descriptors and its clock."""

import contextlib
import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from bench.chaos import mounts
from bench.chaos.clocks import set_clock
from bench.chaos.faults import Fault
from bench.chaos.place import Place
from bench.chaos.scenarios import AGAIN, BLIND, begin, pause, settle, told_all

UNWRITTEN = 9.0
"""Seconds after which the daemon has to say that it can't write: it tries every five."""
BUSY = 10.0
"""Seconds for which SQLite waits for another process that writes."""
GIVEN_UP = 70
"""Hours after which a notification may be given up; the daemon does it after 72, and tells it by an alert."""
_PAGE = 4096


# --- no room ---


def no_room(place: Place) -> None:
    """The process may write no file beyond its first page; later the disk itself is full, where we may make one."""
    begin(place)
    for seconds in (10.0, 20.0):
        with place.trouble("files can't grow", told_within=UNWRITTEN, well_within=AGAIN):
            soft_limit(place, resource.RLIMIT_FSIZE, _PAGE)
            time.sleep(seconds)
            soft_limit(place, resource.RLIMIT_FSIZE, None)
        place.well()
        pause(place, 4.0)
    if place.mounted:
        for seconds in (10.0, 20.0):
            with place.trouble("disk full", told_within=UNWRITTEN, well_within=AGAIN), ballast(place):
                time.sleep(seconds)
            place.well()
            pause(place, 4.0)
        _killed_without_room(place)
    settle(place)


def _killed_without_room(place: Place) -> None:
    """A process that starts on a full disk may fail, again and again, until there is room."""
    with place.may_end():
        with place.trouble("killed with a full disk", told_within=None, well_within=AGAIN), ballast(place):
            place.kill()
            time.sleep(6.0)
        place.well()


@contextlib.contextmanager
def ballast(place: Place) -> Iterator[None]:
    """A file that takes all the room there is.

    What the write-ahead log holds is moved into the database first: a log that has its room can be written anew.
    """
    with contextlib.closing(sqlite3.connect(place.database, timeout=30)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    path = place.state / "ballast"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * _PAGE)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def soft_limit(place: Place, what: int, value: int | None) -> None:
    """Set a limit of the running process; None gives back all that it may have."""
    pid = place.keeper.life.pid
    _, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (hard if value is None else value, hard))


# --- the database ---


def database(place: Place) -> None:
    """Another process writes for long; then the file is read-only; then a page of it is damaged."""
    begin(place)
    for seconds in (4.0, 25.0):
        told = BUSY + UNWRITTEN if seconds > BUSY else None
        with place.trouble("database busy", told_within=told, well_within=2 * AGAIN), locked(place.database):
            time.sleep(seconds)
        place.well()
        pause(place, 3.0)
    if place.mounted:
        _read_only(place)
    _damaged(place)
    settle(place)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else has begun to write, and does not end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            raw.execute("ROLLBACK")


def _read_only(place: Place) -> None:
    place.note_end(place.keeper.stop())
    with place.may_end():
        with place.trouble("file system read-only", told_within=None, well_within=AGAIN):
            mounts.remount(place.state, "ro")
            place.keeper.start()
            time.sleep(8.0)
            mounts.remount(place.state, "rw")
        place.well()


def _damaged(place: Place) -> None:
    """A page is overwritten: it must refuse, keep the file, and say how to restore; then a backup is restored."""
    backup = place.folder / "backup.db"
    told_all(place)  # what is delivered after the backup would be decided anew, and come again
    if place.command("backup", backup) != 0:
        place.wrongs.append("no backup beside the running daemon")
    place.note_end(place.keeper.stop())
    before = flipped(place.database)
    place.injected_one("page of the database damaged")
    with place.may_end():
        place.keeper.start()
        place.until(lambda: "To restore" in place.log, 40.0)
        time.sleep(1.0)
        place.keeper.stop()
    if "To restore: stop the daemon" not in place.log:
        place.wrongs.append("a damaged database was not told of with the way to restore it")
    if place.database.read_bytes() != before:
        place.wrongs.append("a damaged database was changed")
    if place.command("restore", backup) != 0:
        place.wrongs.append("the backup could not be restored")
    place.keeper.start()
    place.well()


def flipped(path: Path) -> bytes:
    """Damage the middle of the file; returns what it holds then."""
    size = path.stat().st_size // _PAGE
    with path.open("r+b") as file:
        for page in range(size // 3, size // 3 + 3):
            file.seek(page * _PAGE)
            file.write(os.urandom(_PAGE))
    return path.read_bytes()


# --- file descriptors ---


def files(place: Place) -> None:
    """No file descriptor is to be had for a while: no connection, in neither direction."""
    begin(place)
    for seconds in (6.0, 20.0):
        with place.trouble("no file descriptors", told_within=None, well_within=AGAIN):
            soft_limit(place, resource.RLIMIT_NOFILE, 4)
            pause(place, seconds)
            soft_limit(place, resource.RLIMIT_NOFILE, None)
        place.well()
        pause(place, 6.0)
    settle(place)


# --- the clock ---


def clock(place: Place) -> None:
    """The clock steps an hour ahead and back, and an hour back and ahead; once nothing is seen meanwhile."""
    set_clock(place.folder, 0)
    begin(place)
    for hours in (1, 0, -1, 0):
        with place.trouble("clock stepped", told_within=None, well_within=AGAIN):
            set_clock(place.folder, hours)
            pause(place, 1.0)
        pause(place, 9.0)
        if hours == -1:
            _unseen_after_a_step(place)
    settle(place)


def _unseen_after_a_step(place: Place) -> None:
    with place.trouble("no answer from the API", told_within=BLIND, well_within=AGAIN):
        place.proxy.kinds, place.proxy.rate = (Fault.DROPPED,), 1.0
        set_clock(place.folder, -2)
        time.sleep(12.0)
        place.proxy.rate = 0.0
    place.well()
    place.until(lambda: place.waiting() == 0, 40.0)  # what waits when the clock steps ahead has waited for long by it


def days(place: Place) -> None:
    """The receiver is down for two and a half days of the daemon's clock; then for so long that it gives up."""
    set_clock(place.folder, 0)
    begin(place)
    hours = _hours_without_receiver(place, 0, 60)
    place.until(lambda: place.waiting() == 0, 60.0)
    hours = _hours_without_receiver(place, hours, 76)
    place.until(lambda: place.waiting() == place.dead(), 60.0)
    if not place.dead():
        place.wrongs.append("nothing was given up after three days without a receiver")
    if place.command("outbox", "retry", "--all") != 0:
        place.wrongs.append("what was given up could not be sent again")
    settle(place)
    if not any(alert["kind"].startswith("dead_letter") for alert in place.alerts):
        place.wrongs.append("no alert on what was given up")
    place.remark(f"the daemon's clock went on {hours} h")


def _hours_without_receiver(place: Place, start: int, hours: int) -> int:
    place.receiver.down()
    told = len(place.alerts_on_page())
    place.until(lambda: len(place.alerts_on_page()) > told, 30.0)
    set_clock(place.folder, start + 1)
    # Five minutes are over: from now on it has to say that it can't deliver, until it gives up after three days.
    with place.trouble("receiver down for days", told_within=BLIND, well_within=3 * AGAIN) as trouble:
        for hour in range(start + 3, start + hours + 1, 2):
            if hour - start > GIVEN_UP:
                trouble.told_within = None
            set_clock(place.folder, hour)
            time.sleep(1.0)
        if hours > GIVEN_UP:
            place.until(place.dead, 60.0)
        place.receiver.up()
        set_clock(place.folder, start + hours + 1)  # the next try is ten minutes away at most
    return start + hours + 1
