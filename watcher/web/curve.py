"""The rows of a job as its curve shows them: in steps, thinned to what a screen can show, with what is marked on it."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from watcher.domain.chart import Chart, chart_of
from watcher.domain.chart.data import Series, gaps, series, smoothed
from watcher.service.checkpointview import stored_checkpoints
from watcher.service.jobpage import events_of, rows_of
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery, JobRecord, Proposal
from watcher.web.proposals import proposal_word

MOST = 3000
"""Points of one series: more than a screen has columns. Of each group of neighbours the lowest and highest stay."""

Json = dict[str, Any]
Line = tuple[list[float], list[float | None]]


def chart_of_job(reads: Reads, record: JobRecord) -> Chart:
    """All that a picture of the job shows."""
    seen = [o for _, o in reads.observations(record.key)]
    rows, log, job = rows_of(seen), events_of(seen), record.snapshot
    key = record.key
    alerts = reads.alerts(AlertQuery(account=key.account, job_id=key.job_id))
    return chart_of(
        job.suffix or key.job_id,
        rows,
        subtitle=" · ".join(part for part in (job.model, job.raw_status) if part),
        total_steps=job.total_steps,
        alerts=[alert for alert in alerts if not alert.notice],
        checkpoints=[c.step for c in stored_checkpoints(record, log, rows) if c.step is not None],
    )


def curve_view(reads: Reads, record: JobRecord, begin: float = -math.inf, end: float = math.inf) -> Json:
    """The series between two steps as pairs of lists, steps and values; null is where a line is interrupted.

    `thinned` says that a narrower window would show more. `bad` are the steps whose loss was no number; `marks` stand
    at steps too.
    """
    chart = chart_of_job(reads, record)
    train, evals = series(chart.train), series(chart.evals)
    found = {
        "train": _line(train, begin, end),
        "smoothed": _smoothed(train, begin, end),
        "eval": _line(evals, begin, end),
        "learning_rate": _line(series(chart.learning_rate), begin, end),
        "grad_norm": _line(series(chart.grad_norm), begin, end),
    }
    return {
        "id": record.key.job_id,
        "version": record.last_seq,
        "total_steps": chart.total_steps,
        "thinned": len(_between(train.points, begin, end)) > MOST,
        "series": found,
        "bad": [*train.bad, *evals.bad][:MOST],
        "marks": [*_alert_marks(chart), *_checkpoint_marks(chart), *_cancel_marks(reads.proposals(key=record.key))],
    }


def _line(found: Series, begin: float, end: float) -> Line:
    """The points of a window in their order, with a null before each interruption."""
    gaps_at = {found.points[i][0] for i in found.breaks if i}
    kept = _thinned(_between(found.points, begin, end))
    steps, values = list[float](), list[float | None]()
    for step, value in kept:
        if step in gaps_at and steps:
            steps.append((steps[-1] + step) / 2)
            values.append(None)
        steps.append(step)
        values.append(float(f"{value:.7g}"))
    return steps, values


def _smoothed(train: Series, begin: float, end: float) -> Line:
    """The smoothed line of the whole run, or of the window where that has points enough."""
    points = smoothed(_between(train.points, begin, end)) or smoothed(train.points)
    return _line(Series(points, gaps(points, train.bad), (), ()), begin, end)


def _between(points: Sequence[tuple[float, float]], begin: float, end: float) -> Sequence[tuple[float, float]]:
    """The points of a window, and one on each side, so that lines run to its edges."""
    if begin == -math.inf and end == math.inf:
        return points
    inside = [i for i, (step, _) in enumerate(points) if begin <= step <= end]
    return points[max(0, inside[0] - 1) : inside[-1] + 2] if inside else ()


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    if len(points) <= MOST:
        return points
    size = math.ceil(len(points) / (MOST // 2))
    groups = (points[i : i + size] for i in range(0, len(points), size))
    return [p for group in groups for p in sorted({min(group, key=_value), max(group, key=_value)})]


def _value(point: tuple[float, float]) -> float:
    return point[1]


def _alert_marks(chart: Chart) -> list[Json]:
    return [
        {"kind": "alert", "step": m.step, "onset": m.onset, "severity": m.severity.value, "text": m.rule}
        for m in chart.alerts
    ]


def _checkpoint_marks(chart: Chart) -> list[Json]:
    return [
        {"kind": "checkpoint", "step": step, "text": f"checkpoint {step:g}"} for step in sorted(set(chart.checkpoints))
    ]


def _cancel_marks(found: Iterable[Proposal]) -> list[Json]:
    return [
        {"kind": "cancel", "step": p.step, "text": f"cancel: {proposal_word(p)}"} for p in found if p.step is not None
    ]
