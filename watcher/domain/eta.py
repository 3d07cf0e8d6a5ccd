"""How far a job is and when it may be done: by its own steps, and by what the API estimates.

The API's `seconds_remaining` is, as far as one can tell from how its own tools read it, the length of the present stage
counted from `started_at` of that stage, not from now and not for the whole job.
"""

from datetime import datetime, timedelta

_SECOND = 10**9


def progress(done: int | None, planned: int | None) -> float | None:
    """The share of the steps done, 0 to 1; None where the plan is not known. Nothing done yet counts as 0."""
    if not planned or planned < 0:
        return None
    return min(1.0, max(0, done or 0) / planned)


def left_by_steps(
    *, first_step: int, first_ns: int, last_step: int, last_ns: int, planned: int | None, now: datetime
) -> timedelta | None:
    """Time to the last step at the pace between two rows; None where they give no pace or the plan is not known.

    Evaluations and checkpoints in between are part of the pace. Time since the last row is taken off, down to none.
    What follows training (compressing, uploading) is not in it.

    Args:
        first_step: Step of an early row.
        first_ns: Its Unix time in nanoseconds; 0 when it has none.
        last_step: Step of the newest row.
        last_ns: Its Unix time in nanoseconds.
        planned: Steps of the whole job.
        now: The present.
    """
    if not planned or last_step <= first_step or not 0 < first_ns < last_ns:
        return None
    seconds_a_step = (last_ns - first_ns) / _SECOND / (last_step - first_step)
    ahead = timedelta(seconds=seconds_a_step * max(0, planned - last_step))
    since = timedelta(seconds=now.timestamp() - last_ns / _SECOND)
    return max(timedelta(0), ahead - max(timedelta(0), since))


def left_by_api(eta_seconds: float | None, started_at: datetime | None, now: datetime) -> timedelta | None:
    """Time to the end of the present stage as the API estimates it; None without an estimate or once it has run out."""
    if eta_seconds is None or started_at is None or not 0 < eta_seconds < timedelta.max.total_seconds():
        return None
    left = timedelta(seconds=eta_seconds) - max(timedelta(0), now - started_at)
    return left if left > timedelta(0) else None
