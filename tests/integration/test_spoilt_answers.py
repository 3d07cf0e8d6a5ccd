"""Real runs whose rows are spoilt between the simulator and the client: what is told of them is what it was."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.fakes import START
from tests.loopback import SkippingClock
from tests.simulated import KEY, NsClock, running_simulator, write_curves
from tests.timeline import SWEEP_EVERY, scene
from watcher.domain.alerts import TransitionReason
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.plateau import Plateau
from watcher.domain.rules.stall import Stall
from watcher.providers.together import Limits, TogetherProvider
from watcher.simulator.job import job_id_of

LAB = Path(__file__).parents[1] / "data" / "curves" / "lab.jsonl.gz"
EXPECTED = {
    ("s1-0090", "divergence", "diverging"),
    ("s1-0090", "divergence", "diverged"),
    ("s1-0042", "plateau", "stuck"),
}
"""What still fires at the end of these runs when all their rows are read."""
RUNS = ("s1-0007", "s1-0042", "s1-0090", "s1-0357")
JUNK: tuple[Any, ...] = (None, 7, "row", [[]], {}, {"train/global_step": "?", "train/loss": 1.0})


class Spoiler:
    """Makes three rows in ten of every second answer into something else, in both directions of their step."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._dice, self.on, self.count = app, random.Random(3), True, 0  # noqa: S311 - the same each time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.on or not scope["path"].endswith("/metrics") or self._dice.random() < 0.5:
            await self._app(scope, receive, send)
            return
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self._app(scope, receive, keep)
        found = json.loads(b"".join(part.get("body", b"") for part in kept[1:]))
        rows = [self._dice.choice(JUNK) if self._dice.random() < 0.3 else row for row in found["metrics"]]
        self.count += sum(row in JUNK for row in rows)
        body = json.dumps({"metrics": rows}).encode()
        kept[0]["headers"] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send(kept[0])
        await send({"type": "http.response.body", "body": body})


async def test_what_fires_on_spoilt_runs_is_what_fires_on_whole_ones(tmp_path: Path) -> None:
    with gzip.open(LAB, "rt") as file:
        runs = [run for run in map(json.loads, file) if run["id"] in RUNS]
    sim, spoilers = NsClock(round(START.timestamp() * 1e9)), list[Spoiler]()

    def around(app: ASGIApp) -> Spoiler:
        spoilers.append(Spoiler(app))
        return spoilers[0]

    names = {job_id_of(run): run for run in RUNS}
    curves = write_curves(tmp_path / "runs.jsonl", *runs)
    async with scene(tmp_path, rules=(Divergence(), NanLoss(), Plateau(), Stall())) as play:
        with running_simulator(curves=curves, clock=sim, speed=0.4, around=around) as url:
            limits = Limits(per_second=1e6, burst=1000)
            client = TogetherProvider(account="main", api_key=KEY, clock=SkippingClock(), base_url=url, limits=limits)
            play.provider = client  # type: ignore[assignment]
            play.start()
            for number in range(20):
                spoilers[0].on = number < 16
                before = len(play.messages)
                await play.sweep()
                await play.deliver()
                over = [m.job_id for m in play.messages[before:] if m.reason is TransitionReason.RESOLVED]
                books = [play.sweeper.book(job_id) for job_id in over]
                assert not any(book is None or book.fold.in_part for book in books)
                sim.advance(SWEEP_EVERY)
                play.clock.advance(SWEEP_EVERY)
            await client.aclose()
        firing = {
            (names[a.subject.job_id], a.rule, a.kind) for job in names for a in await play.alerts(job) if not a.ends_at
        }

    assert spoilers[0].count > 100
    assert firing == EXPECTED
