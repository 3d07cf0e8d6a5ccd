"""What people say to the router: a silence, its early end, and that somebody takes care of an alert."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from watcher.domain.alerts import Alert, AlertState
from watcher.domain.durations import parse_duration
from watcher.domain.groups import FOREVER, Decision
from watcher.domain.matching import Matcher, parse_matcher
from watcher.domain.muting import Silence
from watcher.service.consent import Person
from watcher.service.errors import ConfigError
from watcher.service.ports import Reads, Writes
from watcher.service.records import Ack, Act, JobKey
from watcher.service.status import iso

LONGEST_SILENCE = timedelta(days=366)
"""A silence is for a while; what is never to be told is a matter of the routes."""
_EVERYTHING = JobKey("", "")
"""What is about no job in particular."""
_BEGINNING = datetime.fromtimestamp(0, tz=UTC)


def parse_matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    """The matchers of a silence.

    Raises:
        ConfigError: one can't be read, or there is none: that would silence everything.
    """
    try:
        found = tuple(parse_matcher(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"silence: {error}") from None
    if not found:
        raise ConfigError("silence: expected at least one matcher, such as suffix=nightly-*")
    return found


def silence_asked(tx: Writes, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`add_silence` with what a command says.

    Raises:
        ConfigError: the matchers or the duration can't be meant.
    """
    try:
        duration = timedelta(seconds=float(request["seconds"]))
    except (OverflowError, ValueError) as error:
        raise ConfigError(f"silence: expected a duration of at most 366d ({error})") from None
    matchers, person = [str(matcher) for matcher in request["matchers"]], _person(request)
    made = add_silence(tx, matchers, duration, author=person.who, comment=person.why, now=now)
    outcome = f"silence {made['id']} until {made['ends_at']}: {' '.join(made['matchers'])}"
    tx.add_audit(person.audit(Act.SILENCE, _EVERYTHING, now, outcome=outcome))
    return made


def expire_asked(tx: Writes, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`expire_silence` with what a command says.

    Raises:
        ConfigError: no silence of that id is in force.
    """
    ended = expire_silence(tx, str(request["id"]), now)
    tx.add_audit(_person(request).audit(Act.EXPIRE, _EVERYTHING, now, outcome=f"silence {ended['id']}"))
    return ended


def ack_asked(tx: Writes, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`acknowledge` with what a command says.

    Raises:
        ConfigError: there is no such alert, or it is over.
    """
    person, until = _person(request), _until(str(request.get("until", "")), now)
    known = acknowledge(tx, str(request["alert"]), author=person.who, comment=person.why, now=now, until=until)
    subject = alert_of(tx, known["alert"]).subject
    outcome = f"alert {known['alert']}, {known['acknowledged_by']} has it"
    tx.add_audit(person.audit(Act.ACK, JobKey(subject.account, subject.job_id), now, outcome=outcome))
    return known


def _until(text: str, now: datetime) -> datetime | None:
    """A duration from now, or a moment; nothing is for good."""
    if not text:
        return None
    try:
        until = now + parse_duration(text)
    except (ValueError, OverflowError):
        until = _moment(text)
    if not now < until <= now + LONGEST_SILENCE:
        raise ConfigError(f"ack: {text}: expected a time that is to come, and at most 366d ahead")
    return until


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ConfigError(f"ack: {text!r}: expected a duration such as 2h, or a moment such as 2026-11-30T08:00:00Z")
    return found.astimezone(UTC)


def _person(request: Mapping[str, Any]) -> Person:
    """Who asks, and by which way: a command unless it is said."""
    words = (str(request.get(name, default)) for name, default in (("author", ""), ("via", "command"), ("comment", "")))
    return Person(*words)


def add_silence(
    tx: Writes, matchers: Sequence[str], duration: timedelta, *, author: str, comment: str, now: datetime
) -> dict[str, Any]:
    """Hold back what matches, from now on for a while.

    Raises:
        ConfigError: the matchers or the duration can't be meant.
    """
    parsed = parse_matchers(matchers)
    if not timedelta(0) < duration <= LONGEST_SILENCE:
        raise ConfigError(f"silence: {duration}: expected a duration of more than 0s and at most 366d")
    text = "\x1f".join((*map(str, parsed), author, now.isoformat()))
    silence = Silence(
        id=hashlib.sha256(text.encode()).hexdigest()[:8],
        matchers=parsed,
        author=author,
        comment=comment,
        starts_at=now,
        ends_at=now + duration,
    )
    tx.save_silence(silence)
    return silence_view(silence, now)


def expire_silence(tx: Writes, silence_id: str, now: datetime) -> dict[str, Any]:
    """End a silence early; what it held back is looked at at once.

    Raises:
        ConfigError: no silence of that id is in force.
    """
    for silence in tx.silences(now):
        if silence.id == silence_id:
            break
    else:
        raise ConfigError(f"silence {silence_id!r} is not in force; expected an id that `watcher silence list` shows")
    ended = Silence(
        id=silence.id,
        matchers=silence.matchers,
        author=silence.author,
        comment=silence.comment,
        starts_at=silence.starts_at,
        ends_at=now,
    )
    tx.save_silence(ended)
    for group in tx.groups():
        if any(member.muted for member in group.members.values()):
            group.flush_at = now if group.flush_at is None else min(group.flush_at, now)
            tx.save_group(group)
    return silence_view(ended, now)


def silence_views(reads: Reads, now: datetime, *, past: bool = False) -> list[dict[str, Any]]:
    """Silences as JSON values, the first to end first."""
    return [silence_view(silence, now) for silence in reads.silences(_BEGINNING if past else now)]


def silence_view(silence: Silence, now: datetime) -> dict[str, Any]:
    """One silence as JSON values."""
    return {
        "id": silence.id,
        "active": silence.holds(now),
        "matchers": [str(matcher) for matcher in silence.matchers],
        "author": silence.author,
        "comment": silence.comment,
        "starts_at": iso(silence.starts_at),
        "ends_at": iso(silence.ends_at),
    }


def held_until(tx: Writes, alert_id: str, now: datetime) -> datetime | None:
    """Until when somebody has an alert; None where nobody has it. An acknowledgement whose time is over is let go."""
    known = tx.ack(alert_id)
    if known is None or known.until is None:
        return None if known is None else FOREVER
    if known.until > now:
        return known.until
    tx.drop_ack(alert_id)
    return None


def acknowledge(
    tx: Writes, alert_id: str, *, author: str, comment: str, now: datetime, until: datetime | None = None
) -> dict[str, Any]:
    """Somebody takes care of an alert: it is not repeated or escalated any more, or not until a time.

    The first one to say so stays, as long as it holds.

    Raises:
        ConfigError: there is no such alert, or it is over.
    """
    alert = alert_of(tx, alert_id)
    held_until(tx, alert.id, now)
    known = tx.ack(alert.id)
    if known is None and alert.state is not AlertState.FIRING:
        raise ConfigError(f"alert {alert.id} is over: there is nothing left to acknowledge")
    if known is None:
        known = Ack(alert.id, author, comment, now, until)
        tx.save_ack(known)
        held = f" until {iso(until)}" if until else ""
        why = f"by {author}{held}" + (f": {comment}" if comment else "")
        tx.add_decisions([(Decision(alert_id=alert.id, receiver="", at=now, what="acknowledged", why=why), "")])
        if until is not None:
            _look_again(tx, alert.id, until)
    return {"alert": alert.id, "rule": alert.rule, "subject": alert.subject.name, **ack_view(known)}


def _look_again(tx: Writes, alert_id: str, at: datetime) -> None:
    for group in tx.groups():
        if alert_id in group.members:
            group.flush_at = at if group.flush_at is None else min(group.flush_at, at)
            tx.save_group(group)


def alert_of(reads: Reads, word: str) -> Alert:
    """The alert of an id, or the one that a message told of: its last line is what people have at hand.

    Raises:
        ConfigError: there is none, or the message told of several.
    """
    told = [word] if reads.alert(word) is not None else reads.told_by(word)
    if len(told) > 1:
        raise ConfigError(f"the message {word!r} told of {len(told)} alerts; expected one of {', '.join(told)}")
    alert = reads.alert(told[0]) if told else None
    if alert is None:
        expected = "expected an id that `watcher alerts` shows, or that of a message that told of it"
        raise ConfigError(f"alert {word!r} is not known; {expected}")
    return alert


def ack_view(ack: Ack) -> dict[str, Any]:
    """An acknowledgement as JSON values."""
    return {
        "acknowledged_by": ack.author,
        "acknowledged_at": iso(ack.at),
        "acknowledged_until": iso(ack.until),
        "comment": ack.comment,
    }
