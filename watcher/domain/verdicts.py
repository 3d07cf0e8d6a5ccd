"""What a rule says of a subject: `Breach`, `Clear` or `Unknown`.

Unknown neither resolves an alert nor cancels a job.
"""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much it matters, least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for critical."""
        return ("info", "warning", "critical").index(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a rule found; the alert of (subject, rule, kind) carries it.

    `reason` is one sentence with numbers that a person can check. `step` is the step of the last row seen when it
    fired, `onset` the step where it began. `evidence` is ordered (label, value) pairs for the message. `notice` marks
    something that happened (a job completed) against a condition that holds (a job is diverging): a notice is told
    once and its end is not told. `may_cancel` says that the policy may act on it.
    """

    kind: str
    severity: Severity
    reason: str
    step: int | None = None
    onset: int | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    notice: bool = False
    may_cancel: bool = False


@dataclass(frozen=True, slots=True)
class Breach:
    """At least one finding holds; kinds are distinct."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Clear:
    """The rule could look and found nothing."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The rule can't tell; `reason` says why (no data yet, rebuilding, rule crashed, no fresh rows)."""

    reason: str


Verdict = Breach | Clear | Unknown
CLEAR = Clear()


def findings_of(verdict: Verdict) -> tuple[Finding, ...]:
    """What holds by a verdict."""
    return verdict.findings if isinstance(verdict, Breach) else ()
