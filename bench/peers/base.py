"""What a rival detector looks like to the bench.

A peer is fed the rows of one run in the order in which a trainer would have logged them, and says at which row it
would have stopped the run or reported it. Which of our rules that answers is said with the event, so that recall and
false alerts can be counted on the same labels: a stop for want of improvement can't tell a plateau from overfitting and
so claims both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Row = tuple[Literal["train", "eval"], float, float]
"""Kind, step and loss. No peer here looks at the gradient norm."""

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


class Peer:
    """One detector at its defaults; it may look at rows or evaluations alone."""

    name: str
    source: str
    """`its own class, version X` or `re-stated from its published rule`."""
    acts: Literal["stops", "reports"] = "stops"
    """What it does by default. A stop ends the run; a report does not, and its cancel figures are a supposition."""

    run = Run()

    def reset(self) -> None:
        """Begin the run that `run` tells of."""

    def row(self, step: float, loss: float) -> Event | None:
        """See a train row."""

    def eval(self, step: float, loss: float) -> Event | None:
        """See an evaluation."""


def follow(peer: Peer, run: Run, rows: Iterable[Row]) -> list[Event]:
    """The events of a peer over one run; none follows a stop."""
    peer.run = run
    peer.reset()
    events: list[Event] = []
    for kind, step, loss in rows:
        event = peer.row(step, loss) if kind == "train" else peer.eval(step, loss)
        if event is not None:
            events.append(event)
            if peer.acts == "stops":
                break
    return events
