"""One blocking send at a time, off the event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from watcher.service.errors import DeliveryError, FailureReason

T = TypeVar("T")


class Lane:
    """Runs blocking work in order, each piece in a thread that never keeps the process alive.

    A hanging send holds only its own lane. A thread can't be stopped: whoever cancels `run` leaves the work running,
    to an end that nobody hears of. So the outcome is then unknown, and the work may well have been done; the lane stays
    taken until it returns, and work given to it meanwhile waits.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._turn = threading.Lock()
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, whenever that is: there is no time limit but those inside the work.

        Raises:
            DeliveryError: the lane is closed, or no thread could be started; the work was not begun.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(target=self._perform, args=(work, loop, done), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            raise DeliveryError(FailureReason.NETWORK, f"{self._name}: no thread for it") from exc
        return await done

    def close(self) -> None:
        """Begins nothing more. Work under way ends by itself, or with the process; nothing is waited for."""
        self._closed = True

    def _perform(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[T]) -> None:
        def settle(call: Callable[[], None]) -> None:
            try:
                loop.call_soon_threadsafe(lambda: None if done.done() else call())
            except RuntimeError:
                return  # the loop is gone, and with it whoever asked

        with self._turn:
            try:
                self._check_open()
                result = work()
            except Exception as exc:  # noqa: BLE001 - handed to the caller
                error = exc
                settle(lambda: done.set_exception(error))
            else:
                settle(lambda: done.set_result(result))

    def _check_open(self) -> None:
        if self._closed:
            raise DeliveryError(FailureReason.NETWORK, f"{self._name}: closed before sending")
