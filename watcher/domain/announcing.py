"""What people are told of a cancel before it happens: when, how to stop it, and why it waits. Pure in `now`."""

from datetime import datetime, timedelta

from watcher.domain.phrasing import span


def moment(at: datetime) -> str:
    """A moment, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def announcement(job_id: str, window: timedelta, now: datetime, again: str = "", loses: str = "") -> str:
    """That the job will be cancelled, at the earliest when, and how to say no.

    `again` is why it is announced anew, `loses` what goes with it because no checkpoint is saved.
    """
    anew = f"Announced again, since {again}. " if again else ""
    late = f"{span(window)} after this reached somebody, if that is later"
    nothing = f"Nothing is saved yet: {loses}. " if loses else ""
    return (
        f"{anew}{nothing}The job is cancelled at {moment(now + window)} (in {span(window)}; {late}) unless somebody "
        f"says no. To keep the job: watcher veto {job_id} To cancel it now: watcher approve {job_id}"
    )


def waiting(why: str, window: timedelta | None) -> str:
    """That a cancel waits for what is not known now, and how it goes on."""
    longer = f" If that takes longer than {span(window)}, the cancel is announced again." if window else ""
    return f"The cancel waits: {why}. Nothing is cancelled before two sweeps with fresh data agree again.{longer}"
