"""Builders and the fold for the tests of rules over a job's life."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from watcher.domain import codec
from watcher.domain.observations import Event, Observation, Snapshot, Status
from watcher.domain.verdicts import Breach, Finding, Verdict

T0 = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after the beginning."""
    return T0 + timedelta(minutes=minutes)


def ns(minutes: float) -> int:
    """The same in Unix nanoseconds, as rows carry it."""
    return int(at(minutes).timestamp()) * 10**9


def job(status: str, minutes: float = 0, **fields: Any) -> Snapshot:
    """A snapshot taken so many minutes after the beginning."""
    return Snapshot(job_id="ft-1", at=at(minutes), status=Status(status), raw_status=status, **fields)


def event(kind: str, minutes: float = 0, message: str = "", **fields: Any) -> Event:
    """An entry of the event log."""
    return Event(type=kind, at=at(minutes), message=message, **fields)


def judged(rule: Any, observations: Iterable[Observation], minutes: float) -> Verdict:
    """The verdict after these observations; storing and loading the state at every point must not change it."""
    state, stored = rule.start(), rule.start()
    for observation in observations:
        rule.observe(state, observation)
        rule.observe(stored, observation)
        stored = codec.decode(type(state), json.loads(json.dumps(codec.encode(stored), allow_nan=False)))
        assert stored == state
        rule.judge(state, at(minutes))
    verdict: Verdict = rule.judge(state, at(minutes))
    assert rule.judge(stored, at(minutes)) == verdict
    return verdict


def found(rule: Any, observations: Iterable[Observation], minutes: float) -> dict[str, Finding]:
    """Findings by kind; kinds are distinct and nothing here may ever cancel."""
    verdict = judged(rule, observations, minutes)
    findings = verdict.findings if isinstance(verdict, Breach) else ()
    by_kind = {f.kind: f for f in findings}
    assert len(by_kind) == len(findings)
    assert not any(f.may_cancel for f in findings)
    assert all(0 < len(f.kind) <= 80 and f.reason.endswith(".") for f in findings)
    return by_kind
