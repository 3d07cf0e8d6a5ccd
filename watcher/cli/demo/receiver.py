"""A receiver of notifications on loopback: each one that arrives becomes a file."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LONGEST = 1_000_000


class NotificationReceiver:
    """Takes what Apprise's `json://` sends and writes it as `NNN-<receiver>-<title>.txt`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self.count = 0

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, path: str, body: dict[str, Any]) -> None:
        title, message = str(body.get("title", "")), str(body.get("message", ""))
        with self._lock:
            self.count += 1
            file = self._folder / f"{self.count:03}-{_slug(f'{path} {title}')}.txt"
            file.write_text(f"{title}\n\n{message.rstrip()}\n", encoding="utf-8", errors="replace")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].rstrip("-")


def _handler(take: Any) -> type[BaseHTTPRequestHandler]:  # noqa: ANN401 - see NotificationReceiver._take
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            try:
                body = json.loads(self.rfile.read(min(size, _LONGEST)))
                take(self.path, body)
            except (ValueError, AttributeError):
                self._answer(400)
            except OSError:  # not stored, so not taken: it is sent again
                self._answer(500)
            else:
                self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """The demo owns the terminal."""

    return Handler
