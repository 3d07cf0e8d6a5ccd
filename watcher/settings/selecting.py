"""Which jobs fit a selection's criteria. Pure; globs are case-sensitive."""

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Protocol

from watcher.domain.observations import Snapshot


class HasCriteria(Protocol):
    """What is asked of a job."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def models(self) -> Sequence[str]: ...
    @property
    def suffixes(self) -> Sequence[str]: ...
    @property
    def created_after(self) -> datetime | None: ...
    @property
    def created_before(self) -> datetime | None: ...


def fits(criteria: HasCriteria, job: Snapshot) -> bool:
    """Whether everything that is asked holds. A job whose creation time is not known fits no bound on it."""
    return (
        _any(criteria.ids, job.job_id)
        and _any(criteria.models, job.model)
        and _any(criteria.suffixes, job.suffix)
        and _within(criteria.created_after, job.created_at, criteria.created_before)
    )


def _any(globs: Sequence[str], value: str | None) -> bool:
    return not globs or any(fnmatchcase(value or "", glob) for glob in globs)


def _within(after: datetime | None, created: datetime | None, before: datetime | None) -> bool:
    if after is None and before is None:
        return True
    if created is None:
        return False
    return (after is None or created >= after) and (before is None or created < before)
