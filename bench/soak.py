"""Thirty simulated days in a few minutes: the watcher's parts over a real store, a simulated API and a real receiver.

    python -m bench.soak [--days 30] [--jobs-a-day 51] [--json bench/out/soak.json]

Every part is the real one but the clock, which moves five minutes a step. Exit code 1 when memory or the database still
grow in the last third, when a digest was early, late, missing or sent twice, or when something was left undelivered.
"""

import argparse
import asyncio
import gc
import json
import resource
import sys
import tempfile
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from apscheduler.triggers.interval import IntervalTrigger

from watcher import bootstrap, logs
from watcher.bootstrap import App
from watcher.service.records import OutboxState
from watcher.settings import load_settings
from watcher.simulator.main import QuietServer, build_app, listen
from watcher.simulator.script import Timing

STEP = timedelta(minutes=5)
DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
KEEP_JOBS = 2 * DAY
"""How long a finished job stays in the API's list before its owner deletes it."""
RUNS = (
    *("healthy-a", "healthy-b", "noisy", "diverging-a", "diverging-b", "spike", "nan", "nan-filtered", "stuck"),
    *("overfitting", "early-stopped", "user-error", "billing", "stalled", "dpo", "restarted", "gradients"),
)


class SoakClock:
    """Moves when it is told to; nobody waits."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    def ns(self) -> int:
        return int(self.at.timestamp()) * 10**9

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class Receiver:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.digests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.keys[str(body["message"]).splitlines()[-1]] += 1
                if "digest" in str(body["title"]).lower() or body["title"].startswith("watcher, "):
                    outer.digests.append(body["title"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def settings_file(folder: Path, url: str, receiver: str) -> Path:
    path = folder / "watcher.yaml"
    path.write_text(
        json.dumps(
            {
                "accounts": [
                    {"name": "main", "base_url": url, "api_key": "soak", "interval": "5m", "requests_per_second": 1e5}
                ],
                "receivers": [{"name": "team", "urls": [f"json://{receiver}/"]}],
                "cancel": {"mode": "enforce", "max_per_hour": 1000, "settle": "1s"},
                "retention": {"rows": "3d", "keep_rows": 50, "history": "5d"},
                "digests": [{"name": "daily", "kind": "daily", "receiver": "team", "at": "09:00"}],
                "pictures": False,
                "log": {"level": "error", "format": "json"},
            }
        )
    )
    return path


def serve(clock: SoakClock) -> str:
    """The simulator in a thread; a step a minute, stages of five."""
    timing = Timing(speed=1 / 60, stage_seconds=300, cancel_seconds=120)
    server, listener = QuietServer(build_app(timing=timing, clock=clock.ns)), listen("127.0.0.1", 0)
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


async def step(app: App) -> None:
    """What the daemon does in five minutes."""
    for sweeper in app.sweepers.values():
        await sweeper.run()
    await app.digests.run()
    for _ in range(3):  # news, what joins them, and what their delivery leads to
        await app.faults.flush()
        await app.router.run()
        await app.dispatcher.run_until_idle()


async def soak(days: int, jobs_a_day: int, folder: Path) -> list[dict[str, Any]]:
    clock, receiver = SoakClock(), Receiver()
    url = serve(clock)
    settings = load_settings(settings_file(folder, url, receiver.place), {})
    logs.configure_logs(level="error", style="json")
    app = bootstrap.build(settings, folder / "state", clock=clock)
    await app.faults.begin()
    for sweeper in app.sweepers.values():
        await sweeper.load()
    api = httpx.AsyncClient(base_url=url.removesuffix("/v1"), headers={"Authorization": "Bearer owner"})
    table, made, steps = [], 0, int(DAY / STEP)
    try:
        for day in range(1, days + 1):
            for tick in range(steps):
                clock.at += STEP
                while made < ((day - 1) * steps + tick + 1) * jobs_a_day // steps:
                    made += 1
                    run = RUNS[made % len(RUNS)]
                    body = {"training_file": f"file-{run}", "suffix": f"{run}-{made}", "model": "m"}
                    (await api.post("/v1/fine-tunes", json=body)).raise_for_status()
                await step(app)
                if tick % 12 == 0:
                    await app.retention.run()
            await tidy(api, clock)
            table.append(await measured(app, receiver, day, made))
            show(table[-1])
    finally:
        await api.aclose()
        await app.close()
    return table


async def tidy(api: httpx.AsyncClient, clock: SoakClock) -> None:
    """The owner deletes what is old, stalled jobs too."""
    listed = (await api.get("/v1/fine-tunes")).json()["data"]
    for job in listed:
        if clock.now() - datetime.fromisoformat(job["created_at"]) > KEEP_JOBS:
            (await api.delete(f"/v1/fine-tunes/{job['id']}")).raise_for_status()


def sizes(directory: Path) -> tuple[int, int]:
    """Kilobytes of memory of this process, and bytes of the database with its log."""
    status = Path("/proc/self/status").read_text().splitlines()
    rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return rss, sum(path.stat().st_size for path in directory.glob("watcher.db*"))


async def measured(app: App, receiver: Receiver, day: int, made: int) -> dict[str, Any]:
    gc.collect()
    rss, files = sizes(app.directory)
    records = await app.store.read(lambda reads: reads.jobs())
    waiting = await app.store.read(lambda reads: reads.outbox(states=[OutboxState.DUE, OutboxState.CLAIMED]))
    dead = await app.store.read(lambda reads: reads.outbox(states=[OutboxState.DEAD]))
    return {
        "day": day,
        "jobs": made,
        "known": len(records),
        "open": sum(not record.closed for record in records),
        "rss_mb": round(rss / 1024, 1),
        "db_mb": round(files / 2**20, 2),
        "delivered": sum(receiver.keys.values()),
        "twice": sum(count - 1 for count in receiver.keys.values()),
        "waiting": len(waiting),
        "dead": len(dead),
        "digests": len(receiver.digests),
        "cpu_s": round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), 1),
    }


def show(row: dict[str, Any]) -> None:
    if row["day"] == 1:
        sys.stdout.write(" ".join(f"{name:>9}" for name in row) + "\n")
    sys.stdout.write(" ".join(f"{value:>9}" for value in row.values()) + "\n")
    sys.stdout.flush()


def schedule_drift(days: int) -> timedelta:
    """How far off its grid an interval job of the scheduler is in the end, each run late by up to four minutes."""
    trigger = IntervalTrigger(seconds=int(STEP.total_seconds()), start_date=START, timezone="UTC")
    fired = trigger.get_next_fire_time(None, START)
    for number in range(int(days * DAY / STEP)):
        late = timedelta(seconds=(number * 37) % 240)
        fired = trigger.get_next_fire_time(fired, fired + late)
    return (fired - START) % STEP


def complaints(table: list[dict[str, Any]], days: int) -> list[str]:
    """What is not as it must be: judged over the last third of the days."""
    middle, last = table[len(table) * 2 // 3 - 1], table[-1]
    found = []
    if last["rss_mb"] > 1.1 * middle["rss_mb"]:
        found.append(f"memory grows: {middle['rss_mb']} MB on day {middle['day']}, {last['rss_mb']} MB at the end")
    if last["db_mb"] > 1.25 * middle["db_mb"]:
        found.append(f"the database grows: {middle['db_mb']} MB on day {middle['day']}, {last['db_mb']} MB at the end")
    if last["digests"] != days:
        found.append(f"{last['digests']} digests in {days} days")
    if last["waiting"] or last["dead"] or last["twice"]:
        found.append(f"{last['waiting']} undelivered, {last['dead']} given up, {last['twice']} sent twice")
    if drift := schedule_drift(days):
        found.append(f"the schedule drifts: {drift} off its grid")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--jobs-a-day", type=int, default=51)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = asyncio.run(soak(given.days, given.jobs_a_day, Path(folder)))
    found = complaints(table, given.days)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"days": table, "complaints": found}, indent=1))
    for line in found:
        sys.stdout.write(f"soak: {line}\n")
    sys.stdout.write(f"soak: {given.days} days, {table[-1]['jobs']} jobs, {len(found)} complaints\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
