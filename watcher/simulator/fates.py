"""What becomes of a run: it completes, or one of the ways in which Together ends a job otherwise."""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from watcher.simulator.early_stopping import EarlyStopping


class FateKind(StrEnum):
    """How a job ends."""

    COMPLETE = "complete"
    EARLY_STOP = "early_stop"  #: early stopping was asked for; the run still completes when it finds no reason to halt
    USER_ERROR = "user_error"  #: bad data: ends before the first step
    BILLING = "billing"  #: the balance ran out at `at_step`: cancelled by the service
    STALL = "stall"  #: the rows end after `at_step` and nothing else happens
    RESTART = "restart"  #: an internal error at `at_step`; the service starts the run again as a new job
    DELETED = "deleted"  #: its owner deletes it soon after `at_step`: from then on the API does not know it


_NEED_A_STEP = frozenset({FateKind.BILLING, FateKind.STALL, FateKind.RESTART, FateKind.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """The end of a run and the oddities on its way.

    `name_delay` is how many seconds after its completion a job gets its `model_output_name`. `warning` is a message
    that the service logs on the job at half of its rows. `queue_seconds` is how much longer than others it is queued.
    """

    kind: FateKind = FateKind.COMPLETE
    at_step: int | None = None
    message: str = ""
    warning: str = ""
    name_delay: float = 0.0
    queue_seconds: float = 0.0
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)


def fate_from(raw: dict[str, Any]) -> Fate:
    """The fate that a curves file tells; an empty one completes.

    Raises:
        ValueError: an unknown word, or a step that is missing.
    """
    unknown = raw.keys() - {f.name for f in fields(Fate)}
    if unknown:
        raise ValueError(f"fate does not know {', '.join(sorted(unknown))}")
    given = dict(raw)
    given["kind"] = FateKind(raw.get("kind", FateKind.COMPLETE))
    if given["kind"] in _NEED_A_STEP and not isinstance(raw.get("at_step"), int):
        raise ValueError(f"fate {given['kind']} needs at_step, a step")
    try:
        given["early_stopping"] = EarlyStopping(**raw.get("early_stopping", {}))
    except TypeError as exc:
        raise ValueError(f"fate.early_stopping: {exc}") from exc
    return Fate(**given)
