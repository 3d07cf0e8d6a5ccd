"""`provider_unreachable`: the account can't be seen, so nothing can be said of its jobs."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from watcher.domain.observations import Observation, SweepOutcome
from watcher.domain.phrasing import QUOTE, clock, pairs, quote, slug
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict

_ADVICE = {
    "auth": "the key is missing, wrong, expired or revoked (401)",
    "billing": "the spending limit is reached or the balance is used up (402); jobs may be cancelled for it",
    "forbidden": "the key is inactive or may not do this (403)",
    "rate_limited": "too many requests (429)",
    "server": "the API answers with server errors (5xx)",
    "timeout": "the API does not answer in time",
    "network": "no connection to the API",
    "payload": "the API answers with something that is not what was asked for",
}
_LASTING = frozenset({"auth", "billing", "forbidden"})
"""Reasons that do not pass by themselves: they are told sooner."""


@dataclass(slots=True)
class UnreachableState:
    """The present row of failed sweeps; all of it is empty after a good one.

    `told` is the kind that was settled on: while reasons alternate it stays, so that one outage is one alert.
    """

    reason: str = ""
    detail: str = ""
    failures: int = 0
    same: int = 0
    since: datetime | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class ProviderUnreachable:
    """Fires when sweeps of an account fail in a row, and recovers with the first good one.

    `after_auth` is the number of failed sweeps for 401, 402 and 403; `after` that for everything else.
    """

    name: str = "provider_unreachable"
    after_auth: int = 2
    after: int = 3

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.ACCOUNT
    sees: ClassVar[tuple[type, ...]] = (SweepOutcome,)
    timed: ClassVar[bool] = False

    def start(self) -> UnreachableState:
        return UnreachableState()

    def observe(self, state: UnreachableState, observation: Observation) -> None:
        if not isinstance(observation, SweepOutcome):
            return
        if observation.reason is None:
            state.reason, state.detail, state.told = "", "", ""
            state.failures, state.same, state.since = 0, 0, None
            return
        state.failures += 1
        state.same = state.same + 1 if observation.reason == state.reason else 1
        state.reason, state.detail = observation.reason, quote(observation.detail, 2 * QUOTE)
        state.since = state.since or observation.at
        self._settle(state)

    def _settle(self, state: UnreachableState) -> None:
        """Choose the kind: the first reason that lasts long enough, and later only one that won't pass by itself."""
        lasting = state.reason in _LASTING and state.same >= self.after_auth
        if lasting or (not state.told and state.failures >= self.after):
            state.told = slug(state.reason)

    def judge(self, state: UnreachableState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        return Breach((_finding(state),)) if state.told else CLEAR


def _finding(state: UnreachableState) -> Finding:
    sweeps = f"last {state.failures} sweeps" if state.failures > 1 else "last 1 sweep"
    return Finding(
        kind=state.told,
        severity=Severity.CRITICAL,
        reason=(
            f"The {sweeps} of this account failed: {_ADVICE.get(state.told, state.told)}; its jobs "
            "can't be seen, and nothing is concluded about them."
        ),
        evidence=pairs(
            ("since", clock(state.since) if state.since else None),
            ("failed sweeps in a row", str(state.failures)),
            ("last reason", state.reason),
            ("detail", state.detail),
        ),
    )
