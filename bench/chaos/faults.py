"""The ways in which an answer is broken on its way, from a lost one to one that never ends."""

import functools
import gzip
import json
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from typing import Any


class Fault(StrEnum):
    """What happens to an answer."""

    DROPPED = "dropped"  #: the connection ends without a word
    RESET = "reset"  #: and is reset
    DELAYED = "delayed"  #: up to a second
    STALLED = "stalled"  #: longer than the daemon waits
    CUT = "cut"  #: half of the body
    CUT_GOOD = "cut to less JSON"  #: whole by its length, but the text ends amid the JSON
    DUPLICATED = "duplicated"  #: the same answer twice on the connection
    REPEATED = "entries repeated"  #: every entry of the list twice
    REORDERED = "re-ordered"  #: the entries in another order
    STALE = "stale"  #: the answer to the same question of before
    EMPTY = "empty object"
    NOTHING = "no body"
    WRONG_LIST = "wrongly typed list"  #: the list is a number, a text or an object
    WRONG_ENTRIES = "wrongly typed entries"  #: some entries are no objects
    WRONG_WORDS = "wrongly typed words"  #: status, ids and times of some entries are lists, objects, numbers
    NOT_JSON = "not JSON"
    HTML = "a page in HTML"
    NOT_TEXT = "no UTF-8"
    NESTED = "deeply nested"
    HUGE = "huge"  #: more than the daemon reads
    HUGE_NUMBER = "huge number"
    BOMB = "packed bomb"  #: a few kilobytes that unpack to hundreds of megabytes
    DRIPPING = "dripping"  #: a byte now and then
    ENDLESS = "endless"  #: a body that goes on as long as somebody reads it
    ENDLESS_HEAD = "endless head"
    NO_HTTP = "not HTTP"
    WRONG_LENGTH = "wrong length"  #: the body is longer than the head says
    REDIRECT = "redirect elsewhere"
    RATE_LIMITED = "rate limited"
    BAD_GATEWAY = "bad gateway"
    ECHO = "error that repeats the key"


BROKEN_ON_THE_WAY = frozenset(
    {Fault.DROPPED, Fault.RESET, Fault.DELAYED, Fault.CUT, Fault.NOT_JSON, Fault.HTML, Fault.BAD_GATEWAY, Fault.ECHO}
)
"""Those of them that a request which changes something meets."""
PATIENCE = 3.0
"""Seconds that the daemon is told to wait for an answer; what never ends goes on a little longer."""
_HUGE = 40 * 2**20
_DEEP = 200_000


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    kind: str = "application/json"


Handler = BaseHTTPRequestHandler
_before: dict[str, Answer] = {}
"""The last answer to each question, for `STALE`."""


def write(handler: Handler, answer: Answer, **headers: str) -> None:
    """Send it as it is."""
    handler.send_response(answer.status)
    handler.send_header("Content-Type", answer.kind)
    handler.send_header("Content-Length", str(len(answer.body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(answer.body)
    handler.wfile.flush()


def broken(handler: Handler, fault: Fault, true: Answer, dice: random.Random, key: str) -> None:
    """Send something else than the true answer, or that in another way."""
    stale = _before.get(handler.path, true)
    _before[handler.path] = true
    if fault is Fault.STALE:
        write(handler, stale)
    elif fault in _SENDERS:
        _SENDERS[fault](handler, true, dice, key)
        handler.close_connection = True
    elif fault in _BODIES:
        write(handler, Answer(true.status, _BODIES[fault](true.body, dice), true.kind))
    else:
        status, body, headers = _OTHERS[fault]
        write(handler, Answer(status, body.replace(b"KEY", key.encode())), **headers)


# --- on the connection ---


def _reset(handler: Handler, *_: object) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _delayed(handler: Handler, true: Answer, dice: random.Random, _key: str) -> None:
    time.sleep(dice.uniform(0.05, 1.0))
    write(handler, true)


def _stalled(_handler: Handler, *_: object) -> None:
    time.sleep(PATIENCE + 0.5)


def _head(handler: Handler, status: int, length: int | None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.send_header("Connection", "close")
    handler.end_headers()


def _cut(handler: Handler, true: Answer, *_: object) -> None:
    _head(handler, true.status, len(true.body))
    handler.wfile.write(true.body[: len(true.body) // 2])


def _duplicated(handler: Handler, true: Answer, *_: object) -> None:
    write(handler, true)
    write(handler, true)


def _dripping(handler: Handler, true: Answer, *_: object) -> None:
    _head(handler, true.status, len(true.body))
    _go_on(lambda at: handler.wfile.write(true.body[at : at + 1]), 0.2)


def _endless(handler: Handler, *_: object) -> None:
    _head(handler, 200, None)
    handler.wfile.write(b'{"data": [')
    _go_on(lambda _: handler.wfile.write(b'{"id": "ft-0"},' * 4096), 0.0)


def _endless_head(handler: Handler, *_: object) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _go_on(lambda at: handler.wfile.write(b"X-More-%d: %s\r\n" % (at, b"x" * 1000)), 0.001)


def _go_on(work: Callable[[int], object], pause: float) -> None:
    until, at = time.monotonic() + PATIENCE + 0.5, 0
    while time.monotonic() < until:
        work(at)
        time.sleep(pause)
        at += 1


def _no_http(handler: Handler, *_: object) -> None:
    handler.wfile.write(b"\x16\x03\x01 what is this? \x00\xff\r\n\r\n")


def _wrong_length(handler: Handler, true: Answer, *_: object) -> None:
    _head(handler, true.status, max(0, len(true.body) - 7))
    handler.wfile.write(true.body)


def _redirect(handler: Handler, *_: object) -> None:
    """To another host, which is this one under another name."""
    handler.send_response(307)
    handler.send_header("Location", f"http://localhost:{handler.server.server_address[1]}/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@functools.cache
def _packed() -> bytes:
    return gzip.compress(b" " * (256 * 2**20), 1)


def _bomb(handler: Handler, *_: object) -> None:
    handler.send_response(200)
    body = _packed()
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _huge(handler: Handler, *_: object) -> None:
    _head(handler, 200, _HUGE)
    for _chunk in range(_HUGE // 2**20):
        handler.wfile.write(b" " * 2**20)


_SENDERS: dict[Fault, Callable[[Handler, Answer, random.Random, str], None]] = {
    Fault.DROPPED: lambda *_: None,
    Fault.RESET: _reset,
    Fault.DELAYED: _delayed,
    Fault.STALLED: _stalled,
    Fault.CUT: _cut,
    Fault.DUPLICATED: _duplicated,
    Fault.DRIPPING: _dripping,
    Fault.ENDLESS: _endless,
    Fault.ENDLESS_HEAD: _endless_head,
    Fault.NO_HTTP: _no_http,
    Fault.WRONG_LENGTH: _wrong_length,
    Fault.BOMB: _bomb,
    Fault.HUGE: _huge,
    Fault.REDIRECT: _redirect,
}


# --- in the body ---


def _with_list(change: Callable[[list[Any], random.Random], object]) -> Callable[[bytes, random.Random], bytes]:
    """Changes every list of entries that stands under a key of the object."""

    def work(body: bytes, dice: random.Random) -> bytes:
        found = json.loads(body)
        for name, value in found.items() if isinstance(found, dict) else ():
            if isinstance(value, list):
                found[name] = change(value, dice)
        return json.dumps(found).encode()

    return work


def _wrong_entries(entries: list[Any], dice: random.Random) -> list[Any]:
    wrong = [None, 7, "text", [[]], True]
    return [dice.choice(wrong) if dice.random() < 0.3 else entry for entry in entries]


def _wrong_words(entries: list[Any], dice: random.Random) -> list[Any]:
    wrong = [[], {}, 7, [{"a": 1}], "", "\x00\u202e<b>", "x" * 5000, -1, 1e300]
    words = ("status", "id", "created_at", "type", "level", "updated_at", "started_at", "model")
    for entry in entries:
        named = [word for word in words if isinstance(entry, dict) and word in entry]
        if named and dice.random() < 0.5:
            entry[dice.choice(named)] = dice.choice(wrong)
    return entries


_BODIES: dict[Fault, Callable[[bytes, random.Random], bytes]] = {
    Fault.CUT_GOOD: lambda body, _: body[: len(body) * 2 // 3],
    Fault.REPEATED: _with_list(lambda entries, _: [entry for entry in entries for _again in range(2)]),
    Fault.REORDERED: _with_list(lambda entries, dice: dice.sample(entries, len(entries))),
    Fault.WRONG_LIST: _with_list(lambda _, dice: dice.choice([5, "text", {"0": {}}, True])),
    Fault.WRONG_ENTRIES: _with_list(_wrong_entries),
    Fault.WRONG_WORDS: _with_list(_wrong_words),
}
_OTHERS: dict[Fault, tuple[int, bytes, dict[str, str]]] = {
    Fault.EMPTY: (200, b"{}", {}),
    Fault.NOTHING: (200, b"", {}),
    Fault.NOT_JSON: (200, b"no JSON at all", {}),
    Fault.HTML: (200, b"<!doctype html><title>Just a moment</title>", {}),
    Fault.NOT_TEXT: (200, b'{"data": "\xff\xfe\xed\xa0\x80"}', {}),
    Fault.NESTED: (200, b"[" * _DEEP + b"]" * _DEEP, {}),
    Fault.HUGE_NUMBER: (200, b'{"data": ' + b"9" * 100_000 + b"}", {}),
    Fault.RATE_LIMITED: (429, b'{"error": {"message": "slow down"}}', {"Retry_After": "1"}),
    Fault.BAD_GATEWAY: (502, b"bad gateway", {}),
    Fault.ECHO: (500, b'{"error": {"message": "KEY is not welcome here"}}', {}),
}
