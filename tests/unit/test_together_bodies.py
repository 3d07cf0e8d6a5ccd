"""Bodies of answers: what the daemon holds of them at once, whatever they are."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from watcher.providers.together.bodies import AnswerTooLargeError, Bodies, decoded
from watcher.service.errors import ProviderError

MB = 1024 * 1024


class Slow(httpx.AsyncByteStream):
    """Gives a chunk each time that somebody lets it; `taken` is how many were asked for."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks, self.taken, self._go = chunks, 0, asyncio.Semaphore(0)

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self._go.release()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await self._go.acquire()
            self.taken += 1
            yield chunk


def answer(*chunks: bytes, packing: str = "") -> httpx.Response:
    stream = Slow(*chunks)
    stream.let(len(chunks))
    return httpx.Response(200, headers={"content-encoding": packing} if packing else {}, stream=stream)


def _over(stream: Slow) -> httpx.Response:
    return httpx.Response(200, stream=stream)


async def read(response: httpx.Response, most: int = 4 * MB) -> bytearray:
    return await Bodies(most).read("x", response, effect=False)


async def calm() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_of_large_bodies_one_is_read_at_a_time_and_small_ones_pass() -> None:
    bodies, half = Bodies(8 * MB), b" " * (3 * MB // 4)
    first, second = Slow(half, half, half), Slow(half, half, half)
    tasks = [
        asyncio.create_task(bodies.read("x", httpx.Response(200, stream=s), effect=False)) for s in (first, second)
    ]
    for stream in (first, second):
        stream.let(2)
        await calm()
    second.let()
    await calm()

    assert (first.taken, second.taken) == (2, 2)
    assert await bodies.read("x", answer(b"{}"), effect=False) == b"{}"

    first.let()
    assert [len(body) for body in await asyncio.gather(*tasks)] == [9 * MB // 4] * 2


async def test_a_large_body_that_fails_lets_the_next_one_in() -> None:
    bodies, part = Bodies(2 * MB), b" " * (3 * MB // 2)
    for _ in range(3):
        with pytest.raises(AnswerTooLargeError):
            await bodies.read("x", answer(part, part), effect=False)
    hanging = Slow(part, part)
    hanging.let()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bodies.read("x", _over(hanging), effect=False)

    assert len(await bodies.read("x", answer(part), effect=False)) == len(part)


@pytest.mark.parametrize("cut", [1, 1000, 10**9], ids=["byte by byte", "in chunks", "at once"])
@pytest.mark.parametrize("size", [0, 1, MB - 1, MB, MB + 1, 3 * MB])
async def test_what_was_packed_comes_out_whole(size: int, cut: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    for packing, packed in (("gzip", gzip.compress(content, 1)), ("deflate", zlib.compress(content, 1))):
        chunks = [packed[i : i + cut] for i in range(0, len(packed), cut)] if len(packed) / cut < 5000 else [packed]

        assert await read(answer(*chunks, packing=packing)) == content


async def test_a_bomb_is_unpacked_piece_by_piece() -> None:
    bomb = gzip.compress(b" " * (64 * MB), 1)
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLargeError):
            await read(answer(bomb, packing="gzip"), most=2 * MB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 * MB


@pytest.mark.parametrize(("entry", "count"), [("{}", 1), ("[]", 2), ("1.5", 5), ('{"a":0}', 1)])
def test_many_small_values_are_not_made(entry: str, count: int) -> None:
    """Each takes tens of bytes where its text has three: 31 MB of them took a gigabyte."""
    body = bytearray(f'{{"data":[{",".join([entry] * (count * MB))}]}}'.encode())
    with pytest.raises(AnswerTooLargeError):
        decoded("x", httpx.Response(200), body, effect=False)


def test_as_many_real_rows_are_read() -> None:
    row = (
        b'{"timestamp":1779196193564587000,"train/global_step":12345,"train/epoch":1.25,"train/loss":2.4312,'
        b'"train/grad_norm":1.213,"train/learning_rate":1e-05}'
    )
    body = bytearray(b'{"metrics":[' + b",".join([row] * (4 * MB // len(row))) + b"]}")
    found: Any = decoded("x", httpx.Response(200), body, effect=False)

    assert len(found["metrics"]) == 4 * MB // len(row)


@pytest.mark.parametrize("text", [b"[1, 2]", b"no JSON", b'"text"'])
def test_nothing_of_a_body_is_kept_in_what_is_raised(text: bytes) -> None:
    body = bytearray(text)
    with pytest.raises(ProviderError) as raised:
        decoded("x", httpx.Response(200), body, effect=False)

    assert raised.value.__context__ is None
    assert not body
