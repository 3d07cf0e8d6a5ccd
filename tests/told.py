"""Alerts as the real rules raise them, for tests of what people get to read."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from tests.unit.rules.curves import falling, replayed, rows
from tests.unit.rules.lifecycle import at, event, job, judged, ns
from watcher.domain.alerts import WATCHER, Alert, Subject, fire
from watcher.domain.checkpoints import Choice, Measure, Place
from watcher.domain.early_stopping import EarlyStopping
from watcher.domain.facts import JobFacts
from watcher.domain.observations import Drift, EvalRow, Fault, Gone, Observation, Row, SweepOutcome, TrainRow
from watcher.domain.rule import Rule, SubjectKind
from watcher.domain.rules.budget import Budget
from watcher.domain.rules.cancellation import Cancellation
from watcher.domain.rules.completion import Completion
from watcher.domain.rules.deleted import Deleted
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.drift import DriftRule
from watcher.domain.rules.early_stop import EarlyStop
from watcher.domain.rules.event_warning import EventWarning
from watcher.domain.rules.failure import Failure
from watcher.domain.rules.gradient import Gradient
from watcher.domain.rules.loss_spike import LossSpike
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.overfitting import Overfitting
from watcher.domain.rules.plateau import Plateau
from watcher.domain.rules.provider_unreachable import ProviderUnreachable
from watcher.domain.rules.queue_time import QueueTime
from watcher.domain.rules.refund import Refund
from watcher.domain.rules.stall import Stall
from watcher.domain.rules.watcher_fault import WatcherFault
from watcher.domain.verdicts import Breach

JOB = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-2b8c6a10-77aa-4c1e-9d53-0f6f1f0a9d21")
ACCOUNT = Subject(kind=SubjectKind.ACCOUNT, account="main")

FACTS = JobFacts(
    account="main",
    job_id=JOB.job_id,
    selection="all",
    model="org/Base-8B-Instruct",
    suffix="support_bot_v3",
    status="running",
    health="critical",
    step=172,
    total_steps=400,
    last_loss=5.31,
    best_eval=0.711,
    best_eval_step=80,
    price_nano=48_600_000_000,
    checkpoint_step=80,
    choice=Choice(measure=Measure.EVAL, saved=Place(80, 0.711), newest=80),
    log_read_at=at(60),
    sparkline="▇▅▄▃▂▂▁▁▂▅▇█",
    link=f"https://watch.example.org/jobs/{JOB.job_id}",
    cancel_mode="enforce",
    cancel="Auto-cancel: not now, seen on fresh data in 1 of 2 sweeps.",
    seconds_per_step=42.0,
    fresh_at=at(60) - timedelta(seconds=12),
)
QUIET = replace(FACTS, cancel="")
ENDED = replace(QUIET, running=False, status="completed")
STOPPED = replace(ENDED, early_stopped=True, step=240)
WAITING = replace(
    QUIET, status="queued", step=None, best_eval=None, best_eval_step=None, checkpoint_step=None, choice=Choice(),
    sparkline="", seconds_per_step=None, fresh_at=None,
)  # fmt: skip
_PLAN: dict[str, int] = {"total_price_nano": 48_600_000_000, "total_steps": 400}


def _judged(rule: Rule, seen: Iterable[Observation], minutes: float, subject: Subject = JOB) -> list[Alert]:
    verdict = judged(rule, seen, minutes)
    findings = verdict.findings if isinstance(verdict, Breach) else ()
    return [fire(None, finding, subject=subject, rule=rule.name, now=at(60)) for finding in findings]


def _curve(rule: Rule, recorded: Iterable[Row], total: int) -> list[Alert]:
    found = replayed(tuple(recorded), rule, total=total).alerts
    return [replace(alert, subject=JOB, starts_at=at(60), ends_at=None) for alert in found[:2]]


def _evals(*losses: float) -> list[EvalRow]:
    return [EvalRow(20 * i, ns(i), loss) for i, loss in enumerate(losses, start=1)]


_DIVERGING = [*falling(140), *[1.5 + 0.4 * i for i in range(12)], *[6.0] * 120]
_STOP = event("early_stopped", 10, "", step=240, best_step=160, best_metric=0.711, total_steps=400)
_STOPPED: list[Observation] = [job("running", 5, **_PLAN), _STOP, job("completed", 12, **_PLAN)]
_SWEEPS = {word: [SweepOutcome(at=at(i), reason=word, detail="said") for i in range(3)] for word in ("auth", "server")}

_FOUND: tuple[tuple[JobFacts | None, list[Alert]], ...] = (
    (FACTS, _curve(Divergence(), rows(_DIVERGING, every=1), 400)),
    (FACTS, _curve(NanLoss(), rows([*falling(100), *[math.nan] * 40]), 400)),
    (FACTS, _curve(NanLoss(), rows(falling(100), evals=[(50, math.nan)]), 400)),
    (QUIET, _curve(Plateau(), rows([2.0 + 0.01 * (i % 3) for i in range(400)]), 400)),
    (
        QUIET,
        _curve(
            Overfitting(),
            rows(falling(400), evals=[(40 * i, 1.0 + abs(i - 3) * 0.3) for i in range(1, 10)]),
            400,
        ),
    ),
    (QUIET, _curve(Gradient(), rows(falling(200), norms=[1.0] * 120 + [90.0] * 80), 400)),
    (QUIET, _curve(Gradient(), rows(falling(200), norms=[1.0] * 100 + [0.0] * 100), 400)),
    (QUIET, _curve(LossSpike(), rows([*falling(120), 9.0, 9.0, 9.0, *falling(60, start=1.1)]), 400)),
    (QUIET, _judged(EarlyStop(early_stopping=EarlyStopping(patience=3)), [*_evals(0.9, 0.711, 0.72, 0.73), job(
        "running", 9, **_PLAN)], 60)),
    (replace(STOPPED, step=24), _judged(EarlyStop(), [event("early_stopped", 10, "", step=24, best_step=24), job(
        "completed", 12, early_stopped=True, **_PLAN)], 20)),
    (STOPPED, _judged(EarlyStop(), [*_evals(0.9, 0.88, 0.85, 0.8, 0.79, 0.76, 0.74, 0.711, 0.72, 0.73, 0.75, 0.74),
        _STOP, job("completed", 12, early_stopped=True, best_step=160, **_PLAN)], 12)),
    (replace(ENDED, step=400), _judged(Completion(), [job("running", 4, **_PLAN), event("job_start", 4), event(
        "training_start", 6, total_steps=400), event("checkpoint_save", 20, step=160), TrainRow(400, ns(25), 0.5),
        EvalRow(160, ns(20), 0.711), event("job_complete", 33), job(
            "completed", 34, steps_completed=400, output_name="org/Base-8B-support_bot_v3", **_PLAN)], 34)),
    (STOPPED, _judged(Refund(), [*_STOPPED, event("refund", 20, "Refunded $19.44")], 99)),
    (STOPPED, _judged(Refund(), [*_STOPPED, event("refund", 20, "Refunded $5.00")], 99)[1:]),
    (STOPPED, _judged(Refund(), [*_STOPPED], 24 * 60 + 30)),
    *(
        (replace(ENDED, status=status), _judged(Failure(), [job(status, 9, steps_completed=172, **_PLAN), *log], 12))
        for status, log in (
            ("error", [event("job_error", 9, "CUDA error: an illegal memory access was encountered")]),
            ("user_error", [event("job_user_error", 9, "line 812 of the training file is not valid JSON")]),
            ("cancelled", [event("billing_limit", 8, "credit limit reached")]),
        )
    ),
    (replace(ENDED, status="cancelled"), _judged(Cancellation(), [job("cancelled", 3, steps_completed=172, **_PLAN),
        event("cancel_requested", 2)], 4)),
    (QUIET, _judged(EventWarning(), [event("warning", 5, "slow data loading", step=40)], 9)),
    (replace(ENDED, status="running"), _judged(Deleted(), [job("running", 0, steps_completed=172, **_PLAN), Gone(
        at(5)), Gone(at(6))], 6)),
    (replace(QUIET, fresh_at=at(26)), _judged(Stall(), [job("running", **_PLAN), *[TrainRow(i, ns(i), 1.0) for i in
        range(1, 11)]], 60)),
    (QUIET, _judged(Stall(), [job("running", **_PLAN), TrainRow(400, ns(1), 1.0), job("uploading", 2, **_PLAN)], 999)),
    (WAITING, _judged(QueueTime(), [job("queued", queue_depth=3)], 150)),
    (QUIET, _judged(Budget(limit_dollars=40), [job("running", steps_completed=172, **_PLAN)], 1)),
    (None, _judged(DriftRule(), [Drift(at=at(3), what="status", word="paused", job_id=JOB.job_id)], 9, ACCOUNT)),
    *((None, _judged(ProviderUnreachable(), seen, 60, ACCOUNT)) for seen in _SWEEPS.values()),
    *(
        (None, _judged(WatcherFault(), [Fault(at=at(0), kind=kind, key=key, detail=detail)], 1, WATCHER))
        for kind, key, detail in (
            ("rule_crash", "plateau", "ZeroDivisionError"),
            ("dead_letter", "9c1f0a77d2e4b516", "a notification to receiver team was given up: slack: answered 404"),
            ("store", "", "the disk is full"),
            ("reload", "", "watcher.yaml: route: 'tema' is no receiver"),
            ("clock", "", "the wall clock was moved by 3600 s"),
            ("cancel_rate", "main", "auto-cancel stopped: 3 cancels in the last hour, the limit is 3"),
        )
    ),
)  # fmt: skip

TOLD: tuple[tuple[Alert, JobFacts | None], ...] = tuple((alert, facts) for facts, found in _FOUND for alert in found)
"""Alerts with their job as it was then; of each rule at least one, of each kind that reads differently one."""
DIVERGED = next(alert for alert, _ in TOLD if alert.kind == "diverged")
