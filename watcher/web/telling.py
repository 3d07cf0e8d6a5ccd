"""Who is told and who is not: silences, and receivers with the last result of each of their targets."""

from datetime import datetime, timedelta
from typing import Any

from watcher.service.parked import row_view
from watcher.service.ports import Reads, Receivers
from watcher.service.records import OutboxRow, OutboxState

PAST = timedelta(days=30)
"""How long a silence that is over is still listed."""
MOST_DEAD = 200

Json = dict[str, Any]


def silence_page(reads: Reads, now: datetime) -> Json:
    """Silences in force and to come, the first to end first; and those that are over, the last first."""
    rows = [
        {
            "id": silence.id,
            "matchers": [str(matcher) for matcher in silence.matchers],
            "author": silence.author,
            "comment": silence.comment,
            "begins": silence.starts_at,
            "ends": silence.ends_at,
            "active": silence.holds(now),
            "over": silence.ends_at <= now,
        }
        for silence in reads.silences(now - PAST)
    ]
    return {
        "active": [row for row in rows if not row["over"]],
        "past": [row for row in reversed(rows) if row["over"]],
    }


def receiver_page(reads: Reads, now: datetime, receivers: Receivers) -> Json:
    """Every receiver with its targets; what is known only from the outbox (its address is gone) comes last."""
    latest: dict[tuple[str, str], dict[OutboxState, OutboxRow]] = {}
    for row in reads.latest_effects():
        latest.setdefault((row.receiver, row.target), {})[row.state] = row
    found = [
        {
            "name": name,
            "targets": [
                _target(target.scheme, target.id, latest.pop((name, target.id), {}), now)
                for target in receivers.targets(name)
            ],
        }
        for name in receivers.names()
    ]
    dead = reads.outbox(states=[OutboxState.DEAD], limit=MOST_DEAD)
    return {
        "receivers": found,
        "gone": [
            {"receiver": name, **_target("", target, rows, now)} for (name, target), rows in sorted(latest.items())
        ],
        "dead": [_dead(row) for row in reversed(dead)],
        "outbox": reads.outbox_counts(now),
    }


def _target(scheme: str, target: str, rows: dict[OutboxState, OutboxRow], now: datetime) -> Json:
    done, dead = rows.get(OutboxState.DONE), rows.get(OutboxState.DEAD)
    waiting = [row for state, row in rows.items() if state in (OutboxState.DUE, OutboxState.CLAIMED)]
    troubled = next((row for row in waiting if row.error), None)
    return {
        "scheme": scheme,
        "id": target,
        "word": _word(done, dead, troubled),
        "delivered_at": done.done_at if done else None,
        "failed_at": dead.done_at if dead else None,
        "error": troubled.error if troubled else dead.error if dead and _after(dead, done) else "",
        "attempts": troubled.attempts if troubled else 0,
        "next_at": troubled.next_at if troubled and troubled.next_at > now else None,
    }


def _word(done: OutboxRow | None, dead: OutboxRow | None, troubled: OutboxRow | None) -> str:
    """How the last thing that was sent there went."""
    if troubled is not None:
        return "failing"
    if dead is not None and _after(dead, done):
        return "gave up"
    return "delivered" if done is not None else "nothing sent yet"


def _after(one: OutboxRow, other: OutboxRow | None) -> bool:
    return other is None or other.done_at is None or (one.done_at is not None and one.done_at > other.done_at)


def _dead(row: OutboxRow) -> Json:
    return row_view(row) | {"gave_up_at": row.done_at}
