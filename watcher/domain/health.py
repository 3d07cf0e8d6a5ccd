"""One word for how a job is doing, from its status and the alerts that fire on it."""

from collections.abc import Collection, Container
from enum import StrEnum

from watcher.domain.observations import Status


class Health(StrEnum):
    """What a person reads first in a list of jobs."""

    WAITING = "waiting"
    CONVERGING = "converging"
    FLAT = "flat"
    OVERFITTING = "overfitting"
    DIVERGING = "diverging"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    DONE = "done"


_BROKEN = frozenset({("nan_loss", "train")})
_FAILED = frozenset({Status.ERROR, Status.USER_ERROR})
_OVER = frozenset({Status.COMPLETED, Status.CANCELLED})


def job_health(
    status: Status, firing: Collection[tuple[str, str]], *, unknown: bool = False, has_rows: bool = True
) -> Health:
    """The health of one job; the worst that is known wins.

    Not being able to look takes back nothing that was found: a loss that was NaN stays broken. But it hides everything
    milder, and a job that is not known to be bad is then not called good. A stalled job is unknown too: what its rows
    say is old. A cancelled job is done unless an alert says what was wrong with it.

    Args:
        status: The job's status as last seen.
        firing: (rule, kind) of each firing alert.
        unknown: The job could not be seen, or a rule that should judge it can't.
        has_rows: At least one row of metrics was seen.
    """
    if status is Status.COMPLETED:
        return Health.DONE
    if status in _FAILED or not _BROKEN.isdisjoint(firing):
        return Health.BROKEN
    rules = {rule for rule, _ in firing}
    if "divergence" in rules:
        return Health.DIVERGING
    if status in _OVER:
        return _milder(rules, Health.DONE)
    if unknown or status is Status.UNRECOGNISED or "stall" in rules:
        return Health.UNKNOWN
    return _milder(rules, Health.CONVERGING if has_rows and not status.waiting else Health.WAITING)


def _milder(rules: Container[str], otherwise: Health) -> Health:
    if "overfitting" in rules:
        return Health.OVERFITTING
    return Health.FLAT if "plateau" in rules else otherwise
