"""`run`, `once` and `check`."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from watcher import bootstrap, logs
from watcher.cli import ruletesting
from watcher.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    StateOption,
    print_json,
    set_up_logs,
    settings_of,
    state_of,
)
from watcher.clock import SystemClock
from watcher.daemon.control import ControlServer
from watcher.daemon.daemon import Daemon, Part
from watcher.daemon.health import Health
from watcher.daemon.heartbeat import Heartbeat
from watcher.daemon.introductions import Introductions
from watcher.daemon.reload import FileWatch, Reloader
from watcher.daemon.schedule import Schedule
from watcher.daemon.sdnotify import SdNotify
from watcher.handlers import handlers_of
from watcher.notify.receivers import build_receivers
from watcher.reloading import Reloading
from watcher.service.errors import ConfigError, ProviderError
from watcher.service.ports import Clock
from watcher.service.status import job_views
from watcher.settings import Settings, effective
from watcher.web.app import build_app
from watcher.web.events import Changes
from watcher.web.server import WebServer
from watcher.web.telemetry import PrometheusTelemetry
from watcher.web.veto import VetoPages

log = structlog.get_logger(__name__)

NOT_SEEN = 3
FORCED = 130


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(once)
    app.command()(check)


def run(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    port: Annotated[int | None, typer.Option(help="Port of the web server; 0 picks one and prints it.")] = None,
) -> int:
    """Watch until stopped: the daemon.

    With no file at all it takes TOGETHER_API_KEY from the environment, watches every job with the default rules, and
    writes alerts to the console. SIGTERM or Ctrl-C drains and ends; a second one ends at once. SIGHUP, or a change of
    the file or of a secret's file, lets it take over another configuration; a bad one keeps the old one running and
    raises an alert.
    """
    watch = FileWatch([config] if config else [])  # before it is read: a change in between is seen
    settings = settings_of(config)
    watch.follow(bootstrap.files_of(config, settings))
    set_up_logs(settings)
    directory = state_of(state_dir)
    with bootstrap.state_lock(directory):
        asyncio.run(_run(settings, directory, port, config, watch))
    return 0


async def _run(settings: Settings, directory: Path, port: int | None, config: Path | None, watch: FileWatch) -> None:
    clock = SystemClock()
    telemetry = PrometheusTelemetry()
    app = bootstrap.build(settings, directory, clock=clock, telemetry=telemetry)
    _register(app.receivers.secrets)
    health = Health(app.clock, app.store)
    heartbeat = Heartbeat(health, app.clock, bootstrap.pinger_of(settings, app.clock), settings.heartbeat.interval)
    handlers = handlers_of(app)
    control = ControlServer(directory, {**handlers, "health": health.asked})
    notify, parts = SdNotify(os.environ), list[Part]([control, Introductions(app.providers, app.store), heartbeat])
    if settings.web.enabled:
        changes = Changes(clock)
        app.store.committed = changes.committed
        veto = VetoPages(app.store, app.consent, app.links)
        web = build_app(
            store=app.store,
            clock=app.clock,
            telemetry=telemetry,
            health=health,
            sessions=bootstrap.sessions_of(app),
            handlers=handlers,
            changes=changes,
            receivers=lambda: app.receivers,
            early_stopping=lambda: bootstrap.early_stopping_of(app.settings),
            more=veto.routes(),
        )
        at = settings.web.port if port is None else port
        server = WebServer(web, settings.web.host, at, also=settings.web.names, ending=changes.close)
        parts.append(_AnnouncedWeb(server))
    daemon = Daemon(
        sweepers=list(app.sweepers.values()),
        router=app.router,
        dispatcher=app.dispatcher,
        digests=app.digests,
        retention=app.retention,
        windows=app.windows,
        faults=app.faults,
        health=health,
        schedule=Schedule(random.Random()),  # noqa: S311 - spreads load, hides nothing
        store=app.store,
        clock=app.clock,
        notify=notify,
        wake=app.wake,
        parts=parts,
        close=[app.close],
        useful=heartbeat.swept,
    )
    reloading = Reloading(app, daemon, heartbeat, watch, config, os.environ)
    reloader = Reloader(
        apply=reloading.apply,
        watch=watch,
        faults=app.faults,
        store=app.store,
        clock=clock,
        notify=notify,
        told=app.wake.set,
    )
    daemon.parts, daemon.close = [*parts, reloader], [reloading.aclose, app.close]
    stop = asyncio.Event()
    _on_signals(stop, reloader.ask)
    await daemon.run(stop)


class _AnnouncedWeb:
    """The web server, whose address is told once it listens."""

    def __init__(self, server: WebServer) -> None:
        self._server = server

    async def start(self) -> None:
        await self._server.start()
        typer.echo(f"web: {self._server.url}", err=True)

    async def stop(self) -> None:
        await self._server.stop()


def _on_signals(stop: asyncio.Event, reload: Callable[[], None]) -> None:
    """The first signal drains, the second ends the process where it is; SIGHUP reloads."""

    def asked() -> None:
        if stop.is_set():
            os._exit(FORCED)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    loop.add_signal_handler(signal.SIGHUP, reload)


def _register(words: Iterable[str]) -> None:
    for word in words:
        logs.register_secret(word)


def once(config: ConfigOption = None, state_dir: StateOption = None, format: FormatOption = Format.TABLE) -> int:
    """Sweep every account once, deliver what is due, and end: for cron and CI.

    Exit code 3 when an account can't be seen; the others are reported all the same.
    """
    settings = settings_of(config)
    set_up_logs(settings)
    directory = state_of(state_dir)
    with bootstrap.state_lock(directory):
        result = asyncio.run(_once(settings, directory))
    if format is Format.JSON:
        print_json(result)
    else:
        _print_once(result)
    return 0 if all(account["ok"] for account in result["accounts"]) else NOT_SEEN


async def _once(settings: Settings, directory: Path) -> dict[str, Any]:
    app = bootstrap.build(settings, directory, console=sys.stderr)
    _register(app.receivers.secrets)
    try:
        await app.store.write(lambda tx: tx.release_claims())
        await app.faults.recall()
        reports = await asyncio.gather(*(sweeper.run() for sweeper in app.sweepers.values()))
        await app.router.run(hurry=True)
        await app.dispatcher.run_until_idle()
        await app.faults.flush()
        await app.router.run(hurry=True)
        await app.dispatcher.run_until_idle()
        names = list(app.sweepers)
        jobs = await app.store.read(lambda reads: job_views(reads, names))
        counts = await app.store.read(lambda reads: reads.outbox_counts(app.clock.now()))
        if all(report.ok for report in reports) and not counts.due + counts.waiting:
            await _sign_of_life(settings, app.clock)
        return {
            "accounts": [{"name": r.account, "ok": r.ok, "error": r.detail or r.reason} for r in reports],
            "jobs": jobs,
            "delivered": app.dispatcher.delivered,
            "due": counts.due + counts.waiting,
        }
    finally:
        await app.close()


async def _sign_of_life(settings: Settings, clock: Clock) -> None:
    pinger = bootstrap.pinger_of(settings, clock)
    if pinger is None:
        return
    try:
        await pinger.ping()
    except ProviderError as error:
        log.warning("heartbeat.failed", reason=error.reason.value, status=error.status)
    finally:
        await pinger.aclose()


def _print_once(result: dict[str, Any]) -> None:
    for account in result["accounts"]:
        state = "ok" if account["ok"] else f"can't be seen: {account['error']}"
        typer.echo(f"account {account['name']}: {state}")
    for job in result["jobs"]:
        firing = [a["rule"] for a in job["alerts"] if a["state"] == "firing"]
        name = job["suffix"] or job["id"]
        typer.echo(f"{name}: {job['status']}, {job['health']}{', ' + ', '.join(firing) if firing else ''}")
    typer.echo(f"delivered {result['delivered']}, still due {result['due']}")


def check(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="More files for --rules.")] = None,
    config: ConfigOption = None,
    rules: Annotated[
        list[Path] | None, typer.Option("--rules", metavar="FILE", help="Only run the rule tests of this file.")
    ] = None,
) -> int:
    """Validate the configuration as far as that is possible without the network, and print what is in force.

    The rule tests that it names (`rule_tests`) are run; with --rules only those of the given files, for which no key is
    needed. Exit code 2 names file, key, value and what was expected; 1: a rule test failed.
    """
    if rules:
        return 0 if ruletesting.passed(settings_of(config, offline=True), [*rules, *(files or ())]) else 1
    if files:
        raise ConfigError(f"check: {files[0]}: expected --rules before files of rule tests")
    settings = settings_of(config)
    urls = {r.name: [url.get_secret_value() for url in r.urls] for r in settings.receivers}
    with contextlib.closing(build_receivers(urls, key=b"check", console=sys.stdout)) as receivers:
        routing = settings.routing()
        receivers.require(name for route in routing.routes for name in route.receivers)
    typer.echo(effective(settings))
    if not ruletesting.passed(settings, ruletesting.beside(config, settings.rule_tests), err=True):
        return 1
    typer.echo("ok", err=True)
    return 0
