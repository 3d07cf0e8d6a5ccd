"""Price, steps and status become money by Together's rules, and nothing is made up where they say nothing."""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stored import a_snapshot
from watcher.domain.billing import Assumption, Bill, Figure, Meter, Total, before_the_end, bill, if_cancelled, total
from watcher.domain.observations import Status

BY_STEPS, MINIMUM, KEPT, NOT_STARTED = Assumption
PRICE = 9_840_000_000
DONE = {"price_nano": PRICE, "done": 72, "planned": 120}


def meter(status: Status, **changes: Any) -> Meter:
    """The documented example: 72 of 120 steps of a job for $9.84."""
    return Meter(status=status, **(DONE | changes))


def about(amount: str, *assumes: Assumption) -> Figure:
    return Figure(Decimal(amount), assumes or (BY_STEPS,))


def exactly(amount: str) -> Figure:
    return Figure(Decimal(amount))


def unknown(missing: str) -> Figure:
    return Figure(None, missing=missing)


NONE = exactly("0")


@pytest.mark.parametrize(
    ("of", "spent", "saved", "refund"),
    [
        # Spent so far is pro rata; nothing is saved or due while it goes on.
        pytest.param(meter(Status.RUNNING), about("5.904"), NONE, NONE, id="running"),
        # A status that this version does not know may well go on.
        pytest.param(meter(Status.UNRECOGNISED), about("5.904"), NONE, NONE, id="unrecognised"),
        # It still runs until the cancel takes effect.
        pytest.param(meter(Status.CANCEL_REQUESTED), about("5.904"), NONE, NONE, id="cancel requested"),
        # No step is done: nothing can have been billed for steps.
        pytest.param(meter(Status.QUEUED, done=None), about("0", NOT_STARTED), NONE, NONE, id="queued"),
        # It runs, but downloads: the API counts no step yet.
        pytest.param(meter(Status.RUNNING, done=0), NONE, NONE, NONE, id="no step done"),
        # Completed: the full price, without any assumption.
        pytest.param(meter(Status.COMPLETED), exactly("9.84"), NONE, NONE, id="completed"),
        # ... also where it is not known how many steps that were.
        pytest.param(meter(Status.COMPLETED, done=None, planned=None), exactly("9.84"), NONE, NONE, id="no steps told"),
        # Stopped early: completed steps; the documented example gives 40 % back.
        pytest.param(
            meter(Status.COMPLETED, early_stopped=True), about("5.904"), about("3.936"), about("3.936"), id="early"
        ),
        # The halt counts, not the upload that follows.
        pytest.param(
            meter(Status.UPLOADING, early_stopped=True), about("5.904"), about("3.936"), about("3.936"), id="halted"
        ),
        # Cancelled, by whomever: completed steps only.
        pytest.param(meter(Status.CANCELLED), about("5.904"), about("3.936"), about("3.936"), id="cancelled"),
        # Under the minimum charge it matters whether that holds for a job that ended early.
        pytest.param(
            meter(Status.CANCELLED, done=30),
            about("2.46", BY_STEPS, MINIMUM), about("7.38", BY_STEPS, MINIMUM), about("7.38", BY_STEPS, MINIMUM),
            id="cancelled under the minimum",
        ),
        # Cancelled before its first step: only the minimum could be charged.
        pytest.param(
            meter(Status.CANCELLED, done=0),
            about("0", MINIMUM), about("9.84", MINIMUM), about("9.84", MINIMUM), id="cancelled before a step",
        ),
        # Cancelled in its last moment: nothing was left to save.
        pytest.param(meter(Status.CANCELLED, done=120), exactly("9.84"), NONE, NONE, id="cancelled with the last step"),
        # The price was only seen after the end: a refund may have lowered it before.
        pytest.param(
            meter(Status.CANCELLED, priced_late=True),
            about("5.904", BY_STEPS, KEPT), about("3.936", BY_STEPS, KEPT), about("3.936", BY_STEPS, KEPT),
            id="priced late",
        ),
        # Failed: nothing is paid, completed steps neither; the whole price comes back.
        pytest.param(meter(Status.ERROR), NONE, NONE, exactly("9.84"), id="error"),
        pytest.param(meter(Status.USER_ERROR), NONE, NONE, exactly("9.84"), id="user error"),
        # Restarted by the service after an internal error: the same, whatever its status says by then.
        pytest.param(meter(Status.RUNNING, restarted=True), NONE, NONE, exactly("9.84"), id="restarted"),
        pytest.param(meter(Status.ERROR, priced_late=True), NONE, NONE, about("9.84", KEPT), id="failed, priced late"),
        # Deleted before its end was seen: nobody can say what became of the money.
        pytest.param(
            meter(Status.RUNNING, gone=True), *[unknown("deleted before its end was seen")] * 3, id="deleted"
        ),
        # Deleted after its end: that is paid as it was.
        pytest.param(meter(Status.COMPLETED, gone=True), exactly("9.84"), NONE, NONE, id="deleted after its end"),
        # What is not known makes unknown what needs it.
        pytest.param(meter(Status.CANCELLED, price_nano=None), *[unknown("price not known")] * 3, id="no price"),
        pytest.param(meter(Status.CANCELLED, planned=None), *[unknown("plan not known")] * 3, id="no plan"),
        pytest.param(meter(Status.CANCELLED, planned=-1), *[unknown("plan not known")] * 3, id="a negative plan"),
        pytest.param(meter(Status.CANCELLED, done=None), *[unknown("steps not known")] * 3, id="no steps"),
        pytest.param(meter(Status.ERROR, price_nano=None), NONE, NONE, unknown("price not known"), id="no price of it"),
    ],
)  # fmt: skip
def test_what_stays_billed_what_was_saved_and_what_comes_back(
    of: Meter, spent: Figure, saved: Figure, refund: Figure
) -> None:
    found = bill(of)

    assert (found.spent, found.saved, found.refund) == (spent, saved, refund)


@pytest.mark.parametrize(
    ("of", "hourly", "at_stake"),
    [
        # 60 s a step, $0.082 a step.
        pytest.param(meter(Status.RUNNING, seconds_per_step=60.0), about("4.92"), about("3.936"), id="running"),
        pytest.param(meter(Status.RUNNING), unknown("pace not known"), about("3.936"), id="no pace"),
        pytest.param(meter(Status.RUNNING, seconds_per_step=0.0), unknown("pace not known"), about("3.936"), id="none"),
        pytest.param(
            meter(Status.RUNNING, seconds_per_step=float("nan")), unknown("pace not known"), about("3.936"), id="nan"
        ),
        # All of it is still ahead, and an hour in the queue costs nothing.
        pytest.param(meter(Status.PENDING, done=None), NONE, exactly("9.84"), id="pending"),
        # Training is over: no step is left to be paid.
        pytest.param(meter(Status.UPLOADING, done=120, seconds_per_step=60.0), NONE, NONE, id="uploading"),
        pytest.param(meter(Status.COMPLETED, seconds_per_step=60.0), NONE, NONE, id="completed"),
        pytest.param(meter(Status.RUNNING, price_nano=0), *[unknown("price not known")] * 2, id="price not set"),
        pytest.param(meter(Status.RUNNING, planned=0), *[unknown("plan not known")] * 2, id="plan not set"),
    ],
)
def test_what_the_remaining_steps_cost(of: Meter, hourly: Figure, at_stake: Figure) -> None:
    found = bill(of)

    assert (found.hourly, found.at_stake) == (hourly, at_stake)


@pytest.mark.parametrize(
    ("of", "spent", "saved"),
    [
        pytest.param(meter(Status.RUNNING), about("5.904"), about("3.936"), id="running"),
        # A cancel in the queue should cost nothing: inferred, so it is said.
        pytest.param(meter(Status.QUEUED, done=None), about("0", NOT_STARTED), about("9.84", NOT_STARTED), id="queued"),
        pytest.param(
            meter(Status.PENDING, done=None, price_nano=None),
            about("0", NOT_STARTED), unknown("price not known"), id="before tokenisation",
        ),
    ],
)  # fmt: skip
def test_what_a_cancel_would_mean_now(of: Meter, spent: Figure, saved: Figure) -> None:
    found = if_cancelled(of)

    assert (found.spent, found.saved, found.refund) == (spent, saved, saved)


def test_the_documented_example_saves_48_steps() -> None:
    assert bill(meter(Status.COMPLETED, early_stopped=True)).steps_saved == 48
    assert bill(meter(Status.CANCELLED, planned=None)).steps_saved is None
    assert bill(meter(Status.COMPLETED)).steps_saved == 0


@pytest.mark.parametrize(
    ("status", "early", "before"),
    [
        pytest.param(Status.RUNNING, None, True, id="while it runs"),
        pytest.param(Status.UPLOADING, True, False, id="an early stop may have been refunded"),
        pytest.param(Status.CANCELLED, False, False, id="over"),
    ],
)
def test_only_a_price_from_before_the_end_is_surely_whole(status: Status, early: bool | None, before: bool) -> None:  # noqa: FBT001
    assert before_the_end(a_snapshot(status=status, early_stopped=early)) is before


def test_a_total_is_of_what_is_known() -> None:
    assert total([]) == Total(NONE, 0)
    assert total([about("1"), exactly("2"), unknown("plan not known")]) == Total(about("3"), 1)
    assert total([about("1", MINIMUM), about("2")]) == Total(about("3", BY_STEPS, MINIMUM), 0)
    assert total([unknown("plan not known")]) == Total(NONE, 1)


# --- promises ---

COUNTS = st.one_of(st.none(), st.integers(-5, 300), st.integers(-(2**70), 2**70))
PRICES = st.one_of(st.none(), st.integers(-10, 10**11), st.integers(-(2**70), 2**70))
METERS = st.builds(
    Meter,
    status=st.sampled_from(Status),
    price_nano=PRICES,
    done=COUNTS,
    planned=COUNTS,
    seconds_per_step=st.one_of(st.none(), st.floats()),
    early_stopped=st.booleans(),
    restarted=st.booleans(),
    gone=st.booleans(),
    priced_late=st.booleans(),
)


def figures(found: Bill) -> dict[str, Figure]:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return {name: value for name, value in values.items() if isinstance(value, Figure)}


@given(METERS, st.booleans())
def test_whatever_comes_every_figure_is_an_amount_or_says_what_is_missing(of: Meter, cancelled: bool) -> None:  # noqa: FBT001
    for figure in figures((if_cancelled if cancelled else bill)(of)).values():
        if figure.dollars is None:
            assert figure.missing
        else:
            assert figure.dollars.is_finite()
            assert figure.dollars >= 0
            assert not figure.missing


@given(METERS)
def test_spent_and_what_is_left_or_saved_make_the_price_exactly(of: Meter) -> None:
    found = bill(of)
    rest = [found.at_stake, found.saved][of.ending is not None]
    ends = of.ending is None and of.status in (Status.COMPRESSING, Status.UPLOADING)
    if None not in (found.price.dollars, found.spent.dollars, rest.dollars) and not ends and of.ending != "failed":
        assert found.spent.dollars + rest.dollars == found.price.dollars  # type: ignore[operator]


@given(METERS)
def test_nothing_is_ever_more_than_the_price(of: Meter) -> None:
    found = bill(of)
    for name in ("spent", "at_stake", "saved", "refund"):
        amount = getattr(found, name).dollars
        assert not amount or amount <= (found.price.dollars or 0)


@given(METERS)
def test_without_a_price_no_amount_but_nothing_is_known(of: Meter) -> None:
    found = bill(replace(of, price_nano=None))

    assert {figure.dollars for figure in figures(found).values()} <= {None, Decimal(0)}


@given(st.integers(1, 2**63 - 1), st.integers(1, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_steps_never_cost_less(price: int, planned: int, one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    for status in (Status.RUNNING, Status.CANCELLED):
        first = bill(Meter(status=status, price_nano=price, planned=planned, done=fewer))
        then = bill(Meter(status=status, price_nano=price, planned=planned, done=more))
        assert first.spent.dollars is not None
        assert then.spent.dollars is not None
        assert first.spent.dollars <= then.spent.dollars
        assert (first.saved.dollars or 0) >= (then.saved.dollars or 0)
        assert (first.at_stake.dollars or 0) >= (then.at_stake.dollars or 0)
