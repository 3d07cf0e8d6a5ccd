"""The demo from start to end: receiver, simulated API, watcher, what a person sees, and an orderly end."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from watcher import bootstrap
from watcher.cli import drawing
from watcher.cli.demo.folder import ApiLog, Folder
from watcher.cli.demo.processes import Child, ChildError, child_environment
from watcher.cli.demo.receiver import NotificationReceiver
from watcher.cli.demo.report import report
from watcher.cli.demo.screen import Facts, screen_for
from watcher.cli.demo.story import Story, ended
from watcher.clock import SystemClock
from watcher.service.errors import ConfigError
from watcher.settings import Settings, load_settings

_TICK = 0.25
_FORCED = 130
_SEED = "1"
"""Of the faults: with it one of the cancels is answered with an error although it was done."""
_REVOKED = "products:4:2"
"""The key of one account is refused for a while: that account is blind, the other is not."""
_PATIENCE = 8.0
_BLIND = 15.0
"""Seconds after which the watcher should have seen the first job."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True, kw_only=True)
class Demo:
    """One run of it."""

    config: Path
    out: Path
    speed: float
    seconds: float
    faults: float
    _children: list[Child] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _forced: bool = False

    def run(self) -> int:
        """Play it and return the exit code.

        Raises:
            ConfigError: the settings or the folder can't be used.
            ChildError: one of the two processes failed.
        """
        folder, console = Folder(self.out), drawing.person_console()
        folder.prepare()
        api = ApiLog(folder.api_log)
        console.print("Starting a simulated API and the watcher …", style="dim")
        with self._signals(), NotificationReceiver(folder.notifications) as receiver:
            try:
                story = self._start(folder, receiver.address)
                with contextlib.closing(story):
                    self._watch(console, story, api, receiver)
                    console.print("The watcher drains …", style="dim")
                    self._end()
                    story.read(SystemClock().now())
                    api.read()
            finally:
                for child in self._children:
                    child.abandon()
        if story.jobs:
            report(console, story, api, folder, receiver.count)
        _say_why(console, story, stopped=self._stop.is_set())
        return _FORCED if self._forced else 0

    def _start(self, folder: Folder, receiver: str) -> Story:
        simulate = ["simulate", "--port", "0", "--speed", str(self.speed)]
        simulate += ["--faults", str(self.faults), "--seed", _SEED, "--revoke", _REVOKED]
        simulator = self._child(
            Child(
                "watcher simulate",
                [*simulate, "--log", str(folder.api_log)],
                environ=child_environment(),
                announced=r"^listening on (\S+)$",
            )
        )
        url = simulator.wait(self._stop)
        environ = child_environment(DEMO_API=url, DEMO_RECEIVER=receiver)
        database = folder.state / bootstrap.DATABASE
        if not self._stop.is_set():
            _require_harmless(load_settings(self.config, environ), url)
            run = ["run", "--config", str(self.config), "--state-dir", str(folder.state), "--port", "0"]
            self._child(
                Child("watcher run", run, environ=environ, log=folder.log, announced=r"^web: (\S+)$"),
            )
        # A job that goes as slowly as it was asked to has not stopped.
        return Story(path=database, alerts_file=folder.alerts, patience=_PATIENCE + 3 / self.speed)

    def _child(self, child: Child) -> Child:
        self._children.append(child)
        return child

    def _watch(self, console: Console, story: Story, api: ApiLog, receiver: NotificationReceiver) -> None:
        clock = SystemClock()
        begun = clock.monotonic()
        with screen_for(console) as screen:
            while not self._stop.wait(_TICK) and clock.monotonic() - begun < self.seconds:
                for child in self._children:
                    child.check()
                now = clock.now()
                story.read(now)
                api.read()
                screen.show(
                    story, Facts(story.elapsed(now), api.requests, api.faults.total(), receiver.count, self._page())
                )
                if story.over(now):
                    return
                if not story.jobs and clock.monotonic() - begun > _BLIND:
                    raise ChildError(f"the watcher saw no job in {_BLIND:.0f} s{self._children[-1].last_lines()}")

    def _page(self) -> str:
        """The address of the watcher's own page, once it is known."""
        return self._children[-1].place

    def _end(self) -> None:
        """End the watcher first, so that it drains while the API still answers.

        Raises:
            ChildError: one of them did not end well.
        """
        for child in reversed(self._children):
            code = child.end()
            if code != 0 and not self._forced:
                raise ChildError(f"{child.name} ended with exit code {code}{child.last_lines()}")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal ends the demo in order, the second one at once."""
        before = {number: signal.signal(number, self._asked) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, *_: object) -> None:
        if self._stop.is_set():
            self._forced = True
            for child in self._children:
                child.kill()
        self._stop.set()


def _require_harmless(settings: Settings, url: str) -> None:
    """The demo cancels jobs, and begins with an empty database: neither may happen to anything real.

    Raises:
        ConfigError: it could.
    """
    for index, account in enumerate(settings.accounts):
        if account.base_url != url:
            raise ConfigError(
                f"accounts[{index}].base_url: the demo watches simulated jobs only; expected ${{DEMO_API}}"
            )
    if settings.store.path is not None:
        raise ConfigError("store.path: the demo keeps its database in its own folder; expected nothing")


def _say_why(console: Console, story: Story, *, stopped: bool) -> None:
    """Why it ended, where jobs were still under way."""
    left = sum(not ended(job) for job in story.jobs)
    if stopped:
        console.print("Stopped by a signal.")
    elif left:
        console.print(f"Ended before all jobs had: {left} still under way.")
