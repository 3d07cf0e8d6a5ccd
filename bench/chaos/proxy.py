"""What stands between the daemon and the API: passes everything on, or breaks it on the way, and remembers it."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from bench.chaos import points
from bench.chaos.faults import BROKEN_ON_THE_WAY, Answer, Fault, broken, write
from bench.chaos.points import Points


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it came by; `at` by the monotonic clock. `whole`: its true answer went out, and nothing else."""

    at: float
    method: str
    path: str
    status: int
    fault: str
    whole: bool

    @property
    def job(self) -> str:
        return next((part for part in self.path.split("/") if part.startswith("ft-")), "")

    @property
    def cancels(self) -> bool:
        return self.method == "POST" and self.path.endswith("/cancel")


class Proxy:
    """Breaks a share `rate` of what passes, each time in one of the ways `kinds`; refuses keys that are not `keys`."""

    def __init__(self, upstream: str, seen: Points, dice: random.Random, keys: set[str]) -> None:
        self.exchanges: list[Exchange] = []
        self.faults: Counter[str] = Counter()
        self.rate = 0.0
        self.kinds: tuple[Fault, ...] = tuple(Fault)
        self.keys = keys
        self.before_cancel: Callable[[str], None] = lambda _job: None
        self.strangers = 0
        """Requests for a host that no answer of ours may send anybody to."""
        self._points, self._dice, self._lock = seen, dice, threading.Lock()
        self._upstream = urlsplit(upstream)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ask(self, path: str, key: str) -> tuple[int, bytes]:
        """A GET past all faults; nobody remembers it."""
        answer = self._pass_on("GET", path, b"", {"Authorization": f"Bearer {key}"})
        return answer.status, answer.body

    def _draw(self, method: str) -> Fault | None:
        with self._lock:
            if not self.rate or self._dice.random() >= self.rate:
                return None
            # A POST that is sent twice by the network would be the network's doing, not the daemon's.
            return self._dice.choice([kind for kind in self.kinds if method == "GET" or kind in BROKEN_ON_THE_WAY])

    def _pass_on(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        upstream = http.client.HTTPConnection(str(self._upstream.hostname), self._upstream.port, timeout=30)
        try:
            upstream.request(method, path, body or None, headers)
            answer = upstream.getresponse()
            return Answer(answer.status, answer.read(), answer.getheader("content-type") or "")
        finally:
            upstream.close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        method, path, now = handler.command, handler.path.partition("?")[0], time.monotonic()
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        key = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
        cancels = method == "POST" and path.endswith("/cancel")
        self._points.hit(points.CANCEL if cancels else points.REQUEST)
        if key not in self.keys:
            self._note(Exchange(now, method, path, 401, "", whole=True))
            said = f'{{"error": {{"message": "Invalid API key provided: {key}", "code": "invalid_api_key"}}}}'
            write(handler, Answer(401, said.encode(), "application/json"))
            return
        if cancels:
            self.before_cancel(path)
        fault = self._draw(method)
        true = self._pass_on(method, handler.path, body, {"Authorization": f"Bearer {key}"})
        # Noted before the first byte leaves: whoever has the answer finds it here.
        self._note(Exchange(now, method, path, true.status, fault.value if fault else "", whole=fault is None))
        if fault is None:
            write(handler, true)
        else:
            broken(handler, fault, true, self._dice, key)
        self._points.hit(points.CANCELLED if cancels else points.ANSWER)

    def _note(self, exchange: Exchange) -> None:
        with self._lock:
            self.exchanges.append(exchange)
            if exchange.fault:
                self.faults[exchange.fault] += 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                if self.path.startswith("/elsewhere"):
                    proxy.strangers += 1
                try:
                    proxy._answer(self)
                except (ConnectionError, TimeoutError, http.client.HTTPException):
                    self.close_connection = True  # one of the two ends is gone

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

            def log_message(self, *_: object) -> None: ...

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """A connection that ended amid an answer is what is wanted here."""
