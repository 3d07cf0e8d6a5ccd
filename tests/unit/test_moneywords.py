"""Money as people read it: no figure without what it rests on, and the price of a cancel beside that of a failure."""

from dataclasses import replace

import pytest
from hypothesis import given

from tests.unit.test_billing import METERS, meter
from watcher.domain import moneywords
from watcher.domain.billing import Assumption, Meter, bill
from watcher.domain.observations import Status

RUNNING = meter(Status.RUNNING, seconds_per_step=60.0)
EARLY = meter(Status.COMPLETED, early_stopped=True)
SAME = "if every step costs the same"
LESS = f"{SAME} and if the $4.00 minimum does not apply to jobs that end early"
QUEUED = "nothing stays billed, if a job that has not started costs nothing"
FREE = "had it failed by itself, nothing would be billed"


@pytest.mark.parametrize(
    ("of", "shown"),
    [
        pytest.param(
            RUNNING,
            {
                "at stake": f"about $3.94 for the steps left, about $4.92 an hour, {SAME}",
                "spent so far": f"about $5.90 of $9.84, {SAME}",
                "if cancelled": f"about $5.90 stays billed, about $3.94 is saved, {SAME}; {FREE}",
            },
            id="running",
        ),
        pytest.param(
            replace(RUNNING, done=24),
            {
                "at stake": f"about $7.87 for the steps left, about $4.92 an hour, {SAME}",
                "spent so far": f"about $1.97 of $9.84, {SAME}",
                "if cancelled": f"about $1.97 stays billed, about $7.87 is saved, {LESS}; {FREE}",
            },
            id="under the minimum",
        ),
        pytest.param(
            replace(RUNNING, planned=None),
            {
                "at stake": "unknown (plan not known)",
                "spent so far": "unknown (plan not known)",
                "if cancelled": f"completed steps stay billed, how much is unknown (plan not known); {FREE}",
            },
            id="plan not known",
        ),
        # It is on its way to be cancelled: nothing is at stake for its reader to decide on.
        pytest.param(
            meter(Status.CANCEL_REQUESTED),
            {
                "spent so far": f"about $5.90 of $9.84, {SAME}",
                "if cancelled": f"about $5.90 stays billed, about $3.94 is saved, {SAME}; {FREE}",
            },
            id="cancel requested",
        ),
        pytest.param(meter(Status.UPLOADING), {"spent so far": f"about $5.90 of $9.84, {SAME}"}, id="uploading"),
        pytest.param(
            meter(Status.QUEUED, done=None), {"price": "$9.84 as the API gives it", "if cancelled": QUEUED}, id="queued"
        ),
        pytest.param(
            meter(Status.PENDING, done=None, price_nano=None),
            {"price": "unknown", "if cancelled": QUEUED},
            id="not priced yet",
        ),
        pytest.param(meter(Status.COMPLETED), {"price": "$9.84 as the API gives it"}, id="completed"),
        pytest.param(
            EARLY,
            {
                "billed": f"about $5.90 of $9.84, {SAME}",
                "saved": f"48 of 120 steps, about $3.94 to be given back, {SAME}",
            },
            id="stopped early",
        ),
        pytest.param(
            meter(Status.CANCELLED, priced_late=True),
            {
                "billed": f"about $5.90 of $9.84, {SAME} and if total_price is not lowered after a refund; {FREE}",
                "saved": (
                    f"48 of 120 steps, about $3.94 to be given back, {SAME} and if total_price is not lowered after a "
                    "refund"
                ),
            },
            id="cancelled before it was known",
        ),
        pytest.param(
            meter(Status.CANCELLED, planned=None),
            {"billed": f"unknown (plan not known); {FREE}", "saved": "unknown (plan not known)"},
            id="cancelled, plan not known",
        ),
        pytest.param(
            meter(Status.USER_ERROR), {"billed": "nothing", "refund expected": "$9.84, the whole price"}, id="failed"
        ),
        pytest.param(
            meter(Status.ERROR, price_nano=None),
            {"billed": "nothing", "refund expected": "unknown (price not known)"},
            id="failed, no price",
        ),
        pytest.param(
            meter(Status.RUNNING, gone=True),
            {"price": "$9.84 as the API gives it", "billed": "unknown (deleted before its end was seen)"},
            id="deleted",
        ),
    ],
)
def test_the_rows_of_a_message_that_may_cancel(of: Meter, shown: dict[str, str]) -> None:
    assert dict(moneywords.rows(of, cancels=True)) == shown


def test_without_a_cancel_in_sight_nothing_is_said_of_one() -> None:
    for of in (RUNNING, EARLY):
        assert FREE not in str(moneywords.rows(of))
    assert [label for label, _ in moneywords.rows(RUNNING, over=True, cancels=True)] == ["spent so far"]


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        pytest.param(meter(Status.CANCELLED), f"48 of 120 steps were not run, about $3.94, {SAME}.", id="all known"),
        pytest.param(meter(Status.CANCELLED, price_nano=None), "48 of 120 steps were not run.", id="price not known"),
        pytest.param(meter(Status.CANCELLED, planned=None), "", id="plan not known"),
        pytest.param(meter(Status.CANCELLED, done=120), "", id="nothing was left"),
    ],
)
def test_what_a_cancel_saved(of: Meter, sentence: str) -> None:
    assert moneywords.cancelled(of) == sentence


def test_a_cancel_in_the_queue_should_cost_nothing() -> None:
    queued = meter(Status.QUEUED, done=None)

    assert moneywords.if_cancelled(queued) == QUEUED


@given(METERS)
def test_what_is_assumed_stands_beside_the_figure(of: Meter) -> None:
    bills = bill(of)
    for figure in (bills.spent, bills.saved, bills.at_stake, bills.refund):
        said = moneywords.told(figure)
        assert said.startswith("unknown (") if figure.dollars is None else "$" in said
        assert [a for a in Assumption if a.words in said] == [a for a in Assumption if a in figure.assumes]
