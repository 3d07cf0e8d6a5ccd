"""Dead letters: what was given up is kept, and sent again when a person says so."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watcher.service.consent import person_of
from watcher.service.drill import RULE as DRILL
from watcher.service.errors import ConfigError
from watcher.service.ports import Reads, Writes
from watcher.service.records import Act, Effect, JobKey, OutboxRow, OutboxState
from watcher.service.status import iso

OPEN = (OutboxState.DUE, OutboxState.CLAIMED, OutboxState.DEAD)
"""All but what is done."""
_EVERYTHING = 1_000_000


def outbox_views(reads: Reads, *, dead_only: bool = False) -> list[dict[str, Any]]:
    """What is still to be performed and what was given up, oldest first, as JSON values."""
    states = [OutboxState.DEAD] if dead_only else OPEN
    return [row_view(row) for row in reads.outbox(states=states, limit=_EVERYTHING)]


def row_view(row: OutboxRow) -> dict[str, Any]:
    """One effect; the text of its message may hold words of the API."""
    message = row.payload if isinstance(row.payload, dict) else {}
    return {
        "key": row.key,
        "effect": row.effect.value,
        "receiver": row.receiver,
        "target": row.target,
        "state": row.state.value,
        "attempts": row.attempts,
        "created_at": iso(row.created_at),
        "next_at": iso(row.next_at) if row.state is OutboxState.DUE else None,
        "parked_at": iso(row.done_at) if row.state is OutboxState.DEAD else None,
        "error": row.error,
        "title": str(message.get("title", "")),
        "subject": str(message.get("subject", "")),
    }


def retry_asked(tx: Writes, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`requeue` with what a command says.

    Raises:
        ConfigError: no dead letter has this key.
    """
    key = None if request.get("key") is None else str(request["key"])
    keys = requeue(tx, key, now)
    outcome = f"{len(keys)} due again" if key is None else f"{key} is due again"
    tx.add_audit(person_of(request).audit(Act.RETRY, JobKey("", ""), now, outcome=outcome))
    return {"retried": keys}


def requeue(tx: Writes, key: str | None, now: datetime) -> list[str]:
    """Make one dead letter due again, or all of them; returns their keys.

    All means all notifications but drills: a cancel that was given up is asked for again only by its own key.

    Raises:
        ConfigError: no dead letter has this key.
    """
    dead = tx.outbox(states=[OutboxState.DEAD], limit=_EVERYTHING)
    chosen = [row for row in dead if (_is_news(row) if key is None else row.key == key)]
    if key is not None and not chosen:
        raise ConfigError(f"{key!r} is no dead letter; expected a key that `watcher outbox list --dead` shows")
    return [row.key for row in chosen if tx.requeue(row.id, now)]


def _is_news(row: OutboxRow) -> bool:
    return row.effect is Effect.NOTIFY and not (isinstance(row.payload, dict) and row.payload.get("rule") == DRILL)
