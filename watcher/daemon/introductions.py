"""At the start each account is asked whose key it has, beside the first sweep, which does not wait for it."""

import asyncio
from collections.abc import Mapping

from watcher.service.introduce import introduce
from watcher.service.ports import Provider, Store


class Introductions:
    """A part of the daemon that is done after one question to each account."""

    def __init__(self, providers: Mapping[str, Provider], store: Store) -> None:
        self._providers, self._store = providers, store
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Ask, and don't wait for the answers."""
        self._tasks = [
            asyncio.create_task(introduce(name, provider, self._store)) for name, provider in self._providers.items()
        ]

    async def stop(self) -> None:
        """Whoever has not answered by now is not waited for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
