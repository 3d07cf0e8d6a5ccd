"""What a rival detector looks like to the bench.

A peer is fed the rows of one run in the order in which a trainer would have logged them, and says at which row it
would have stopped the run or reported it. Which of our rules that answers is said with the event, so that recall and
false alerts can be counted on the same labels: a stop for want of improvement can't tell a plateau from overfitting and
so claims both.
"""

from abc import ABC
from dataclasses import dataclass
from typing import Literal

DIVERGENCE = ("divergence",)
NAN = ("nan_loss",)
PLATEAU = ("plateau",)
OVERFITTING = ("overfitting",)
NO_PROGRESS = ("overfitting", "plateau")
"""No better value for so long: the stop does not say why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a peer may know of a run before its first row; None where the plan is not recorded."""

    planned_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A stop or a report at a step, and the rules of ours that it stands for."""

    step: float
    claims: tuple[str, ...]


class Peer(ABC):  # noqa: B024 - either of row and eval may be all that a peer looks at
    """One detector at its defaults."""

    name: str
    source: str
    """`its own class, version X` or `re-stated from its published rule`."""
    acts: Literal["stops", "reports"] = "stops"
    """What it does by default. A stop ends the run; a report does not, and its cancel figures are a supposition."""

    def reset(self, run: Run) -> None:
        """Begin a run."""

    def row(self, step: float, loss: float, grad: float | None) -> Event | None:
        """See a train row."""

    def eval(self, step: float, loss: float) -> Event | None:
        """See an evaluation."""


def follow(peer: Peer, run: Run, rows: list[list[float | str | None]]) -> list[Event]:
    """The events of a peer over one run; none follows a stop."""
    peer.reset(run)
    events: list[Event] = []
    for kind, step, loss, grad in rows:
        event = peer.row(step, loss, grad) if kind == "train" else peer.eval(step, loss)  # type: ignore[arg-type]
        if event is not None:
            events.append(event)
            if peer.acts == "stops":
                break
    return events
