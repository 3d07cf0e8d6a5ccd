"""`budget`: the job's price is over a limit."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from watcher.domain import money
from watcher.domain.event_log import highest
from watcher.domain.observations import Observation, Snapshot
from watcher.domain.phrasing import pairs, steps
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict


@dataclass(slots=True)
class BudgetState:
    """The present price in nano-dollars, None until the data is tokenised, and how far the job is."""

    price_nano: int | None = None
    done: int | None = None
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Fires while the price of the whole job is over `limit_dollars`; off when that is None.

    The API prices the whole plan once the data is tokenised, so the price is itself the projection: it does not grow
    with the steps.
    """

    name: str = "budget"
    limit_dollars: float | None = None

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot,)
    timed: ClassVar[bool] = False

    def start(self) -> BudgetState:
        return BudgetState()

    def observe(self, state: BudgetState, observation: Observation) -> None:
        if isinstance(observation, Snapshot):
            state.price_nano = observation.total_price_nano or state.price_nano
            state.done = highest(state.done, observation.steps_completed)
            state.planned = observation.total_steps or state.planned

    def judge(self, state: BudgetState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        price = money.dollars(state.price_nano)
        if self.limit_dollars is None or price is None:
            return CLEAR
        limit = Decimal(str(self.limit_dollars))
        return Breach((_finding(state, price, limit),)) if price > limit else CLEAR


def _finding(state: BudgetState, price: Decimal, limit: Decimal) -> Finding:
    return Finding(
        kind="price",
        severity=Severity.WARNING,
        reason=(
            f"The whole job costs {money.show(price)} as the API gives it, {money.show(price - limit)} more than the "
            f"limit of {money.show(limit)}."
        ),
        step=state.done,
        evidence=pairs(("limit", money.show(limit)), ("steps done", steps(state.done, state.planned))),
    )
