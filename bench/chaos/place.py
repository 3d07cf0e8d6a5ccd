"""One daemon with all that is around it: simulator, proxy, receivers, keeper and prober."""

import contextlib
import functools
import gzip
import json
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.chaos import clocks, faults, mounts
from bench.chaos.keeper import Keeper
from bench.chaos.points import Points, watching_writes
from bench.chaos.probes import Prober, Trouble, get
from bench.chaos.proxy import Proxy
from bench.chaos.receiver import Receiver
from tests.processes import running, surroundings, watcher
from tests.receivers import free_port

CURVES = Path("tests/data/curves/lab.jsonl.gz").absolute()
KEY = "planted-key-71c9f0e2"
OTHER_KEY = "planted-key-after-rotation-44b8"
HOOK = "planted-hook-9d31a7"
QUEUED = 8.0
"""Seconds that every job waits before it runs, so that it is seen before there is anything to be told of it."""
FRESH = 5.0
"""Seconds before a cancel within which the daemon has to have read the job and its rows."""
SECRETS = (KEY, OTHER_KEY, HOOK)


class Place:
    """What a scenario has in its hands. Everything is on loopback and in one folder."""

    def __init__(
        self, folder: Path, seed: int, dice: random.Random, stack: ExitStack, wanted: Mapping[str, Any]
    ) -> None:
        self.folder, self.seed, self.dice = folder, seed, dice
        self.state, self.config = folder / "state", folder / "watcher.yaml"
        self.requests, self.key_file = folder / "requests.jsonl", folder / "key"
        self.points = Points()
        self.troubles: list[Trouble] = []
        self.injected: dict[str, int] = {}
        self.notes: list[str] = []
        self.remarks: list[str] = []
        self.wrongs: list[str] = []
        self.alerts: list[dict[str, Any]] = []
        self.rows_broken = False
        self.endings: list[tuple[float, float]] = []
        """When the daemon may end by itself: from and to."""
        self.peak_mb = 0
        self.slow = 1.0
        self.kills: list[float] = []
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.mounted = bool(wanted.get("disk")) and mounts.mount(self.state)
        if self.mounted:
            stack.callback(mounts.unmount, self.state)
        elif wanted.get("disk"):
            self.remark("no disk of its own could be mounted: a full disk and a read-only one were not tried")
        self.curves = _queued(wanted.get("curves", CURVES), folder / "recording.jsonl", wanted.get("queued", QUEUED))
        self.write_key(KEY)
        self.receiver = Receiver(self.points, HOOK)
        stack.callback(self.receiver.down)
        self.proxy = Proxy(self._simulate(stack, wanted.get("speed", 10.0)), self.points, dice, {KEY})
        stack.callback(self.proxy.close)
        self.settings = self._settings(wanted)
        self.write_settings()
        env = surroundings(folder, PYTHONUNBUFFERED="1")
        if wanted.get("clock"):
            clocks.set_clock(folder, 0)
            env |= clocks.faked(folder)
        words = ["run", "--config", str(self.config), "--state-dir", str(self.state)]
        self.keeper = Keeper(words, env, folder / "daemon.log")
        stack.callback(self.keeper.close)
        stack.enter_context(watching_writes(self.state, self.points))
        self.prober = Prober(self.settings["web"]["port"])
        stack.callback(self.prober.close)

    def _simulate(self, stack: ExitStack, speed: float) -> str:
        words = ("simulate", "--port", 0, "--speed", speed, "--curves", self.curves, "--log", self.requests)
        simulator = stack.enter_context(running(self.folder, *words, env=surroundings(self.folder), name="simulator"))
        return simulator.until(simulator.stdout.read_text, "the address of the simulator").split()[-1]

    def _settings(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        account = {
            "name": "main",
            "base_url": self.proxy.url,
            "api_key_file": str(self.key_file),
            "interval": "1s",
            "timeout": faults.PATIENCE,
            "requests_per_second": 1000,
            "max_concurrency": 4,
        }
        return {
            "accounts": [account],
            "receivers": [{"name": "team", "urls": [self.receiver.url]}],
            # Each alert in a message of its own, and nothing told twice by intention.
            "route": {
                "group_by": ["account", "job", "rule", "kind"],
                "group_wait": "0s",
                "group_interval": "1ms",
                "repeat_interval": None,
                "send_resolved": False,
                "storm": 10000,
            },
            "cancel": wanted.get("cancel", {"mode": "off"}),
            "pictures": False,
            "web": {"port": free_port()},
        }

    def write_settings(self) -> None:
        self.config.write_text(json.dumps(self.settings))

    def write_key(self, key: str) -> None:
        new = self.key_file.with_suffix(".new")
        new.write_text(key + "\n")
        new.replace(self.key_file)

    def note_memory(self) -> None:
        """The most that the present process ever had."""
        self.peak_mb = max(self.peak_mb, self.keeper.peak_kb() // 1024)

    def note_end(self, code: int | None) -> None:
        """How the daemon ended when it was asked to."""
        if code != 0:
            self.wrongs.append(f"asked to end, the daemon ended with {code}")

    def remark(self, text: str) -> None:
        """Something that people should know of this run."""
        self.remarks.append(text)

    # --- what happens ---

    def injected_one(self, what: str, number: int = 1) -> None:
        self.injected[what] = self.injected.get(what, 0) + number

    def kill(self) -> bool:
        """SIGKILL, and the moment is kept."""
        if self.keeper.kill():
            self.kills.append(time.monotonic())
            return True
        return False

    @contextlib.contextmanager
    def trouble(self, what: str, *, told_within: float | None, well_within: float) -> Iterator[Trouble]:
        """A time in which `/readyz` has to tell that something is wrong (see `Trouble`)."""
        made = Trouble(what, time.monotonic(), told_within, well_within)
        self.troubles.append(made)
        self.injected_one(what)
        try:
            yield made
        finally:
            made.ended = time.monotonic()

    @contextlib.contextmanager
    def may_end(self) -> Iterator[None]:
        """A time in which the daemon can't start, and ends by itself."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.endings.append((began, time.monotonic()))

    def until(self, found: Callable[[], object], patience: float) -> bool:
        """Whether it came in time."""
        deadline = time.monotonic() + patience
        while not found():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def well(self, patience: float = 30.0) -> float | None:
        """Seconds until the daemon says that it is well; None when it does not in time."""
        since = time.monotonic()
        self.until(lambda: self.prober.well_since(since), patience)
        well = self.prober.well_since(since)
        return None if well is None else well - since

    def check_cancel(self, path: str) -> None:
        """A cancel is about to reach the API: its intent stands in the database, and its job was looked at just now."""
        job, now, life = path.split("/")[-2], time.monotonic(), self.keeper.life
        if not self.asks_file(f"SELECT 1 FROM proposals WHERE job_id = '{job}' AND requested_at IS NOT NULL"):  # noqa: S608 - ours
            self.wrongs.append(f"a cancel of {job} was asked for without a stored intent")
        seen = [e for e in list(self.proxy.exchanges) if e.job == job and e.whole and e.status == 200]
        fresh = [e for e in seen if e.at > max(life.began, now - FRESH)]
        for end in (job, "metrics"):
            if not any(e.method == "GET" and e.path.endswith(end) for e in fresh):
                self.wrongs.append(f"a cancel of {job} was asked for without a look at it ({end}) within {FRESH:.0f} s")

    def command(self, *words: object) -> int:
        """The exit code of a command of the program, beside the daemon or without it."""
        done = watcher(*words, "--config", self.config, "--state-dir", self.state, env=self.keeper.env)
        self.notes.append(done.stdout + done.stderr)
        return done.returncode

    # --- what stands ---

    @property
    def database(self) -> Path:
        return self.state / "watcher.db"

    @property
    def log(self) -> str:
        return self.keeper.log.read_text(errors="replace") if self.keeper.log.exists() else ""

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs as the API shows them, asked past the proxy."""
        status, body = self.proxy.ask("/v1/fine-tunes", KEY)
        return list(json.loads(body)["data"]) if status == 200 else []

    def ended(self) -> bool:
        """Whether every job has come to its end."""
        jobs = self.jobs()
        return bool(jobs) and all(job["status"] in ("completed", "cancelled", "error", "user_error") for job in jobs)

    @functools.cached_property
    def replayed(self) -> list[dict[str, Any]]:
        """What `replay` gives on the recording, run by run."""
        done = watcher("replay", self.curves, "--format", "json", env=surroundings(self.folder))
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def alerts_on_page(self) -> list[dict[str, Any]]:
        """What the daemon calls its alerts; nothing when it can't be asked."""
        status, body = get(self.prober.port, "/api/v1/alerts?limit=10000")
        return list(json.loads(body)["alerts"]) if status == 200 else []

    def waiting(self) -> int | None:
        """How many deliveries stand in the outbox that are not done; None when the daemon can't be asked."""
        rows = self._outbox()
        return sum(rows.values()) if rows else None

    def dead(self) -> int | None:
        """How many of them were given up."""
        return self._outbox().get("dead")

    def _outbox(self) -> dict[str, int]:
        status, body = get(self.prober.port, "/metrics")
        rows = re.findall(r'^watcher_outbox_rows\{state="(\w+)"\} ([\d.]+)$', body.decode(), re.MULTILINE)
        return {state: int(float(count)) for state, count in rows} if status == 200 else {}

    def asks_file(self, query: str) -> list[tuple[Any, ...]]:
        """What stands in the database, read beside whoever writes it."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as raw:
            return raw.execute(query).fetchall()


def _queued(recording: Path, copy: Path, seconds: float) -> Path:
    """A copy of the recording in which every job is queued before its first row; replay does not read that."""
    raw = recording.read_bytes()
    lines = (gzip.decompress(raw) if recording.suffix == ".gz" else raw).decode().splitlines()
    runs = [json.loads(line) | {"fate": {"queue_seconds": seconds}} for line in lines]
    copy.write_text("".join(json.dumps(run) + "\n" for run in runs))
    return copy


@contextlib.contextmanager
def a_place(folder: Path, seed: int, wanted: Mapping[str, Any]) -> Iterator[Place]:
    """Everything but the daemon runs."""
    with ExitStack() as stack:
        yield Place(folder, seed, random.Random(seed), stack, wanted)  # noqa: S311 - repeatable
