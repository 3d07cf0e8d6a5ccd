from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.lifecycle import event, found, job, judged, ns
from watcher.domain.observations import Observation, TrainRow
from watcher.domain.rules.refund import Refund
from watcher.domain.verdicts import CLEAR, Severity

DAY = 24 * 60
PRICE: dict[str, Any] = {"total_price_nano": 100_000_000_000, "total_steps": 100}
STOP = event("early_stopped", 10, step=60, best_step=40)


def refund(message: str, minutes: float = 20) -> Observation:
    return event("refund", minutes, message)


@pytest.mark.parametrize(
    ("observations", "minutes", "kinds"),
    [
        pytest.param([], 0, [], id="nothing seen"),
        pytest.param([job("running", **PRICE)], 9 * DAY, [], id="a running job is due nothing"),
        pytest.param([job("completed", **PRICE)], 9 * DAY, [], id="a completed job is due nothing"),
        pytest.param([job("error", **PRICE)], 9 * DAY, [], id="for an error no entry is documented"),
        pytest.param([refund("Refund for 40 unused steps")], 20, ["seen"], id="a refund"),
        pytest.param([refund("one"), refund("one")], 20, ["seen"], id="the same entry twice"),
        pytest.param([refund("one"), refund("two")], 20, ["seen", "seen:2"], id="two refunds"),
        pytest.param([refund("")], 20, ["seen"], id="an entry without words"),
        pytest.param([STOP], DAY, [], id="a day is given"),
        pytest.param([STOP], DAY + 10, ["overdue"], id="overdue after a day"),
        pytest.param([event("job_restarted", 10)], DAY + 10, ["overdue"], id="overdue after a restart"),
        pytest.param([job("completed", 10, early_stopped=True)], DAY + 10, ["overdue"], id="told by the job alone"),
        pytest.param([STOP, refund("x")], 3 * DAY, ["seen"], id="a refund ends the wait"),
        pytest.param([refund("x", 5), STOP], 3 * DAY, ["seen"], id="in any order"),
        pytest.param(
            [event("early_stopped", 1, step=100), job("completed", **PRICE)], 3 * DAY, [], id="a halt at the last step"
        ),
        pytest.param([job("completed", **PRICE), STOP, refund("$40.00")], 99, ["seen"], id="the amount fits the steps"),
        pytest.param([job("completed", **PRICE), STOP, refund("$43")], 99, ["seen"], id="near enough"),
        pytest.param(
            [job("completed", **PRICE), STOP, refund("$10.00")], 99, ["seen", "mismatch"], id="the amount does not fit"
        ),
        pytest.param([job("completed", **PRICE), STOP, refund("gone")], 99, ["seen"], id="no amount, no mismatch"),
        pytest.param(
            [job("completed", **PRICE), STOP, refund("$10"), refund("rest")], 99, ["seen", "seen:2"], id="one unread"
        ),
        pytest.param([job("completed"), STOP, refund("$10")], 99, ["seen"], id="no price, no expectation"),
        pytest.param([job("uploading", **PRICE), STOP, refund("$10")], 99, ["seen"], id="not final yet"),
        pytest.param([job("completed", **PRICE), refund("$10")], 99, ["seen"], id="nothing was due"),
        pytest.param([job("error", **PRICE), refund("$100")], 99, ["seen"], id="a failure gives all back"),
        pytest.param([job("error", **PRICE), refund("$60")], 99, ["seen", "mismatch"], id="a failure gives less back"),
        pytest.param(
            [TrainRow(50, ns(1), 1.0), job("cancelled", **PRICE), refund("$50")], 99, ["seen"], id="a cancel, by rows"
        ),
        pytest.param(
            [job("running", **PRICE), job("completed", total_price_nano=60_000_000_000), STOP, refund("$40")],
            99,
            ["seen"],
            id="a price lowered by the refund does not count",
        ),
        pytest.param(
            [job("completed", total_price_nano=60_000_000_000, total_steps=100), STOP, refund("$40")],
            99,
            ["seen"],
            id="the price may have been lowered before it was seen",
        ),
        pytest.param(
            [job("completed", total_price_nano=5_000_000_000, total_steps=100), STOP, refund("$1.00")],
            99,
            ["seen"],
            id="the minimum charge may have been kept",
        ),
    ],
)
def test_refunds(observations: list[Observation], minutes: float, kinds: list[str]) -> None:
    assert list(found(Refund(), observations, minutes)) == kinds


def test_a_job_without_anything_due_is_clear() -> None:
    assert judged(Refund(), [job("running")], 1) is CLEAR


def test_an_amount_is_only_told_when_one_could_be_read() -> None:
    read = found(Refund(), [refund("Refund of $3.94 issued")], 20)["seen"]
    unread = found(Refund(), [refund("Refund for 48 unused steps")], 20)["seen"]

    assert "($3.94)" in read.reason
    assert "(amount unknown)" in unread.reason
    assert read.severity is Severity.INFO
    assert read.notice


def test_overdue_says_what_is_expected_and_on_what_assumption() -> None:
    finding = found(Refund(), [job("running", **PRICE), STOP, job("completed", **PRICE)], DAY + 70)["overdue"]

    assert "in the 1 d 1 h since an early stop" in finding.reason
    assert ("expected", "about $40.00, if every step costs the same") in finding.evidence
    assert finding.severity is Severity.WARNING
    assert not finding.notice


def test_a_mismatch_prints_both_amounts() -> None:
    finding = found(Refund(), [job("completed", **PRICE), STOP, refund("$10.00")], 99)["mismatch"]

    assert (
        "$10.00 is not the $40.00 that 40 unused of 100 steps suggest, if every step costs the same" in finding.reason
    )
    assert finding.severity is Severity.WARNING


def test_a_failed_job_needs_no_assumption() -> None:
    log = [job("running", **PRICE), job("user_error", **PRICE), refund("1 USD")]
    finding = found(Refund(), log, 99)["mismatch"]

    assert finding.reason == "The refund of $1.00 is not the $100.00 that the billing rules for a failed job suggest."


@given(data=st.data())
def test_the_order_of_events_does_not_matter(data: st.DataObject) -> None:
    log: list[Observation] = [
        event("training_start", 1, total_steps=100),
        STOP,
        refund("$10.00", 11),
        refund("$20.00", 12),
        event("job_restarted", 13, "as ft-aa"),
        TrainRow(60, ns(9), 1.0),
        job("completed", 14, early_stopped=True, **PRICE),
    ]
    shuffled = data.draw(st.permutations([*log, *log]))

    assert found(Refund(), shuffled, 15) == found(Refund(), log, 15)


def test_at_most_ten_refunds_are_kept() -> None:
    assert len(found(Refund(), [refund(str(i), i) for i in range(30)], 60)) == 10
