"""The simulator for tests: in-process for speed, or on a real loopback port; no test ever sleeps."""

import contextlib
import gzip
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from tests.leaks import CANARY, Heard
from watcher.simulator.main import QuietServer, build_app, listen
from watcher.simulator.projects import Revocation
from watcher.simulator.script import Timing
from watcher.simulator.service import Clock

SECOND = 1_000_000_000
BORN = 1_795_000_000 * SECOND
KEY = f"{CANARY}-key"

# Where the life of a job stands with the default half-second stages: rows begin one step after TRAINING.
QUEUED, RUNNING, TRAINING = 0.5, 1.0, 1.5


class NsClock:
    """Unix time in nanoseconds that moves only when it is told to."""

    def __init__(self, ns: int = BORN) -> None:
        self.ns = ns

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * SECOND)


class Simulated:
    """The simulator in this process, with its clock, and short ways to ask it."""

    def __init__(
        self,
        curves: Path | None = None,
        *,
        faults: float = 0.0,
        seed: int = 0,
        revocations: Sequence[Revocation] = (),
        **timing: float,
    ) -> None:
        self.clock = NsClock()
        self.log = Heard()
        self.app = build_app(
            curves=curves,
            timing=Timing(**timing),
            faults=faults,
            seed=seed,
            revocations=revocations,
            log=self.log,
            clock=self.clock,
        )
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://simulated",
            headers={"Authorization": f"Bearer {KEY}"},
        )

    async def ask(self, path: str, **query: Any) -> Any:
        """The JSON answer to a GET that must succeed."""
        answer = await self.http.get(f"/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text)

    async def jobs(self) -> dict[str, Any]:
        """The list, by suffix; of two jobs with one suffix the newer."""
        listed = (await self.ask("/fine-tunes"))["data"]
        return {job["suffix"]: job for job in sorted(listed, key=lambda job: str(job["created_at"]))}

    async def id_of(self, suffix: str) -> str:
        return str((await self.jobs())[suffix]["id"])

    async def job(self, job_id: str) -> Any:
        return await self.ask(f"/fine-tunes/{job_id}")

    async def rows(self, job_id: str, **query: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.ask(f"/fine-tunes/{job_id}/metrics", **query))["metrics"]
        return rows

    async def event_types(self, job_id: str) -> list[str]:
        return [event["type"] for event in (await self.ask(f"/fine-tunes/{job_id}/events"))["data"]]

    async def cancel(self, job_id: str) -> httpx.Response:
        return await self.http.post(f"/v1/fine-tunes/{job_id}/cancel")

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@contextlib.contextmanager
def running_simulator(
    *,
    curves: Path | None = None,
    speed: float = 10.0,
    clock: Clock | None = None,
    faults: float = 0.0,
    seed: int = 0,
    log: Path | None = None,
    stage_seconds: float = 0.5,
    cancel_seconds: float = 1.0,
    revocations: Sequence[Revocation] = (),
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> Iterator[str]:
    """The simulator on a free loopback port, in a thread; gives its URL. `around` stands before it."""
    timing = Timing(speed=speed, stage_seconds=stage_seconds, cancel_seconds=cancel_seconds)
    with contextlib.ExitStack() as stack:
        file = None if log is None else stack.enter_context(log.open("a", encoding="utf-8"))
        app = build_app(
            curves=curves, timing=timing, faults=faults, seed=seed, revocations=revocations, log=file, clock=clock
        )
        listener = stack.enter_context(listen("127.0.0.1", 0))
        server = QuietServer(around(app))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def a_run(
    run_id: str = "run",
    steps: int = 20,
    *,
    every_eval: int = 5,
    config: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A line of a curves file: the loss falls, an evaluation every few steps. `more` overrides any key."""
    run = {
        "id": run_id,
        "train": [[step, 3.0 / step, 1.0, 1e-5] for step in range(1, steps + 1)],
        "eval": [[step, 4.0 / step] for step in range(every_eval, steps + 1, every_eval)],
        "config": {"total_steps": steps, "method": "sft", "n_evals": steps // every_eval} if config is None else config,
    }
    return run | more


def write_curves(path: Path, *runs: dict[str, Any]) -> Path:
    """Write runs as a curves file; packed when the name says so."""
    text = "".join(json.dumps(run) + "\n" for run in runs)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path
