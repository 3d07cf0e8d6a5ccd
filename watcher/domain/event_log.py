"""What rules read out of a job's event log, the same whatever order its entries come in.

The API has no structured cause of a failure: the last error or warning entry's message is all there is. Levels have had
several forms (`warning`, `Warning`, `legacy_iwarning`), which all end in the plain word.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from watcher.domain.observations import Event

OUR_CANCEL = "watcher_cancelled"
"""An event that the service never sends: fed to the rules when this watcher's own cancel was posted."""

_ERRORS = frozenset({"job_error", "job_user_error"})
_JOB_ID = re.compile(r"\bft-[0-9a-f][0-9a-f-]*\b")


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the log and when it was logged."""

    at: datetime
    text: str


def is_error(event: Event) -> bool:
    """Whether it says that something went wrong for good."""
    return event.type in _ERRORS or (event.level or "").lower().endswith("error")


def is_warning(event: Event) -> bool:
    """Whether the service warns of something."""
    return event.type == "warning" or (event.level or "").lower().endswith("warning")


def later(known: Said | None, event: Event) -> Said:
    """The later of the two that says anything; the choice does not depend on the order of arrival."""
    said = Said(event.at, event.message.strip())
    return said if known is None or _weight(said) > _weight(known) else known


def _weight(said: Said) -> tuple[bool, datetime, str]:
    return bool(said.text), said.at, said.text


def earliest(known: datetime | None, at: datetime | None) -> datetime | None:
    """The earlier of two moments, where either may be unknown."""
    if known is None or at is None:
        return known or at
    return min(known, at)


def highest(known: int | None, value: int | None) -> int | None:
    """The higher of two counts, where either may be unknown; old events fill unused counts with 0, which is unknown."""
    known, value = known or 0, value or 0
    return (value if value > known else known) or None


def job_id_in(text: str) -> str | None:
    """The first job id that a message names, such as that of the job which takes over after an internal restart."""
    found = _JOB_ID.search(text)
    return found.group() if found else None
