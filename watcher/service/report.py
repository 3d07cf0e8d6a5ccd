"""How a sweep went, and whether that counts as having seen the account."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from watcher.domain.observations import SweepOutcome
from watcher.service.errors import FailureReason
from watcher.service.ports import Telemetry

_BLINDING = frozenset({FailureReason.AUTH, FailureReason.FORBIDDEN, FailureReason.BILLING})


@dataclass(slots=True, kw_only=True)
class SweepReport:
    """`reason` is None when the account could be seen; `failed` counts jobs that could not be read whole, by reason."""

    account: str
    at: datetime
    reason: str | None = None
    detail: str = ""
    took: float = 0.0
    """Seconds from its beginning to its end."""
    jobs: int = 0
    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds of each rule on any job since the last sweep; all folds of the account add to it."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """Entries of answers that could not be made out, by what they are: `jobs`, `rows`, `events`."""
    unread_in: dict[str, str] = field(default_factory=dict)
    """The first job in whose answers, or as which, they came."""

    @property
    def ok(self) -> bool:
        return self.reason is None

    @property
    def unsure(self) -> float:
        """Seconds before its end since which the account was not surely seen.

        With a call that failed, that is since it began: the API may have fallen silent in its midst, and it ended late.
        """
        return self.took if any(reason != FailureReason.NOT_FOUND for reason in self.failed) else 0.0

    def take_unreadable(self, what: str, count: int, job_id: str = "") -> None:
        """Entries that could not be made out."""
        self.unreadable[what] += count
        self.unread_in.setdefault(what, job_id)

    def outcome(self) -> SweepOutcome:
        """What rules on the account see of it."""
        unread = tuple((what, count, self.unread_in[what]) for what, count in sorted(self.unreadable.items()))
        return SweepOutcome(at=self.at, reason=self.reason, detail=self.detail, unreadable=unread)

    def count(self, telemetry: Telemetry) -> None:
        """Count it, when it is over."""
        for rule, some in self.spent.items():
            telemetry.rule(rule, some)
        self.spent.clear()
        for what, count in self.unreadable.items():
            telemetry.unreadable(self.account, what, count)
        telemetry.sweep(self.account, self.reason, self.took, self.rows)

    def blinding(self) -> str | None:
        """Why the account counts as not seen: a key or balance problem anywhere, or more than half of the jobs unread.

        A 404 says something of a job and nothing of the account.
        """
        account = next((reason for reason in self.failed if reason in _BLINDING), None)
        if account is not None:
            return account
        others = Counter({r: count for r, count in self.failed.items() if r != FailureReason.NOT_FOUND})
        return others.most_common(1)[0][0] if 2 * others.total() > self.jobs else None
