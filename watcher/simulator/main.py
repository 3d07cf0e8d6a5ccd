"""The simulator as a process: reads the runs, listens, says so, and ends on SIGINT or SIGTERM."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import uvicorn
from starlette.types import ASGIApp

from watcher.simulator.app import build_api
from watcher.simulator.faults import Faults
from watcher.simulator.front import Front, RequestLog
from watcher.simulator.projects import Revocation
from watcher.simulator.runs import PACKAGED, RunFileError, read_runs
from watcher.simulator.script import Timing
from watcher.simulator.service import Clock, Service, steady_clock

OK, FAILED, BAD_INPUT = 0, 1, 2

_BACKLOG = 2048


def build_app(
    *,
    curves: Path | None = None,
    timing: Timing | None = None,
    faults: float = 0.0,
    seed: int = 0,
    revocations: Sequence[Revocation] = (),
    log: TextIO | None = None,
    clock: Clock | None = None,
) -> Front:
    """The application over the runs in `curves` (the packaged ones by default).

    Args:
        curves: a file in replay's format.
        timing: the pace; ten steps a second by default.
        faults: the share of requests that go wrong, 0 to 1.
        seed: makes the faults come out the same.
        revocations: whose keys are refused for a while.
        log: takes one JSON line a request.
        clock: gives Unix time in nanoseconds; tests hand in their own.

    Raises:
        ValueError: a curves file that cannot be read (`RunFileError`), or a share that is none.
    """
    runs = read_runs(curves or PACKAGED)
    service = Service(runs, timing or Timing(), clock or steady_clock(), revocations)
    request_log = None if log is None else RequestLog(log, service.now_ns)
    return Front(build_api(service), Faults(faults, seed), request_log)


def run_simulator(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    speed: float = 10.0,
    curves: Path | None = None,
    faults: float = 0.0,
    seed: int = 0,
    revoke: Sequence[str] = (),
    log: Path | None = None,
) -> int:
    """Serve until a signal comes; returns the exit code.

    Prints `listening on http://HOST:PORT/v1` on stdout as soon as requests are taken, and nothing else there. Port 0
    picks a free one. Training goes at `speed` steps a second. `revoke` names projects whose keys are refused for a
    while, as `PROJECT:START:LENGTH`, or single keys. `log` is appended to.
    """
    if speed <= 0:
        return _refuse(f"the speed is a number of steps a second above 0, not {speed}", BAD_INPUT)
    with contextlib.ExitStack() as stack:
        try:
            file = None if log is None else stack.enter_context(log.open("a", encoding="utf-8"))
            gone = [Revocation.parse(text) for text in revoke]
            timing = Timing(speed=speed)
            app = build_app(curves=curves, timing=timing, faults=faults, seed=seed, revocations=gone, log=file)
            listener = stack.enter_context(listen(host, port))
        except ValueError as exc:
            return _refuse(str(exc), BAD_INPUT)
        except OSError as exc:
            return _refuse(f"{exc.filename or f'{host}:{port}'}: {exc.strerror or exc}", FAILED)
        asyncio.run(_AnnouncedServer(app, f"http://{host}:{listener.getsockname()[1]}/v1").serve([listener]))
    return OK


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: from here on the kernel keeps requests, however soon they come."""
    listener = socket.create_server((host, port), backlog=_BACKLOG)
    # asyncio leaves Nagle's algorithm on for a socket that it did not make: 40 ms a request on a kept connection.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class QuietServer(uvicorn.Server):
    """A uvicorn server that logs nothing: broken answers are the purpose here."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )


class _AnnouncedServer(QuietServer):
    def __init__(self, app: ASGIApp, url: str) -> None:
        super().__init__(app)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"listening on {self._url}", flush=True)  # noqa: T201  # the contract of the command

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the two signals that end the simulation; uvicorn would raise them again, and the exit code be lost."""
        wanted = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _refuse(message: str, code: int) -> int:
    print(message, file=sys.stderr)  # noqa: T201  # a command's own complaint
    return code


__all__ = ["QuietServer", "RunFileError", "build_app", "listen", "run_simulator"]
