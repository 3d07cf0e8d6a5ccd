"""When an auto-cancel may happen: each guard alone can refuse, and says why."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from watcher.domain.cancel_policy import CancelMode, CancelPolicy, Evidence, Guard, out_of_bounds, refusals
from watcher.domain.observations import Snapshot, Status
from watcher.domain.verdicts import Finding, Severity

NOW = datetime(2026, 11, 23, tzinfo=UTC)
JOB = Snapshot(
    job_id="ft-1", at=NOW, status=Status.RUNNING, raw_status="running", total_steps=100, suffix="bot", model="m/base"
)
FINDING = Finding(kind="diverged", severity=Severity.CRITICAL, reason="bad", may_cancel=True)
POLICY = CancelPolicy(mode=CancelMode.ENFORCE)
SEEN = Evidence(
    finding=FINDING,
    confirmations=2,
    fresh=True,
    snapshot=JOB,
    step=50,
    vetoed=False,
    cancels_last_hour=0,
    kill_switch=False,
)


def seen(**changes: Any) -> Evidence:
    return replace(SEEN, **changes)


def a_job(**changes: Any) -> Evidence:
    return seen(snapshot=replace(JOB, **changes))


def test_every_guard_agrees() -> None:
    assert refusals(POLICY, SEEN) == ()
    assert refusals(replace(POLICY, mode=CancelMode.OBSERVE), SEEN) == ()
    assert refusals(replace(POLICY, mode=CancelMode.PROPOSE), SEEN) == ()


@pytest.mark.parametrize(
    ("evidence", "guard", "reason"),
    [
        pytest.param(seen(finding=None), Guard.FINDING, "does not find it any more", id="the rule is clear"),
        pytest.param(seen(finding=None, unknown=True), Guard.UNKNOWN, "can't tell", id="the rule is unknown"),
        pytest.param(
            seen(finding=replace(FINDING, may_cancel=False)),
            Guard.CAPABILITY,
            "never cancels",
            id="a rule that may not",
        ),
        pytest.param(seen(confirmations=1), Guard.CONFIRMATION, "1 of 2", id="seen once"),
        pytest.param(seen(fresh=False), Guard.FRESHNESS, "no fresh data", id="nothing new"),
        pytest.param(a_job(status=Status.UPLOADING, raw_status="uploading"), Guard.STATUS, "uploading", id="uploading"),
        pytest.param(
            a_job(status=Status.COMPRESSING, raw_status="compressing"), Guard.STATUS, "compressing", id="compressing"
        ),
        pytest.param(a_job(status=Status.UNRECOGNISED, raw_status="paused"), Guard.STATUS, "paused", id="a new word"),
        pytest.param(seen(step=1), Guard.PROGRESS, "step 1 of 100 is 1 %", id="hardly begun"),
        pytest.param(seen(step=91), Guard.PROGRESS, "outside 2–90 %", id="nearly through"),
        pytest.param(seen(step=None), Guard.PROGRESS, "no step was seen", id="no step"),
        pytest.param(seen(vetoed=True), Guard.VETO, "vetoed", id="a veto"),
        pytest.param(seen(cancels_last_hour=3), Guard.RATE, "3 cancels in the last hour", id="too many cancels"),
        pytest.param(
            seen(cancels_last_hour=1, cancels_proposed=2),
            Guard.RATE,
            "1 cancels in the last hour and 2 proposed",
            id="too many on their way",
        ),
        pytest.param(seen(rate_stopped=True), Guard.RATE, "an hour without one has not passed", id="no quiet hour yet"),
        pytest.param(seen(asked=True), Guard.ASKED, "never asked for twice", id="it was cancelled once"),
        pytest.param(seen(kill_switch=True), Guard.KILL_SWITCH, "no-cancel", id="the kill switch"),
    ],
)
def test_a_guard_refuses_alone(evidence: Evidence, guard: Guard, reason: str) -> None:
    (refusal,) = refusals(POLICY, evidence)

    assert refusal.guard is guard
    assert reason in refusal.reason


def test_a_mode_that_does_not_act_refuses() -> None:
    assert [r.guard for r in refusals(replace(POLICY, mode=CancelMode.OFF), SEEN)] == [Guard.MODE]


@pytest.mark.parametrize(
    ("in_force", "proposed", "goes_on"),
    [
        pytest.param(CancelMode.PROPOSE, CancelMode.PROPOSE, True, id="as it was announced"),
        pytest.param(CancelMode.ENFORCE, CancelMode.ENFORCE, True, id="as it was decided"),
        pytest.param(CancelMode.ENFORCE, CancelMode.PROPOSE, True, id="enforce leaves people the window they have"),
        pytest.param(CancelMode.PROPOSE, CancelMode.ENFORCE, False, id="people are to be asked first now"),
        pytest.param(CancelMode.OBSERVE, CancelMode.ENFORCE, False, id="it is only to be observed now"),
        pytest.param(CancelMode.OBSERVE, CancelMode.PROPOSE, False, id="it was announced, and is only to be observed"),
        pytest.param(CancelMode.OFF, CancelMode.PROPOSE, False, id="it was switched off"),
    ],
)
def test_what_was_proposed_needs_a_mode_that_lets_it_go_on(
    in_force: CancelMode, proposed: CancelMode, *, goes_on: bool
) -> None:
    found = refusals(replace(POLICY, mode=in_force), seen(proposed=proposed))

    assert [r.guard for r in found] == ([] if goes_on else [Guard.MODE])


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
def test_only_running_jobs_are_cancelled(status: Status) -> None:
    assert Guard.STATUS in [r.guard for r in refusals(POLICY, a_job(status=status))]


@pytest.mark.parametrize("glob", ["ft-*", "b?t", "m/*", "out-1"], ids=["id", "suffix", "model", "output name"])
def test_the_never_list_looks_at_every_name(glob: str) -> None:
    policy = replace(POLICY, never=("nothing", glob))
    (refusal,) = refusals(policy, a_job(output_name="out-1"))

    assert refusal.guard is Guard.NEVER
    assert glob in refusal.reason


def test_all_that_refuse_are_named() -> None:
    guards = [r.guard for r in refusals(CancelPolicy(), seen(finding=None, fresh=False, confirmations=0, vetoed=True))]

    assert guards == [Guard.MODE, Guard.FINDING, Guard.FRESHNESS, Guard.CONFIRMATION, Guard.VETO]


@pytest.mark.parametrize(
    ("step", "total", "inside"),
    [
        pytest.param(2, 100, True, id="the lower bound itself"),
        pytest.param(90, 100, True, id="the upper bound itself"),
        pytest.param(5, None, True, id="an unknown plan has no bounds"),
        pytest.param(5, 0, True, id="a plan of nothing has none either"),
        pytest.param(150, 100, False, id="beyond the plan"),
    ],
)
def test_bounds(step: int, total: int | None, *, inside: bool) -> None:
    assert (out_of_bounds(POLICY, step, total) is None) is inside


def test_what_the_next_sweep_may_bring_need_not_be_told() -> None:
    assert {guard for guard in Guard if guard.passing} == {Guard.CONFIRMATION, Guard.FRESHNESS, Guard.UNKNOWN}
