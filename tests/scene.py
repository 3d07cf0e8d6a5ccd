"""A page as people have it: jobs with curves, alerts and money in a real store, behind a server in a thread."""

import asyncio
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from tests.leaks import CANARY, Heard
from tests.stored import a_proposal, a_snapshot, an_alert
from tests.website import FakeHealth, a_training_job
from watcher import bootstrap
from watcher.clock import SystemClock
from watcher.domain.alerts import Alert, Subject
from watcher.domain.observations import EvalRow, Event, Observation, Status, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity
from watcher.handlers import handlers_of
from watcher.service.ports import Writes
from watcher.service.records import JobKey, JobRecord, Pulse
from watcher.settings import load_settings
from watcher.web.app import build_app
from watcher.web.events import Changes
from watcher.web.server import WebServer
from watcher.web.telemetry import PrometheusTelemetry

T = TypeVar("T")
TOKEN = f"{CANARY}-web-token"
STEPS, SEEN = 160, 96
SICK = JobKey("main", "ft-sick")
"""The job that diverges: its rows, events, checkpoints, alert and proposal are there."""


class Scene:
    """What is served. `url` is where, `change` writes to the store, and every open page is told."""

    def __init__(self, folder: Path, receivers: Mapping[str, str]) -> None:
        self.clock, self.health = SystemClock(), FakeHealth()
        environ = {"TOGETHER_API_KEY": CANARY, "WATCHER_WEB__TOKEN": TOKEN}
        if receivers:
            named = [{"name": name, "urls": [url]} for name, url in receivers.items()]
            environ |= {"WATCHER_RECEIVERS": json.dumps(named), "WATCHER_ROUTE__RECEIVER": next(iter(receivers))}
        settings = load_settings(None, environ)
        self.app = bootstrap.build(settings, folder, clock=self.clock, console=Heard())
        self.changes = Changes(self.clock)
        self.app.store.committed = self.changes.committed
        self.now = self.clock.now()
        self.health.pulses = {"main": Pulse(interval=timedelta(seconds=30), swept_at=self.now, useful_at=self.now)}
        web = build_app(
            store=self.app.store,
            clock=self.clock,
            telemetry=PrometheusTelemetry(),
            health=self.health,
            sessions=bootstrap.sessions_of(self.app),
            handlers=handlers_of(self.app),
            changes=self.changes,
            receivers=lambda: self.app.receivers,
        )
        self.server = WebServer(web, "127.0.0.1", 0, ending=self.changes.close)

    @property
    def url(self) -> str:
        return self.server.url

    async def deliver(self) -> None:
        """What becomes due, for good."""
        while True:
            await self.app.wake.wait()
            self.app.wake.clear()
            await self.app.router.run()
            await self.app.dispatcher.run_due()

    def change(self, work: Callable[[Writes], T]) -> T:
        return self.app.store.write_now(work)

    def ago(self, minutes: float) -> datetime:
        return self.now - timedelta(minutes=minutes)

    def job(self, number: int) -> JobRecord:
        """One of many: their states, progress and curves differ."""
        name = f"ft-{number:04}"
        status = (Status.RUNNING, Status.RUNNING, Status.COMPLETED, Status.QUEUED, Status.USER_ERROR)[number % 5]
        health = {Status.QUEUED: "waiting", Status.COMPLETED: "done", Status.USER_ERROR: "done"}.get(status)
        losses = [2.4 * math.exp(-i / (8 + number % 7)) + 0.4 + 0.05 * ((i * (number + 3)) % 5) for i in range(40)]
        snapshot = a_snapshot(
            name,
            suffix=f"{('support', 'triage', 'sql', 'legal', 'summaries')[number % 5]}-{number}",
            model=f"org/Base-{(8, 70)[number % 2]}B",
            status=status,
            raw_status=status.value,
            total_steps=400 + number,
            total_price_nano=(4 + number % 40) * 1_000_000_000,
            created_at=self.ago(20 + 7 * number),
        )
        return a_training_job(
            JobKey("main", name),
            () if status is Status.QUEUED else losses,
            snapshot=snapshot,
            health=health or ("converging", "flat", "overfitting")[number % 3],
            ended_at=self.ago(5 + number) if status.terminal else None,
        )

    def fill(self, count: int) -> None:
        """So many jobs, every twelfth of them with a warning."""
        records = [self.job(number) for number in range(count)]

        def save(tx: Writes) -> None:
            for number, record in enumerate(records):
                tx.save_job(record)
                if number % 12 == 0:
                    tx.save_alert(self.alert(record.key, "plateau", severity=Severity.WARNING))

        self.change(save)

    def alert(self, key: JobKey, rule: str, severity: Severity = Severity.CRITICAL, step: int = 70) -> Alert:
        subject = Subject(kind=SubjectKind.JOB, account=key.account, job_id=key.job_id)
        return an_alert(
            rule,
            subject=subject,
            severity=severity,
            step=step,
            onset=step - 12,
            reason="The train loss has left its own past.",
            evidence=(("loss", "5.31, was 0.84"),),
            starts_at=self.ago(6),
        )

    def fall_ill(self) -> None:
        """The job that diverges, with all that is known of it."""
        train = [self._row(step) for step in range(1, SEEN + 1)]
        evals = [EvalRow(step, self._ns(step), 1.1 + (0.02 * (step - 48) if step > 60 else 0)) for step in (32, 64, 96)]
        saved = [
            Event(type="checkpoint_save", at=self.ago(30 - step / 8), message="Checkpoint saved", step=step)
            for step in (32, 64)
        ]
        seen: list[Observation] = [*train, *evals, *saved]
        record = a_training_job(
            SICK,
            [row.loss for row in train],
            snapshot=a_snapshot(
                SICK.job_id,
                suffix="diverging",
                model="org/Base-8B",
                total_steps=STEPS,
                total_price_nano=40_000_000_000,
                created_at=self.ago(40),
            ),
            health="diverging",
            last_seq=len(seen),
        )
        alert = self.alert(SICK, "divergence")
        deadline = self.now + timedelta(minutes=9)
        proposal = a_proposal(
            "p1",
            SICK,
            alert_id=alert.id,
            proposed_at=self.ago(1),
            announced_at=self.now,
            deadline_at=deadline,
            window=timedelta(minutes=10),
            step=72,
            reason="It left its own past.",
        )

        def save(tx: Writes) -> None:
            tx.save_job(record)
            tx.append(SICK, 1, seen)
            tx.save_alert(alert)
            tx.add_proposal(proposal)

        self.change(save)

    def grow(self) -> None:
        """One more row of it."""

        def save(tx: Writes) -> None:
            record = tx.job(SICK)
            assert record is not None
            record.last_seq += 1
            tx.append(SICK, record.last_seq, [self._row(SEEN + 1)])
            tx.save_job(record)

        self.change(save)

    def _ns(self, step: int) -> int:
        return int(self.ago(30 - step / 8).timestamp() * 1e9)

    def _row(self, step: int) -> TrainRow:
        loss = 2.4 * math.exp(-step / 14) + 0.8 + 0.04 * (step % 3)
        if step > 60:
            loss = min(6.0, loss + (step - 60) * 0.3)
        return TrainRow(step, self._ns(step), loss, 1.2 + 0.1 * (step % 5), 1e-4 * (1 - step / STEPS))


@contextmanager
def served(folder: Path, **receivers: str) -> Iterator[Scene]:
    """A scene whose server runs in a thread of its own until the end of the block; receivers are addresses by name."""
    scene, loop = Scene(folder, receivers), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(scene.server.start(), loop).result(20)
    delivering = asyncio.run_coroutine_threadsafe(scene.deliver(), loop)
    try:
        yield scene
    finally:
        delivering.cancel()
        for ending in (scene.server.stop, scene.app.close):
            asyncio.run_coroutine_threadsafe(ending(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
