"""From the one SVG drawing to a PNG, for mail and chat: in a process of its own, with a font of our own.

The renderer holds the interpreter lock while it draws, so even in a thread it would stop the event loop; and a process
can be ended when it hangs. Where many pictures are drawn, a process draws several: to start one takes as long as half a
picture. System fonts are not looked at: a slim image has none, and then all text would be missing without an error.
"""

import asyncio
import contextlib
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import cast

from watcher.service.errors import WatcherError

WORKER = Path(__file__).with_name("picture_worker.py")
PNG = b"\x89PNG\r\n\x1a\n"

_WIDTH = 800
_SHARP = 1200
"""For a message, where a phone shows it on a fine screen and people zoom in."""
_TIMEOUT = 10.0
_IDLE = 5.0
"""Seconds for which a process waits for another picture: a sweep's are asked for within a second or two."""
_REASON = 200
_LENGTH = 4


class PictureError(WatcherError):
    """No picture could be drawn, or not in time: send the message without it."""


def render_png(svg: str, *, width: int = _WIDTH, timeout: float = _TIMEOUT) -> bytes:
    """The drawing as PNG, so many pixels wide. Blocks; see `Renderer` for the event loop.

    Raises:
        PictureError: it can't be drawn, or took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            _command(width), input=_question(svg), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise _late(timeout) from exc
    except OSError as exc:
        raise PictureError(f"the renderer could not be started: {exc.strerror}") from exc
    if len(done.stdout) <= _LENGTH:
        raise _broken(done.returncode, done.stderr)
    return _checked(done.stdout[0], done.stdout[1 + _LENGTH :])


class Renderer:
    """Draws while the event loop goes on. Its processes stay up for a while, and end with it at the latest."""

    def __init__(self, *, width: int = _SHARP, timeout: float = _TIMEOUT, idle: float = _IDLE) -> None:
        self._width, self._timeout, self._idle = width, timeout, idle
        self._free: list[Process] = []
        self._retiring: asyncio.TimerHandle | None = None
        self._ending = set[asyncio.Task[None]]()

    async def __call__(self, svg: str) -> bytes:
        """The drawing as PNG.

        Raises:
            PictureError: it can't be drawn, or took longer than `timeout` seconds.
        """
        process = await self._process()
        try:
            async with asyncio.timeout(self._timeout):
                failed, answer = await _ask(process, svg)
        except BaseException as exc:  # late, dead, or its caller was cancelled: nobody knows what it will say next
            await _end(process)
            if isinstance(exc, TimeoutError):
                raise _late(self._timeout) from exc
            raise
        self._keep(process)
        return _checked(failed, answer)

    async def aclose(self) -> None:
        """Ends the processes. One that draws is ended by whoever waits for it."""
        self._retire()
        while self._ending:
            await asyncio.wait(self._ending)

    async def _process(self) -> Process:
        while self._free:
            process = self._free.pop()
            if process.returncode is None:
                return process
        pipe = asyncio.subprocess.PIPE
        try:
            return await asyncio.create_subprocess_exec(*_command(self._width), stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as exc:
            raise PictureError(f"the renderer could not be started: {exc.strerror}") from exc

    def _keep(self, process: Process) -> None:
        self._free.append(process)
        if self._retiring is not None:
            self._retiring.cancel()
        self._retiring = asyncio.get_running_loop().call_later(self._idle, self._retire)

    def _retire(self) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
        free, self._free = self._free, []
        for process in free:
            ending = asyncio.ensure_future(_end(process))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


async def _ask(process: Process, svg: str) -> tuple[int, bytes]:
    """Whether it failed, and the picture or the reason.

    Raises:
        PictureError: the process has ended.
    """
    into, out = cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout)
    try:
        into.write(_question(svg))
        await into.drain()
        failed, *length = await out.readexactly(1 + _LENGTH)
        return failed, await out.readexactly(int.from_bytes(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        _, said = await process.communicate()
        raise _broken(process.returncode, said) from None


async def _end(process: Process) -> None:
    """Nobody waits for it any more, whether it was late or is not needed."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.communicate()  # also lets go of its pipes


def _command(width: int) -> list[str]:
    # -P: a file in the working directory must not pass for the renderer.
    return [sys.executable, "-P", str(WORKER), str(width)]


def _question(svg: str) -> bytes:
    encoded = svg.encode(errors="replace")
    return len(encoded).to_bytes(_LENGTH) + encoded


def _checked(failed: int, answer: bytes) -> bytes:
    if not failed and answer.startswith(PNG):
        return answer
    raise _refused(answer)


def _refused(reason: bytes) -> PictureError:
    return PictureError(f"the picture could not be drawn: {reason.decode(errors='replace').strip()[-_REASON:]}")


def _broken(code: int | None, said: bytes) -> PictureError:
    return _refused(said or f"the renderer ended with {code}".encode())


def _late(timeout: float) -> PictureError:
    return PictureError(f"the picture took longer than {timeout:g} s")
