"""A daemon as a process whose configuration a test changes while it runs."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.leaks import CANARY
from tests.processes import PLANTED, Running, running, surroundings, watcher
from tests.receivers import HttpReceiver, http_receiver
from tests.simulated import a_run, running_simulator, write_curves

STEPS = 4000


class Place:
    """Where one daemon lives: its settings, and the receivers that it may be told of."""

    def __init__(self, folder: Path, url: str, first: HttpReceiver, second: HttpReceiver) -> None:
        self.folder, self.first, self.second = folder, first, second
        self.state, self.config = folder / "state", folder / "watcher.yaml"
        self.env = surroundings(folder, TOGETHER_API_KEY=PLANTED)
        self.settings: dict[str, Any] = {
            "accounts": [{"name": "main", "base_url": url, "interval": "100ms", "requests_per_second": 200}],
            "receivers": [{"name": "team", "urls": [f"json://{first.place}/{CANARY}-hook"]}],
            "rules": {"budget": None, "watcher_fault": None},
            "route": {"group_interval": "500ms"},
            "web": {"port": 0},
        }
        self.write()

    def write(self, text: str | None = None) -> None:
        self.config.write_text(json.dumps(self.settings) if text is None else text)

    def told_second(self) -> None:
        """From the next reload on the second receiver is the only one."""
        self.settings["receivers"] = [{"name": "team", "urls": [f"json://{self.second.place}/{CANARY}-hook"]}]

    @property
    def words(self) -> tuple[str, ...]:
        return ("--config", str(self.config), "--state-dir", str(self.state))

    def alerts(self) -> dict[str, str]:
        """The state of each alert, by rule."""
        shown = watcher("alerts", "--format", "json", *self.words, env=self.env)
        return {a["rule"]: a["state"] for a in json.loads(shown.stdout)["alerts"]}

    def status(self) -> Any:
        return json.loads(watcher("status", "--format", "json", *self.words, env=self.env).stdout)


@contextmanager
def a_place(folder: Path) -> Iterator[Place]:
    """One long and steady job, and two receivers, of which the first is configured."""
    curves = write_curves(folder / "curves.jsonl", a_run("steady", STEPS))
    log = folder / "requests.jsonl"
    with (
        http_receiver() as first,
        http_receiver() as second,
        running_simulator(curves=curves, speed=20, stage_seconds=0.1, log=log) as url,
    ):
        yield Place(folder, url, first, second)


@contextmanager
def a_daemon(place: Place) -> Iterator[Running]:
    """Runs from its first sweep on, and ends well."""
    with running(place.folder, "run", *place.words, env=place.env) as process:
        process.until(lambda: process.said("account.introduced"), "the first sweep")
        yield process
        process.terminate()
        assert process.ended() == 0
        assert not process.said("Traceback")


def reload(daemon: Running) -> None:
    """Ask by signal, and wait for the end of it."""
    before = daemon.stderr.read_text().count('"config.reload')
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.stderr.read_text().count('"config.reload') > before, "the reload")


def titles(receiver: HttpReceiver) -> list[str]:
    return [request.json["title"] for request in list(receiver.requests)]
