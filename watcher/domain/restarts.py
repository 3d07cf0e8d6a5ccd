"""An internal restart gives a job a new id: the log of the old one names it, or the list shows the job's twin."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from watcher.domain.observations import Snapshot

_ID = re.compile(r"\bft-[0-9a-f][0-9a-f-]{7,}\b", re.IGNORECASE)
_BEFORE, _AFTER = timedelta(minutes=2), timedelta(minutes=30)
"""A restarted job is made between so long before and so long after the restart is logged."""
_SAME = ("model", "suffix", "user_id", "method", "training_type", "n_epochs", "n_evals", "batch_size", "learning_rate")


def successor_named(message: str, own_id: str) -> str | None:
    """The id that the log entry of a restart names; no field of the API carries it, so it is read from the text."""
    return next((found for found in _ID.findall(message) if found.lower() != own_id.lower()), None)


def successor_listed(old: Snapshot, restarted_at: datetime, jobs: Iterable[Snapshot], taken: set[str]) -> str | None:
    """The one job of the list that can be the restarted one: made at that time with the same settings.

    None when there is no such job, or more than one: a wrong link would mix two stories.
    """
    twins = [
        job.job_id
        for job in jobs
        if job.job_id != old.job_id
        and job.job_id not in taken
        and job.created_at is not None
        and -_BEFORE <= job.created_at - restarted_at <= _AFTER
        and all(_agree(getattr(old, name), getattr(job, name)) for name in _SAME)
    ]
    return twins[0] if len(twins) == 1 else None


def _agree(one: object, other: object) -> bool:
    return one is None or other is None or one == other
