"""A receiver that can be down, refuse, or lose its answer, and remembers what it took."""

import json
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.chaos import points
from bench.chaos.points import Points
from tests.receivers import free_port


class Mood(StrEnum):
    UP = "up"
    REFUSES = "refuses"  #: 503, with its own address in the answer
    MUTE = "mute"  #: takes the message, and the connection ends without an answer


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the receiver took; `at` by the monotonic clock. Of one that was `answered` the sender knows."""

    at: float
    title: str
    body: str
    answered: bool

    @property
    def key(self) -> str:
        return self.body.rstrip().splitlines()[-1].removeprefix("id: ")


class Receiver:
    """An endpoint of Apprise's json://, on one port for its whole life."""

    def __init__(self, seen: Points, secret: str) -> None:
        self.taken: list[Taken] = []
        self.refused = 0
        self.mood = Mood.UP
        self.port = free_port()
        self.url = f"json://127.0.0.1:{self.port}/{secret}"
        self._points, self._secret = seen, secret
        self._server: ThreadingHTTPServer | None = None
        self.up()

    def up(self) -> None:
        """Listen."""
        self.mood = Mood.UP
        if self._server is None:
            self._server = _Server(("127.0.0.1", self.port), self._handler())
            serve = self._server.serve_forever
            threading.Thread(target=serve, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self) -> None:
        """Nobody listens."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, body: dict[str, Any]) -> bool:
        """Whether to answer."""
        self._points.hit(points.MESSAGE)
        answered = self.mood is not Mood.MUTE
        self.taken.append(Taken(time.monotonic(), body["title"], body["message"], answered))
        return answered

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.mood is Mood.REFUSES:
                    receiver.refused += 1
                    self._answer(503, f"no room at /{receiver._secret}".encode())
                elif receiver._take(body):
                    self._answer(200, b"ok")
                    receiver._points.hit(points.TAKEN)
                else:
                    self.close_connection = True

            def _answer(self, status: int, body: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:
                    self.close_connection = True  # the sender is dead

            def log_message(self, *_: object) -> None: ...

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
