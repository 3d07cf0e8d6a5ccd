from decimal import Decimal

import pytest

from watcher.domain import money


@pytest.mark.parametrize(
    ("nano", "dollars"),
    [
        pytest.param(9_840_000_000, "9.84", id="exact"),
        pytest.param(4_000_000_000, "4", id="over 32 bits"),
        pytest.param(1500, "0.0000015", id="a very small price"),
        pytest.param(0, None, id="not set before tokenisation"),
        pytest.param(None, None, id="null"),
        pytest.param(-5, None, id="a negative price makes no sense"),
    ],
)
def test_nano_dollars(nano: int | None, dollars: str | None) -> None:
    assert money.dollars(nano) == (None if dollars is None else Decimal(dollars))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        pytest.param(Decimal("9.84"), "$9.84", id="cents"),
        pytest.param(Decimal("1234.5"), "$1,234.50", id="thousands"),
        pytest.param(Decimal("0.0000015"), "under $0.01", id="less than a cent is not nothing"),
        pytest.param(Decimal(0), "$0.00", id="nothing"),
        pytest.param(None, "unknown", id="unknown"),
    ],
)
def test_show(amount: Decimal | None, shown: str) -> None:
    assert money.show(amount) == shown


@pytest.mark.parametrize(
    ("done", "planned", "spent"),
    [
        pytest.param(72, 120, "5.904", id="the documented example"),
        pytest.param(0, 120, "0", id="nothing done"),
        pytest.param(130, 120, "9.84", id="never more than the price"),
        pytest.param(-3, 120, "0", id="never less than nothing"),
        pytest.param(None, 120, None, id="steps not known"),
        pytest.param(72, None, None, id="plan not known"),
        pytest.param(72, 0, None, id="no plan"),
    ],
)
def test_spent_and_unused_add_up_to_the_price(done: int | None, planned: int | None, spent: str | None) -> None:
    price = Decimal("9.84")

    found, rest = money.spent_so_far(price, done, planned), money.unused(price, done, planned)

    assert found == (None if spent is None else Decimal(spent))
    assert rest == (None if spent is None else price - Decimal(spent))


def test_without_a_price_nothing_is_known() -> None:
    assert money.spent_so_far(None, 1, 2) is None
    assert money.unused(None, 1, 2) is None
    assert money.price_as_given(None) == "unknown"
    assert money.price_as_given(9_840_000_000) == "$9.84 as the API gives it"


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        pytest.param("Refund of $3.94 issued", "3.94", id="dollar sign"),
        pytest.param("refunded $ 1,234.50.", "1234.50", id="thousands, and a full stop"),
        pytest.param("USD 4", "4", id="currency before"),
        pytest.param("4.20 dollars", "4.20", id="currency after"),
        pytest.param("$5 credited ($5)", "5", id="the same amount twice"),
        pytest.param("Refund for 48 unused steps", None, id="a number that is no money"),
        pytest.param("$3 of $9", None, id="two amounts can't be told apart"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_an_amount_is_read_only_where_it_is_certain(text: str, amount: str | None) -> None:
    assert money.amount_in(text) == (None if amount is None else Decimal(amount))
