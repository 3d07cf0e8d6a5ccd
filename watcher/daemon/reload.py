"""Reload of the configuration: asked for by a signal or a changed file; a bad one keeps the old one running."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import structlog

from watcher.daemon.sdnotify import SdNotify
from watcher.service.errors import ConfigError, StoreError
from watcher.service.ports import Clock, Store
from watcher.service.status import RESTART_NEEDED
from watcher.service.subjects import Faults

log = structlog.get_logger(__name__)

POLL = 2.0
"""Seconds between two looks at the files."""
_FAULT = "reload"

Signature = tuple[int, int, int] | None


class FileWatch:
    """Tells when one of its files has other content than before, once it is at rest: an editor writes it in pieces."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files = {path: _Watched(path) for path in paths}

    def changed(self) -> bool:
        """Whether one differs from what was taken. Blocks."""
        found = [file.changed() for file in self._files.values()]  # all are asked: each notes what it sees
        return any(found)

    def take(self) -> None:
        """What they hold now is being read. Blocks."""
        for file in self._files.values():
            file.take()

    def follow(self, paths: Iterable[Path]) -> None:
        """From now on these, and no others. Blocks."""
        self._files = {path: self._files.get(path) or _Watched(path) for path in paths}


class _Watched:
    """One file, followed through links: a secret that Kubernetes or systemd mounts is replaced behind one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.take()

    def take(self) -> None:
        self._taken = self._moving = self._signature()
        self._digest = self._content()

    def changed(self) -> bool:
        now = self._signature()
        if now == self._taken:
            self._moving = now
            return False
        if now != self._moving:
            self._moving = now
            return False  # it may still be written to: looked at again next time
        before, self._taken, self._digest = self._digest, now, self._content()
        return self._digest != before

    def _signature(self) -> Signature:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _content(self) -> bytes | None:
        try:
            return hashlib.sha256(self._path.read_bytes()).digest()
        except OSError:
            return None


class Reloader:
    """A part of the daemon. `apply` builds everything anew, swaps it in whole, and says what needs a restart."""

    def __init__(
        self,
        *,
        apply: Callable[[], Awaitable[Sequence[str]]],
        watch: FileWatch,
        faults: Faults,
        store: Store,
        clock: Clock,
        notify: SdNotify,
        told: Callable[[], None],
    ) -> None:
        self._apply, self._watch, self._faults, self._store = apply, watch, faults, store
        self._clock, self._notify, self._told = clock, notify, told
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def ask(self) -> None:
        """Reload as soon as possible: a signal came."""
        self._wanted.set()

    async def start(self) -> None:
        """Look at the files from now on. A new process has read everything: nothing needs a restart."""
        await self._store.write(lambda tx: tx.set_meta(RESTART_NEEDED, "[]"))
        self._tasks = [asyncio.create_task(self._serve()), asyncio.create_task(self._poll())]

    async def stop(self) -> None:
        """Reload no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reload(self) -> bool:
        """Read and apply the configuration; False, and a fault told, when the old one stays in force."""
        self._notify.reloading(self._clock.monotonic())
        try:
            await asyncio.to_thread(self._watch.take)
            waits = await self._apply()
            await self._store.write(lambda tx: tx.set_meta(RESTART_NEEDED, json.dumps(list(waits))))
        except ConfigError as error:
            self._failed(str(error))
        except StoreError as error:
            self._failed(f"the store could not do it: {error}")
        except Exception as error:
            log.exception("config.reload_crashed")
            self._failed(type(error).__name__)
        else:
            log.info("config.reloaded", restart_needed=list(waits))
            if waits:
                log.warning("config.restart_needed", settings=list(waits))
            self._faults.over(_FAULT, "")
            return True
        finally:
            self._notify.ready()
            self._told()
        return False

    def _failed(self, why: str) -> None:
        log.error("config.reload_failed", reason=why)
        self._faults.report(_FAULT, "", why)

    async def _serve(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.reload()

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(POLL)
            if await asyncio.to_thread(self._watch.changed):
                self.ask()
