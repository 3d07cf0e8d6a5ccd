"""What early stopping would have saved, in a sentence that messages and pages share."""

from watcher.domain import billing, moneywords
from watcher.domain.early_stop_check import Would
from watcher.domain.early_stopping import EarlyStopping, show
from watcher.domain.observations import Status
from watcher.domain.phrasing import number, steps


def would_words(
    found: Would, knobs: EarlyStopping, whose: str, *, until: int | None, planned: int | None, price_nano: int | None
) -> str:
    """`with patience 2, …, the documented defaults, it would have halted at step 72 of 120 and shipped step 48; …`.

    Args:
        found: What would have been.
        knobs: With which setting.
        whose: Where the setting comes from.
        until: The last step of the run, up to which steps are saved; money only where it is the last one planned.
        planned: Steps planned.
        price_nano: The price of all of them, in nano-dollars.
    """
    halt = found.halt.step
    words = [
        f"with {knobs}, {whose}, it would have halted at step {steps(halt, planned)} and shipped step {found.ships}"
    ]
    words.append("steps saved unknown" if until is None else _saved(max(0, until - halt)))
    if until is not None and until == planned:
        meter = billing.Meter(
            status=Status.COMPLETED, early_stopped=True, price_nano=price_nano, done=halt, planned=planned
        )
        saved = billing.bill(meter).saved
        words += [moneywords.told(saved)] if saved.dollars is not None else []
    if found.better is not None:
        by = f", {number(found.lost)} lower" if found.lost else ""
        words.append(f"but a better eval came later: {show(found.better)}{by}")
    return "; ".join(words)


def _saved(count: int) -> str:
    return f"{count} step saved" if count == 1 else f"{count} steps saved"
