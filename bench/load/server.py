"""The world of `world.py` over HTTP, as fast as one process of plain asyncio can: the API's GETs, and a receiver.

    python -m bench.load.server --jobs 1000 --step 2000 [--live] [--broken 60 --breaks 60 120]

Time stands still until `/bench/at?seconds=…` moves it; with --live it runs. Every POST is a message that arrived.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qsl

from bench.load.processes import cpu_of
from bench.load.world import STEP_SECONDS, World
from watcher.simulator.projects import whoami
from watcher.simulator.rows import MetricsQuery

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_NONE = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Api:
    """Answers, and notes who asked for what and when."""

    def __init__(self, world: World, *, live: bool) -> None:
        self._world, self._live = world, live
        self._at_ns = world.begin_ns
        self._begin()

    def _begin(self) -> None:
        self._asked: list[str] = []
        self._calls: Counter[str] = Counter()
        self._sent = 0
        self._lists: list[float] = []
        self._watched = 0
        self._cpu: float | None = None
        self._served: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._messages = self._with_picture = 0

    def now_ns(self) -> int:
        return time.time_ns() if self._live else self._at_ns

    def answer(self, target: str) -> bytes:
        path, _, query = target.partition("?")
        if path.startswith("/bench/"):
            return self._control(path.removeprefix("/bench/"), dict(parse_qsl(query)))
        self._asked.append(target)
        body = self._of_api(path.removeprefix("/v1/").split("/"), dict(parse_qsl(query)))
        self._sent += len(body or b"")
        return _NONE if body is None else _HEAD % len(body) + body

    def _of_api(self, parts: list[str], query: dict[str, str]) -> bytes | None:
        if parts == ["fine-tunes"]:
            self._calls["list"] += 1
            self._lists.append(time.time())
            if self._watched and self._cpu is None:
                self._cpu = cpu_of(self._watched)
            return self._world.listing(self.now_ns())
        if parts == ["whoami"]:
            return json.dumps(whoami("")).encode()
        pattern = self._world.pattern(parts[1]) if parts[0] == "fine-tunes" and len(parts) > 1 else None
        if pattern is None:
            return None
        if parts[2:] == ["metrics"]:
            self._calls["metrics"] += 1
            now = self.now_ns()
            if pattern.fires_ns is not None and now >= pattern.fires_ns:
                self._served.setdefault(parts[1], now / 1e9)
            steps = {key: int(query[name]) for key, name in _STEPS.items() if name in query}
            return pattern.metrics(MetricsQuery(**steps), now)
        self._calls["detail"] += 1
        return pattern.detail(parts[1], self.now_ns())

    def take(self, body: bytes) -> None:
        """A message for people: when was which job told of? One of many jobs calls them by their suffixes."""
        message, now = json.loads(body), time.time()
        self._messages += 1
        self._with_picture += bool(message.get("attachments"))
        for word in {word.strip("/:,;.") for word in str(message["message"]).replace("/", " ").split()}:
            for job_id in [word] if word.startswith("ft-") else self._world.broken.get(word, ()):
                self._told.setdefault(job_id, now)

    def _control(self, what: str, query: dict[str, str]) -> bytes:
        found: object = {}
        if what == "at":
            self._at_ns = self._world.begin_ns + int(float(query["seconds"]) * 1e9)
        elif what == "asked":
            found, self._asked = self._asked, []
        elif what == "stats":
            found = {"calls": self._calls, "bytes": self._sent, "lists": self._lists, "cpu": self._cpu}
        elif what == "watch":
            self._watched = int(query["pid"])
        elif what == "latency":
            fires = {i: p.fires_ns / 1e9 for p in self._world.patterns if p.fires_ns is not None for i in p.ids}
            found = {"visible": fires, "served": self._served, "told": self._told}
            found |= {"messages": self._messages, "with_picture": self._with_picture}
        elif what == "begin":
            self._begin()
        body = json.dumps(found).encode()
        return _HEAD % len(body) + body


_STEPS = {"step_from": "global_step_from", "step_to": "global_step_to"}


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests in a row, bodies by their length."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while b"\r\n\r\n" in self._seen:
            head, _, rest = self._seen.partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(_LENGTH)), 0)
            if len(rest) < length:
                return
            self._seen = rest[length:]
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            if method == "POST":
                self._api.take(rest[:length])
                self._transport.write(_HEAD % 2 + b"{}")
            else:
                self._transport.write(self._api.answer(target))


_LENGTH = b"content-length:"


async def serve(factory: Callable[[], Connection]) -> None:
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--step", type=int, required=True)
    parser.add_argument("--horizon", type=int, default=2000, help="how many steps there are after that one")
    parser.add_argument("--pace", type=float, default=STEP_SECONDS, help="seconds between two rows of a job")
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--broken", type=int, default=0)
    parser.add_argument("--breaks", type=int, nargs=2, default=(0, 0))
    given = parser.parse_args()
    world = World(
        given.jobs,
        step=given.step,
        begin_ns=time.time_ns(),
        horizon=given.horizon,
        broken=given.broken,
        breaks=tuple(given.breaks),
        pace=given.pace,
    )
    api = Api(world, live=given.live)
    asyncio.run(serve(lambda: Connection(api)))


if __name__ == "__main__":
    main()
