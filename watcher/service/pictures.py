"""The picture in a message: a job's curve as the store has it when the message is sent, with the alert marked."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from watcher.domain.alerts import Alert
from watcher.domain.cancel_policy import CancelMode
from watcher.domain.chart import Chart, chart_of, draw
from watcher.domain.observations import TrainRow
from watcher.service.checkpointview import stored_checkpoints
from watcher.service.errors import WatcherError
from watcher.service.jobpage import events_of, rows_of
from watcher.service.ports import Reads, Store
from watcher.service.records import AlertQuery, JobKey, Proposal, ProposalState

log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Renderers that run at the same time, whoever waits: each takes a processor."""
PATIENCE = 5.0
"""Seconds that a message waits for its picture, its turn included; then it goes out without."""

Render = Callable[[str], Awaitable[bytes]]
"""From SVG to PNG, off the event loop; raises a WatcherError when it can't."""


class JobPictures:
    """Implements `ports.Pictures` over the store and a renderer."""

    def __init__(self, store: Store, render: Render, *, patience: float = PATIENCE) -> None:
        self._store, self._render, self._patience = store, render, patience
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def picture(self, account: str, job_id: str, alert_id: str) -> bytes | None:
        """A PNG, or None: a message without its picture is better than no message. No job id: a sample, for a drill."""
        try:
            async with asyncio.timeout(self._patience), self._turns:
                return await self._drawn(JobKey(account, job_id), alert_id)
        except (TimeoutError, WatcherError) as error:
            reason = str(error) or f"not ready within {self._patience:g} s"
        except Exception as error:  # a curve that the drawing can't take must not keep the message
            log.exception("picture.crashed", job_id=job_id)
            reason = type(error).__name__
        log.warning("picture.left_out", account=account, job_id=job_id, reason=reason)
        return None

    async def _drawn(self, key: JobKey, alert_id: str) -> bytes | None:
        chart = await self._store.read(lambda reads: _chart(reads, key, alert_id))
        if chart is None:
            return None
        return await self._render(await asyncio.to_thread(draw, chart))


def _chart(reads: Reads, key: JobKey, alert_id: str) -> Chart | None:
    """What the store knows of the job; None while it has logged no row."""
    if not key.job_id:
        return _sample()
    record = reads.job(key)
    if record is None:
        return None
    seen = [o for _, o in reads.observations(key)]
    rows, events, job = rows_of(seen), events_of(seen), record.snapshot
    if not rows:
        return None
    cancel = _cancel(reads.proposals(key=key))
    return chart_of(
        job.suffix or key.job_id,
        rows,
        subtitle=" · ".join(part for part in (job.model, job.raw_status) if part),
        total_steps=job.total_steps,
        alerts=_marked(reads, key, alert_id),
        cancel=cancel.step if cancel else None,
        cancel_label=_cancel_label(cancel) if cancel else "",
        checkpoints=[c.step for c in stored_checkpoints(record, events, rows) if c.step is not None],
    )


def _sample() -> Chart:
    """A made-up run, for a drill: it shows whether pictures arrive, and says that it is none of a job."""
    falling = [TrainRow(step, step, 0.8 + 1.6 / (1 + step / 20)) for step in range(1, 121)]
    rising = [TrainRow(step, step, 1.0 + (step - 120) / 12) for step in range(121, 161)]
    return chart_of("Drill", [*falling, *rising], subtitle="a made-up run: nothing is wrong", total_steps=200)


def _marked(reads: Reads, key: JobKey, alert_id: str) -> list[Alert]:
    """The alert that the message is about, or else all that fire."""
    if alert_id:
        alert = reads.alert(alert_id)
        return [alert] if alert is not None else []
    return reads.alerts(AlertQuery(account=key.account, job_id=key.job_id, firing_only=True))


def _cancel(proposals: list[Proposal]) -> Proposal | None:
    """The newest cancel that happened, or would have; one that was vetoed or given up before is no mark."""
    told = (p for p in proposals if p.requested_at is not None or p.mode == CancelMode.OBSERVE)
    return next(told, None)


def _cancel_label(cancel: Proposal) -> str:
    if cancel.mode == CancelMode.OBSERVE:
        return "would cancel"
    return "cancelled" if cancel.state is ProposalState.CONFIRMED else "cancel"
