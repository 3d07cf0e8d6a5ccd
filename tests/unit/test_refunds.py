"""Refunds reconciled: what is due, what was seen, and how the two stand, whatever is missing."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.lifecycle import at, event, job
from watcher.domain.billing import NOTHING
from watcher.domain.observations import Observation
from watcher.domain.refunds import Cause, Claim, Ledger, State, claim

PRICE: dict[str, Any] = {"total_price_nano": 100_000_000_000, "total_steps": 100}
RUNNING = job("running", 1, **PRICE)
STOP = event("early_stopped", 10, step=60, best_step=40)
RESTART = event("job_restarted", 10, "restarted as ft-aa11")
COMPLETED = job("completed", 12, early_stopped=True, **PRICE)
CANCELLED = job("cancelled", 12, steps_completed=60, **PRICE)
ERROR = job("error", 12, steps_completed=60, **PRICE)
DAY = 24 * 60


def refund(message: str, minutes: float = 20) -> Observation:
    return event("refund", minutes, message)


def claimed(seen: list[Observation], minutes: float = 60) -> Claim:
    ledger = Ledger()
    for observation in seen:
        ledger.take(observation)
    return claim(ledger, at(minutes))


@pytest.mark.parametrize(
    ("seen", "minutes", "cause", "expected", "state"),
    [
        # Nothing is known, or nothing is over: nothing is due.
        pytest.param([], 60, None, "0", State.NONE, id="nothing seen"),
        pytest.param([RUNNING], 9 * DAY, None, "0", State.NONE, id="running"),
        pytest.param([RUNNING, job("completed", 9, **PRICE)], 9 * DAY, None, "0", State.NONE, id="completed"),
        # An early stop: the documented entry comes, or is overdue after a day.
        pytest.param([RUNNING, STOP, COMPLETED], 60, Cause.EARLY_STOP, "40", State.EXPECTED, id="early, awaited"),
        pytest.param([RUNNING, STOP, COMPLETED], 2 * DAY, Cause.EARLY_STOP, "40", State.OVERDUE, id="early, overdue"),
        pytest.param([RUNNING, STOP, COMPLETED, refund("$40")], 60, Cause.EARLY_STOP, "40", State.MATCHES, id="fits"),
        pytest.param([RUNNING, STOP, COMPLETED, refund("$12")], 60, Cause.EARLY_STOP, "40", State.DIFFERS, id="less"),
        # Cancelled while it uploaded what an early stop had left: the early stop's entry is the one to come.
        pytest.param([RUNNING, STOP, CANCELLED], 2 * DAY, Cause.EARLY_STOP, "40", State.OVERDUE, id="and cancelled"),
        # The amount is not in the message: it is not known, and nothing is compared.
        pytest.param(
            [RUNNING, STOP, COMPLETED, refund("Refund for 40 unused steps")],
            60, Cause.EARLY_STOP, "40", State.SEEN, id="amount unknown",
        ),
        # Two entries, one of them unread: their sum is not known.
        pytest.param(
            [RUNNING, STOP, COMPLETED, refund("$30"), refund("the rest", 21)],
            60, Cause.EARLY_STOP, "40", State.SEEN, id="one of two unread",
        ),
        pytest.param(
            [RUNNING, STOP, COMPLETED, refund("$30"), refund("$10", 21)],
            60, Cause.EARLY_STOP, "40", State.MATCHES, id="two make the sum",
        ),
        # A cancel: no entry is documented, so none is ever overdue; one that comes is compared.
        pytest.param([RUNNING, CANCELLED], 9 * DAY, Cause.CANCEL, "40", State.EXPECTED, id="cancelled, never comes"),
        pytest.param([RUNNING, CANCELLED, refund("$40")], 60, Cause.CANCEL, "40", State.MATCHES, id="cancelled, comes"),
        pytest.param([RUNNING, CANCELLED, refund("$4")], 60, Cause.CANCEL, "40", State.DIFFERS, id="cancelled, other"),
        # A failure: all comes back, completed steps too; no entry is documented.
        pytest.param([RUNNING, ERROR], 9 * DAY, Cause.FAILURE, "100", State.EXPECTED, id="failed, never comes"),
        pytest.param([RUNNING, ERROR, refund("$100")], 60, Cause.FAILURE, "100", State.MATCHES, id="failed, comes"),
        # A restart: the line is in this, the old job's log.
        pytest.param([RUNNING, RESTART, ERROR], 60, Cause.RESTART, "100", State.EXPECTED, id="restarted, awaited"),
        pytest.param([RUNNING, RESTART, ERROR], 2 * DAY, Cause.RESTART, "100", State.OVERDUE, id="restarted, overdue"),
        pytest.param(
            [RUNNING, RESTART, ERROR, refund("$100")], 60, Cause.RESTART, "100", State.MATCHES, id="restarted, comes"
        ),
        # The early stop came with the last step: nothing is left to give back.
        pytest.param(
            [RUNNING, event("early_stopped", 10, step=100), COMPLETED], 9 * DAY, None, "0", State.NONE, id="last step"
        ),
        # Money comes for which no rule of billing is known: told, not explained.
        pytest.param([RUNNING, refund("$3")], 60, None, "0", State.UNEXPECTED, id="unexpected"),
        # Without a price all that is known is that something is due.
        pytest.param([job("running"), STOP], 60, Cause.EARLY_STOP, None, State.EXPECTED, id="no price"),
        pytest.param([job("running"), STOP, refund("$5")], 60, Cause.EARLY_STOP, None, State.SEEN, id="seen, no price"),
        # Nothing is compared before the end is final.
        pytest.param([RUNNING, STOP, refund("$5")], 60, Cause.EARLY_STOP, "40", State.SEEN, id="still uploading"),
    ],
)  # fmt: skip
def test_how_a_refund_stands(
    seen: list[Observation], minutes: float, cause: Cause | None, expected: str | None, state: State
) -> None:
    found = claimed(seen, minutes)

    assert (found.cause, found.state) == (cause, state)
    assert found.expected.dollars == (None if expected is None else Decimal(expected))


def test_it_says_since_when_something_is_due() -> None:
    assert claimed([RUNNING, STOP, COMPLETED]).since == at(10)
    assert claimed([RUNNING, CANCELLED]).since == at(12)
    assert claimed([RUNNING, RESTART, ERROR]).since == at(10)
    assert claimed([RUNNING]).since is None


def test_a_price_that_falls_after_the_end_is_told_and_not_taken_for_the_price() -> None:
    found = claimed([RUNNING, STOP, job("completed", 12, total_price_nano=60_000_000_000, total_steps=100)])

    assert found.expected.dollars == Decimal(40)
    assert found.lowered == Decimal(40)
    assert claimed([RUNNING, STOP, COMPLETED]).lowered is None


AMOUNTS = st.one_of(st.none(), st.integers(-(2**70), 2**70))
SEEN = st.lists(
    st.one_of(
        st.builds(
            job,
            st.sampled_from(["queued", "running", "uploading", "completed", "cancelled", "error"]),
            st.integers(0, 100),
            total_price_nano=AMOUNTS,
            total_steps=AMOUNTS,
            steps_completed=AMOUNTS,
            early_stopped=st.sampled_from([None, False, True]),
        ),
        st.builds(event, st.sampled_from(["early_stopped", "job_restarted"]), st.integers(0, 100), step=AMOUNTS),
        st.builds(refund, st.sampled_from(["$4", "", "$1 of $2", "9" * 300 + " USD", "$0.00"]), st.integers(0, 100)),
    ),
    max_size=8,
)


@given(SEEN, st.integers(0, 9 * DAY))
def test_whatever_comes_a_claim_can_be_made_and_nothing_is_made_up(seen: list[Observation], minutes: int) -> None:
    found = claimed(seen, minutes)

    assert (found.cause is None) is (found.expected == NOTHING)
    assert (found.state is State.OVERDUE) <= (found.logged and not found.credits)
    assert (found.state in (State.MATCHES, State.DIFFERS)) <= (
        found.seen is not None and found.expected.dollars is not None
    )
    assert (found.lowered or 1) > 0
