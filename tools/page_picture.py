"""The picture of the page in the README: the daemon beside the simulator for a while, then what Chromium shows.

    make picture   (or python -m tools.page_picture docs/pictures/page.png [--theme dark] [--path /])

Everything on it is real: recorded runs, the default rules, and cancels that wait for a veto.
"""

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.chromium import launched

SETTINGS = """
accounts:
  - {name: research, api_key: research/any-key, base_url: URL, interval: 1s, requests_per_second: 200}
  - {name: products, api_key: products/any-key, base_url: URL, interval: 1s, requests_per_second: 200}
jobs: [{name: all}]
cancel: {mode: propose, veto_window: 10m}
receivers: [{name: team, urls: "json://SINK/team"}]
route: {receiver: team, group_wait: 1s}
web: {port: 0}
"""
WAIT = 58
"""Seconds after which most of the recorded runs are half done."""


@contextlib.contextmanager
def running(log: Path, announced: str, *arguments: str) -> Iterator[str]:
    """`watcher <arguments>` until the end of the block; where it listens, as it says itself."""
    with log.open("w") as file:
        command = [sys.executable, "-m", "watcher", *arguments]
        process = subprocess.Popen(command, stdout=file, stderr=file)  # noqa: S603 - our own program
        try:
            for _ in range(200):
                if found := re.search(announced, log.read_text()):
                    break
                time.sleep(0.1)
            else:
                raise SystemExit(f"it did not start: {log.read_text()}")
            yield found[1]
        finally:
            process.terminate()
            process.wait(30)


class _Sink(BaseHTTPRequestHandler):
    """Takes every notification: a cancel is only announced to somebody who is there."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: only the picture counts."""


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """Its address, until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.page_picture")
    parser.add_argument("file", type=Path)
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--path", default="/")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        simulator = running(folder / "api", r"listening on (\S+)", "simulate", "--port", "0", "--speed", "0.9")
        api = stack.enter_context(simulator)
        config = folder / "watcher.yaml"
        config.write_text(SETTINGS.replace("URL", api).replace("SINK", stack.enter_context(sink())))
        daemon = ("run", "--config", str(config), "--state-dir", str(folder / "state"))
        page = stack.enter_context(running(folder / "daemon", r"web: (\S+)", *daemon))
        time.sleep(WAIT)
        browser = stack.enter_context(launched())
        tab = browser.new_page(viewport={"width": 1366, "height": 960}, color_scheme=asked.theme)
        tab.goto(page + asked.path)
        tab.wait_for_selector("#live.on")
        tab.wait_for_timeout(1500)
        tab.screenshot(path=asked.file)


if __name__ == "__main__":
    main()
