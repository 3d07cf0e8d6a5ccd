"""PNGs by the renderer's own process."""

import asyncio
import struct
import sys
import zlib
from contextlib import aclosing
from pathlib import Path

import pytest

from watcher.domain.chart import HEIGHT, WIDTH, Chart, draw
from watcher.notify import picture as module
from watcher.notify.picture import PNG, PictureError, Renderer, render_png

TITLED = draw(Chart(title="support_bot_v3", train=[(1, 2.0), (2, 1.0)]))
UNTITLED = TITLED.replace(">support_bot_v3<", "><")
HANGING = "import time; time.sleep(60)"


def size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def pixels(png: bytes) -> bytes:
    """The filtered pixel data: the same for the same picture."""
    data, at = b"", len(PNG)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return zlib.decompress(data)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A renderer that never ends."""
    worker = tmp_path / "worker.py"
    worker.write_text(HANGING)
    monkeypatch.setattr(module, "WORKER", worker)


def test_is_a_png_of_the_size_of_the_drawing() -> None:
    png = render_png(TITLED)

    assert png.startswith(PNG)
    assert size(png) == (WIDTH, HEIGHT)


def test_can_be_drawn_larger() -> None:
    assert size(render_png(TITLED, width=2 * WIDTH)) == (2 * WIDTH, 2 * HEIGHT)


def test_text_is_really_drawn() -> None:
    assert pixels(render_png(TITLED)) != pixels(render_png(UNTITLED))


def test_needs_no_font_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = render_png(TITLED)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS", "XDG_CONFIG_HOME", "FONTCONFIG_PATH", "FONTCONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path))

    assert render_png(TITLED) == here


def test_a_missing_font_is_an_error_and_no_silent_picture_without_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker = tmp_path / "picture_worker.py"
    worker.write_bytes(module.WORKER.read_bytes())
    monkeypatch.setattr(module, "WORKER", worker)

    with pytest.raises(PictureError, match="font is missing"):
        render_png(TITLED)


@pytest.mark.parametrize("broken", ["", "<svg", "no drawing", "\ud800"])
def test_what_is_no_drawing_is_an_error(broken: str) -> None:
    with pytest.raises(PictureError, match="could not be drawn"):
        render_png(broken)


@pytest.mark.usefixtures("hanging")
def test_a_renderer_that_hangs_is_ended() -> None:
    with pytest.raises(PictureError, match=r"longer than 0\.1 s"):
        render_png(TITLED, timeout=0.1)


def test_a_renderer_that_can_not_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(PictureError, match="could not be started"):
        render_png(TITLED)


# --- beside an event loop ---


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.subprocess.Process]:
    """The processes that were started."""
    found: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def noting(*args: str, **kwargs: int) -> asyncio.subprocess.Process:
        found.append(await create(*args, stdin=kwargs["stdin"], stdout=kwargs["stdout"], stderr=kwargs["stderr"]))
        return found[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noting)
    return found


async def until(started: list[asyncio.subprocess.Process], drawing: asyncio.Task[bytes]) -> None:
    while not started:
        await asyncio.wait({drawing}, timeout=0.001)


async def drawn(svg: str, **how: float) -> bytes:
    """By a renderer of its own."""
    async with aclosing(Renderer(**how)) as renderer:  # type: ignore[arg-type]
        return await renderer(svg)


async def test_the_event_loop_goes_on_meanwhile() -> None:
    drawing = asyncio.create_task(drawn(TITLED))
    turns = 0
    while not drawing.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert size(await drawing) == (WIDTH * 3 // 2, HEIGHT * 3 // 2)
    assert turns > 10


async def test_a_drawing_that_is_none_is_an_error_and_the_process_goes_on(
    started: list[asyncio.subprocess.Process],
) -> None:
    async with aclosing(Renderer()) as renderer:
        for broken in ("<svg", "", "\ud800"):
            with pytest.raises(PictureError, match="could not be drawn"):
                await renderer(broken)
        again = await renderer(TITLED)

    assert pixels(again) == pixels(await drawn(TITLED))
    assert len(started) == 2


async def test_a_process_draws_one_picture_after_another_and_two_at_once_need_two(
    started: list[asyncio.subprocess.Process],
) -> None:
    async with aclosing(Renderer()) as renderer:
        first, second = await renderer(TITLED), await renderer(UNTITLED)
        alone = len(started)
        both = await asyncio.gather(renderer(TITLED), renderer(UNTITLED))

    assert pixels(first) != pixels(second)
    assert list(both) == [first, second]
    assert (alone, len(started)) == (1, 2)
    assert [process.returncode for process in started] == [-9, -9]


async def test_a_process_ends_when_no_picture_was_asked_for_a_while(
    started: list[asyncio.subprocess.Process],
) -> None:
    async with aclosing(Renderer(idle=0)) as renderer:
        await renderer(TITLED)
        await started[0].wait()
        await renderer(TITLED)

    assert len(started) == 2


async def test_a_process_that_was_killed_is_replaced(started: list[asyncio.subprocess.Process]) -> None:
    async with aclosing(Renderer()) as renderer:
        await renderer(TITLED)
        started[0].kill()
        await started[0].wait()
        assert (await renderer(TITLED)).startswith(PNG)

    assert len(started) == 2


async def test_a_process_that_dies_over_a_picture_is_an_error(started: list[asyncio.subprocess.Process]) -> None:
    async with aclosing(Renderer()) as renderer:
        drawing = asyncio.create_task(renderer(TITLED))
        await until(started, drawing)
        started[0].kill()
        with pytest.raises(PictureError, match="ended with -9"):
            await drawing


@pytest.mark.usefixtures("hanging")
async def test_a_hanging_renderer_is_ended_in_time(started: list[asyncio.subprocess.Process]) -> None:
    with pytest.raises(PictureError, match=r"longer than 0\.1 s"):
        await drawn(TITLED, timeout=0.1)

    assert [process.returncode for process in started] == [-9]


@pytest.mark.usefixtures("hanging")
async def test_a_cancelled_caller_leaves_no_process(started: list[asyncio.subprocess.Process]) -> None:
    drawing = asyncio.create_task(drawn(TITLED))
    await until(started, drawing)
    drawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing

    assert [process.returncode for process in started] == [-9]


async def test_a_missing_font_is_an_error_here_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = tmp_path / "picture_worker.py"
    worker.write_bytes(module.WORKER.read_bytes())
    monkeypatch.setattr(module, "WORKER", worker)

    with pytest.raises(PictureError, match="font is missing"):
        await drawn(TITLED)
