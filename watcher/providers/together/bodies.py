"""The body of an answer, within bounds of memory whatever it is: read, unpacked, and made into values.

Eight answers of 31 MB at once took 390 MB as rows of metrics, and 1,170 MB as empty lists, most of it in values.
"""

import asyncio
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import httpx
from pydantic_core import from_json

from watcher.providers.together import failures
from watcher.service.errors import ProviderError

_SMALL = 1024 * 1024
"""Bytes up to which a body is read beside others; a poll's has some kilobytes, and a window of metrics 0.8 MB."""
_PIECE = 1024 * 1024
"""Bytes that are unpacked at once."""
_MOST_IN_VALUES = 160 * 1024 * 1024
"""Bytes that a body's values may take: 31 MB of real rows take 95 MB, of real jobs 80 MB."""
_OBJECT, _LIST, _VALUE = 200, 64, 40
"""Bytes that CPython 3.11 takes for a dict with a key, a list, and a value with what points at it."""
_EITHER = 32 + zlib.MAX_WBITS
"""For zlib: gzip or deflate, by the header of the stream (zlib.h, inflateInit2)."""


class Answer(Protocol):
    """What an exchange brought: httpx's has these too."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def stream(self) -> Any:  # noqa: ANN401 - pieces of the body as they came, by `async for`; httpx's says more
        ...


class AnswerTooLargeError(ProviderError):
    """The body is larger than what is read, or its values would be larger than what is held."""


class Bodies:
    """Reads the bodies of one account's answers, up to `most` bytes each. Of large ones it reads one at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._large = asyncio.Lock()

    async def read(self, call: str, answer: Answer, *, effect: bool) -> bytearray:
        """The unpacked body. Never more than the limit is unpacked: a few kilobytes can hold gigabytes.

        What is made of it before anything is awaited is made of one large body at a time, too.

        Raises:
            AnswerTooLargeError: it is not read further.
            httpx.DecodingError: it can't be unpacked.
        """
        body = bytearray()
        try:
            await self._fill(body, call, answer, effect=effect)
        except BaseException:
            body.clear()  # what is raised holds this frame, at times for long
            raise
        return body

    async def _fill(self, body: bytearray, call: str, answer: Answer, *, effect: bool) -> None:
        unpack, alone = _unpacker(answer), False
        try:
            async for chunk in answer.stream:
                for piece in unpack(chunk):
                    if len(body) + len(piece) > self._most:
                        raise _too_large(call, effect=effect)
                    body += piece
                    if not alone and len(body) > _SMALL:
                        alone = await self._large.acquire()
        finally:
            if alone:
                self._large.release()


def _too_large(call: str, *, effect: bool) -> AnswerTooLargeError:
    error = failures.of_payload(call, "the answer is too large", effect=effect)
    return AnswerTooLargeError(error.reason, str(error), maybe_done=effect)


def _unpacker(answer: Answer) -> Callable[[bytes], Iterable[bytes]]:
    """What makes of a chunk its content, piece by piece; httpx would unpack a chunk whole.

    Raises:
        httpx.DecodingError: it is packed in a way that was not asked for.
    """
    packing = answer.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        return lambda chunk: (chunk,)
    if packing not in ("gzip", "deflate"):
        raise httpx.DecodingError("an unknown content encoding")
    stream = zlib.decompressobj(_EITHER)

    def unpack(chunk: bytes) -> Iterator[bytes]:
        piece = chunk
        while chunk or len(piece) == _PIECE:  # a full piece may have left something behind
            try:
                piece = stream.decompress(chunk, _PIECE)
            except zlib.error as exc:
                raise httpx.DecodingError(str(exc)) from exc
            chunk = stream.unconsumed_tail
            yield piece

    return unpack


def decoded(call: str, answer: Answer, body: bytearray, *, effect: bool) -> Mapping[str, object]:
    """The object in a 2xx body, which is empty then. The edge in front of the API answers 200 with a page at times.

    Raises:
        AnswerTooLargeError: its values would take too much memory.
        ProviderError: it is a page, no JSON, or JSON of another shape.
    """
    # What is raised here may be kept for a while, and with it this frame: it must hold neither body nor values.
    try:
        if answer.headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml")):
            raise failures.of_payload(call, "the answer is a web page", effect=effect)
        if _heavy(body):
            raise _too_large(call, effect=effect)
        found = _object(body)
    finally:
        body.clear()
    if isinstance(found, str):
        raise failures.of_payload(call, found, effect=effect)
    return found


def _object(body: bytearray) -> dict[str, object] | str:
    """The object, or what the answer is not."""
    try:
        value = _parsed(body)
    except (ValueError, RecursionError):  # they hold the whole text
        return "the answer is not JSON"
    return value if isinstance(value, dict) else "the answer is not an object"


def _parsed(body: bytearray) -> object:
    """JSON with bare NaN and Infinity, as the API may write them.

    The fast parser refuses a whole list for half a surrogate pair or a wrong byte in one job's name; the slow one
    does not.
    """
    try:
        value: object = from_json(body, allow_inf_nan=True)
    except ValueError:
        value = json.loads(body.decode("utf-8-sig", "replace"))
    return value


def _heavy(body: bytearray) -> bool:
    """Whether the values of a large body would take too much, by its commas and brackets (25 ms for 31 MB)."""
    if len(body) <= _SMALL:
        return False
    values = _VALUE * body.count(b",") + _OBJECT * body.count(b"{") + _LIST * body.count(b"[")
    return values > _MOST_IN_VALUES
