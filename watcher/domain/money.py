"""Money, as far as the API lets one know it.

What Together says: `total_price` is an integer in nano-dollars, set after the data was tokenised (null or 0 before).
A completed job is paid in full; an early-stopped or cancelled one for the steps it completed; one that ends in error or
user error is refunded in full, completed steps too; the least charge for a job is $4.00, with exceptions.

What it does not say, and is assumed here: that steps cost the same each, so that the price is spent in proportion to
the steps done (evaluations included in the same proportion), and that `total_price` stays what it was after a refund.
Where a figure rests on that, the message that shows it must say so.
"""

import re
from decimal import Decimal

MINIMUM_CHARGE = Decimal(4)
"""Dollars. Whether it holds for jobs that end early is not documented."""

_NANO = Decimal(10**9)
_A_NANO = Decimal("1e-9")
_LARGEST = 2**63 - 1
"""Prices are 64-bit integers; anything above is no price."""
_CENT = Decimal("0.01")
_AMOUNT = re.compile(
    r"(?:\$|\bUSD)\s?(?P<before>\d[\d,]*(?:\.\d+)?)|(?P<after>\d[\d,]*(?:\.\d+)?)\s?(?:USD|dollars?)\b", re.IGNORECASE
)


def dollars(nano: int | None) -> Decimal | None:
    """Nano-dollars as exact dollars; None when the price is not set yet (null or 0 before tokenisation)."""
    return Decimal(nano) / _NANO if nano is not None and 0 < nano <= _LARGEST else None


def spent_so_far(price: Decimal | None, done: int | None, planned: int | None) -> Decimal | None:
    """Dollars for the steps done, pro rata, to the nano-dollar; None where price, steps or plan are unknown.

    Assumes that each step costs the same; knows nothing of the minimum charge.
    """
    if price is None or done is None or not planned or planned < 0:
        return None
    return (price * min(max(done, 0), planned) / planned).quantize(_A_NANO)


def unused(price: Decimal | None, done: int | None, planned: int | None) -> Decimal | None:
    """Dollars for the steps not done, as an early stop or a cancel gives back; assumes as `spent_so_far` does."""
    spent = spent_so_far(price, done, planned)
    return None if price is None or spent is None else price - spent


def show(amount: Decimal | None) -> str:
    """`$9.84`, `$1,234.50`, `under $0.01`; `unknown` for None."""
    if amount is None:
        return "unknown"
    if 0 < amount < _CENT / 2:
        return "under $0.01"
    return f"${amount:,.2f}"


def as_given(price: Decimal | None) -> str:
    """The job's price, with the words that say where it comes from; `unknown` while it is not set."""
    return "unknown" if price is None else f"{show(price)} as the API gives it"


def price_as_given(nano: int | None) -> str:
    """The same of nano-dollars."""
    return as_given(dollars(nano))


def amount_in(text: str) -> Decimal | None:
    """The dollars that a text names; None when it names none, or several and so can't be read with certainty."""
    found = {(m["before"] or m["after"]).replace(",", "") for m in _AMOUNT.finditer(text)}
    return Decimal(found.pop()) if len(found) == 1 else None
