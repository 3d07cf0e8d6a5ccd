from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.lifecycle import event, found, job, judged
from watcher.domain.observations import Observation
from watcher.domain.rules.failure import Failure
from watcher.domain.verdicts import CLEAR, Severity, Unknown

PRICED = {"total_price_nano": 10_000_000_000, "total_steps": 120, "steps_completed": 60}


@pytest.mark.parametrize(
    ("observations", "minutes", "kinds"),
    [
        pytest.param([], 0, [], id="nothing seen is no failure"),
        pytest.param([job("running")], 5, [], id="a running job has not failed"),
        pytest.param([job("completed")], 60, [], id="a completed job has not failed"),
        pytest.param([job("cancelled")], 60, [], id="a cancel without a billing entry is not a failure"),
        pytest.param(
            [job("running"), event("billing_limit")], 5, [], id="billing fires only once the job is cancelled"
        ),
        pytest.param(
            [job("queued"), job("error"), event("job_error", 0, "Internal error")], 0, ["error"], id="queued to error"
        ),
        pytest.param([job("user_error"), event("job_user_error", 0, "bad")], 0, ["user_error"], id="the user's data"),
        pytest.param([event("billing_limit"), job("cancelled")], 0, ["billing"], id="cancelled for billing"),
        pytest.param([job("cancelled"), event("billing_limit")], 0, ["billing"], id="the billing entry comes late"),
        pytest.param([job("error")], 1, [], id="without a cause it waits for the log"),
        pytest.param([job("error")], 2, ["error"], id="after two minutes it tells without a cause"),
        pytest.param([job("error"), event("", 0, "", level="")], 3, ["error"], id="an old empty entry is no cause"),
    ],
)
def test_fires_on_an_end_that_is_a_failure(observations: list[Observation], minutes: float, kinds: list[str]) -> None:
    assert list(found(Failure(), observations, minutes)) == kinds


def test_it_says_that_it_waits() -> None:
    assert isinstance(judged(Failure(), [job("error")], 1), Unknown)
    assert judged(Failure(), [job("running")], 1) is CLEAR


@pytest.mark.parametrize(
    ("entries", "cause"),
    [
        pytest.param([event("job_error", 5, "GPU lost")], "GPU lost", id="the error's message"),
        pytest.param(
            [event("job_error", 5, "second"), event("job_error", 4, "first")], "second", id="the later error by time"
        ),
        pytest.param(
            [event("warning", 9, "slow data"), event("job_error", 5, "GPU lost")], "GPU lost", id="error before warning"
        ),
        pytest.param(
            [event("job_error", 5, " "), event("warning", 4, "slow")], "slow", id="an empty error says nothing"
        ),
        pytest.param([event("log", 5, "odd", level="legacy_ierror")], "odd", id="a level in an old form"),
        pytest.param([event("warning", 5, "slow data")], "slow data", id="only a warning, after the wait"),
        pytest.param([], "not in the event log", id="nothing logged"),
    ],
)
def test_the_cause_is_the_last_error_or_warning(entries: list[Observation], cause: str) -> None:
    finding = found(Failure(), [job("error", 6), *entries], 30)["error"]

    assert dict(finding.evidence)["cause"] == cause
    assert finding.severity is Severity.CRITICAL
    assert finding.notice


@pytest.mark.parametrize(
    ("status", "entry", "pays"),
    [
        pytest.param("error", "job_error", "refunded in full", id="an error costs nothing"),
        pytest.param("user_error", "job_user_error", "refunded in full", id="a user error costs nothing"),
        pytest.param(
            "cancelled", "billing_limit", "completed steps stay billed", id="a cancelled job is billed by steps"
        ),
    ],
)
def test_it_says_who_pays(status: str, entry: str, pays: str) -> None:
    (finding,) = found(Failure(), [job(status, **PRICED), event(entry, 0, "why")], 9).values()

    assert pays in finding.reason
    assert "60 of 120" in finding.reason


def test_a_restarted_job_names_its_successor() -> None:
    entries = [event("job_error", 1, "Internal error"), event("job_restarted", 2, "Job restarted as ft-ee00-5.")]

    finding = found(Failure(), [job("error"), *entries], 3)["error"]

    assert "restarted as ft-ee00-5" in finding.reason
    assert ("restarted as", "ft-ee00-5") in finding.evidence


def test_a_restart_without_a_readable_id_is_told_too() -> None:
    finding = found(Failure(), [job("error"), event("job_error"), event("job_restarted")], 3)["error"]

    assert "restarted as another job" in finding.reason


def test_long_and_broken_messages_are_cut_to_one_line() -> None:
    finding = found(Failure(), [job("error"), event("job_error", 0, "a\nb " * 500)], 3)["error"]

    assert "\n" not in finding.reason
    assert len(finding.reason) < 500


@pytest.mark.parametrize("end", ["error", "user_error", "cancelled"])
@given(data=st.data())
def test_the_order_of_events_does_not_matter(end: str, data: st.DataObject) -> None:
    log: list[Any] = [
        event("job_start", 1),
        event("warning", 2, "slow"),
        event("job_error", 3, "one"),
        event("job_error", 3, "two", step=7, total_steps=9),
        event("billing_limit", 3, "no money"),
        event("job_restarted", 4, "as ft-aa"),
        event("refund", 5, "given"),
    ]
    shuffled = data.draw(st.permutations([*log, *log, job(end, 5)]))

    assert found(Failure(), shuffled, 6) == found(Failure(), [*log, job(end, 5)], 6)
