"""From the one SVG drawing to a PNG, for mail and chat: in a process of its own, with a font of our own.

The renderer holds the interpreter lock while it draws, so even in a thread it would stop the event loop; and a process
can be ended when it hangs. System fonts are not looked at: a slim image has none, and then all text would be missing
without an error.
"""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

from watcher.service.errors import WatcherError

WORKER = Path(__file__).with_name("picture_worker.py")
PNG = b"\x89PNG\r\n\x1a\n"

_WIDTH = 800
_SHARP = 1200
"""For a message, where a phone shows it on a fine screen and people zoom in."""
_TIMEOUT = 10.0
_REASON = 200


class PictureError(WatcherError):
    """No picture could be drawn, or not in time: send the message without it."""


def render_png(svg: str, *, width: int = _WIDTH, timeout: float = _TIMEOUT) -> bytes:
    """The drawing as PNG, so many pixels wide. Blocks; see `picture` for the event loop.

    Raises:
        PictureError: it can't be drawn, or took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            _command(width), input=_encoded(svg), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise _late(timeout) from exc
    except OSError as exc:
        raise PictureError(f"the renderer could not be started: {exc.strerror}") from exc
    return _checked(done.returncode, done.stdout, done.stderr)


async def picture(svg: str, *, width: int = _SHARP, timeout: float = _TIMEOUT) -> bytes:  # noqa: ASYNC109 - ends the process too
    """The drawing as PNG, while the event loop goes on.

    Raises:
        PictureError: it can't be drawn, or took longer than `timeout` seconds.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*_command(width), stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as exc:
        raise PictureError(f"the renderer could not be started: {exc.strerror}") from exc
    try:
        async with asyncio.timeout(timeout):
            png, reason = await process.communicate(_encoded(svg))
    except TimeoutError as exc:
        raise _late(timeout) from exc
    finally:
        await _end(process)
    return _checked(process.returncode, png, reason)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nobody waits for it any more, whether it was late or its caller was cancelled."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _command(width: int) -> list[str]:
    # -P: a file in the working directory must not pass for the renderer.
    return [sys.executable, "-P", str(WORKER), str(width)]


def _encoded(svg: str) -> bytes:
    return svg.encode(errors="replace")


def _checked(code: int | None, png: bytes, reason: bytes) -> bytes:
    if code == 0 and png.startswith(PNG):
        return png
    said = reason.decode(errors="replace").strip()[-_REASON:]
    raise PictureError(f"the picture could not be drawn: {said or f'the renderer ended with {code}'}")


def _late(timeout: float) -> PictureError:
    return PictureError(f"the picture took longer than {timeout:g} s")
