"""Ears on everything through which this process and those that it starts say something; `tests/leaks.py` searches it.

On for the whole run, whatever a test does with what it gets: what `capsys` and `capfd` hand over, the output of
processes, answers of servers in this process as they leave it, and of others as a client reads them. And on every way
by which the program is given a secret.
"""

import functools
import inspect
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpcore  # noqa: F401 - httpx imports it late; were that within an inner run of pytest, it would be forgotten again
import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from tests.leaks import Ear, given, heard
from watcher.providers.heartbeat import HttpHeartbeat
from watcher.providers.together import TogetherProvider
from watcher.web.session import Sessions

SECRETS = (
    (SecretStr, "secret_value"),
    (HttpHeartbeat, "url"),
    (TogetherProvider, "api_key"),
    (Sessions, "token"),
)
"""What is made with a secret, and the argument that holds it. Addresses are asked of settings alone: the tokens of
services, with which tests make targets, have forms that the word has not."""
Wrapped = Callable[..., Any]


def listen() -> None:
    """From now on; a second time changes nothing."""
    _put_on(pytest.CaptureFixture, "readouterr", _taken)
    _put_on(subprocess.Popen, "communicate", _communicated)
    _put_on(Starlette, "__call__", _served)
    _put_on(httpx.Client, "send", _answered)
    _put_on(httpx.Response, "iter_bytes", _read)
    for made, argument in SECRETS:
        _put_on(made, "__init__", functools.partial(_given, made.__name__, argument))


def _put_on(owner: type[Any], name: str, listening: Callable[[Wrapped], Wrapped]) -> None:
    method = getattr(owner, name)
    if not hasattr(method, "listens"):
        wrapped = functools.wraps(method)(listening(method))
        wrapped.listens = True  # type: ignore[attr-defined]
        setattr(owner, name, wrapped)


def _taken(method: Wrapped) -> Wrapped:
    def readouterr(capture: Any) -> Any:
        taken = method(capture)
        for name, text in zip(taken._fields, taken, strict=True):
            heard(f"what was taken from std{name}", text)
        return taken

    return readouterr


def _communicated(method: Wrapped) -> Wrapped:
    def communicate(process: Any, *args: Any, **kwargs: Any) -> Any:
        said = method(process, *args, **kwargs)
        for text in said:
            heard("what a process printed", text or "")
        return said

    return communicate


def _served(method: Wrapped) -> Wrapped:
    async def call(app: Any, scope: Any, receive: Any, send: Any) -> None:
        ear = Ear(f"the answer to {scope.get('path')}")

        async def sending(message: Any) -> None:
            ear.hear(message.get("body", b"") or repr(message.get("headers")))
            await send(message)

        await method(app, scope, receive, sending)

    return call


def _answered(method: Wrapped) -> Wrapped:
    def send(client: Any, request: Any, **kwargs: Any) -> Any:
        answer = method(client, request, **kwargs)
        heard(f"the head of the answer to {request.url.path}", str(answer.headers.raw))
        return answer

    return send


def _read(method: Wrapped) -> Wrapped:
    def iter_bytes(answer: Any, chunk_size: int | None = None) -> Iterator[bytes]:
        ear = Ear("an answer")
        for piece in method(answer, chunk_size):
            ear.hear(piece)
            yield piece

    return iter_bytes


def _given(made: str, argument: str, method: Wrapped) -> Wrapped:
    signature = inspect.signature(method)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        secret = signature.bind(self, *args, **kwargs).arguments.get(argument, "")
        if isinstance(secret, str):
            given(f"{argument} of a {made}", secret)
        method(self, *args, **kwargs)

    return init
