"""`drift`: the API used a word that this version does not know, or goes on with what can't be made out."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain.observations import Drift, Observation, SweepOutcome
from watcher.domain.phrasing import clock, pairs, quote, slug, span
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict

_WORDS = 50
_WORD = 80
"""Characters of a word that are kept."""
_MEANS = {
    "jobs": "a job that can't be made out is not watched",
    "rows": "alerts of their jobs do not end while such rows may come whole, and are no ground for a cancel",
    "events": "what they say is not known",
}


@dataclass(frozen=True, slots=True)
class Word:
    """An unknown word and where it was first met."""

    kind: str
    what: str
    word: str
    job_id: str
    at: datetime


@dataclass(slots=True)
class Unread:
    """Entries of one kind (`jobs`, `rows` or `events`) that could not be made out, in so many sweeps since a time."""

    what: str
    job_id: str
    since: datetime
    last: datetime
    count: int = 0
    sweeps: int = 0


@dataclass(slots=True)
class DriftState:
    """At most 50 words; later ones are dropped: by then it is another API, and people have been told."""

    words: list[Word] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DriftRule:
    """Tells each unknown status, event type or metric key once for the account. Nothing stops because of one.

    Kinds `unreadable:jobs`, `:rows` and `:events`: entries could not be made out in `unreadable_sweeps` sweeps, which
    is over after `unreadable_quiet` without such ones. An answer that was spoilt on its way is nobody's business.
    """

    name: str = "drift"
    unreadable_sweeps: int = 5
    unreadable_quiet: timedelta = timedelta(minutes=15)

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.ACCOUNT
    sees: ClassVar[tuple[type, ...]] = (Drift, SweepOutcome)
    timed: ClassVar[bool] = False

    def start(self) -> DriftState:
        return DriftState()

    def observe(self, state: DriftState, observation: Observation) -> None:
        match observation:
            case Drift():
                self._take_word(state, observation)
            case SweepOutcome():
                self._take_unread(state, observation)
            case _:
                pass

    def _take_unread(self, state: DriftState, sweep: SweepOutcome) -> None:
        for what, count, job_id in sweep.unreadable:
            found = next((unread for unread in state.unread if unread.what == what), None)
            if found is None:
                found = Unread(what, quote(job_id, _WORD), sweep.at, sweep.at)
                state.unread.append(found)
            found.last, found.count, found.sweeps = sweep.at, found.count + count, found.sweeps + 1
        if sweep.reason is None:
            state.unread = [u for u in state.unread if sweep.at - u.last < self.unreadable_quiet]

    def _take_word(self, state: DriftState, observation: Drift) -> None:
        if len(state.words) >= _WORDS:
            return
        kind = slug(f"{observation.what}:{observation.word}")
        if all(word.kind != kind for word in state.words):
            shown = quote(observation.word, _WORD)
            state.words.append(Word(kind, observation.what, shown, quote(observation.job_id, _WORD), observation.at))

    def judge(self, state: DriftState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        found = [_finding(word) for word in state.words]
        found += [_unreadable(unread) for unread in state.unread if unread.sweeps >= self.unreadable_sweeps]
        return Breach(tuple(found)) if found else CLEAR


def _finding(word: Word) -> Finding:
    return Finding(
        kind=word.kind,
        severity=Severity.INFO,
        reason=f'The API used 1 {word.what} word that this version does not know: "{word.word}"; it was skipped.',
        evidence=pairs(("word", word.word), ("first seen in", word.job_id), ("first seen at", clock(word.at))),
        notice=True,
    )


def _unreadable(unread: Unread) -> Finding:
    means = _MEANS.get(unread.what, "what they say is not known")
    return Finding(
        kind=slug(f"unreadable:{unread.what}"),
        severity=Severity.WARNING,
        reason=(
            f"In {unread.sweeps} sweeps within {span(unread.last - unread.since)} some {unread.what} that the API gave "
            f"could not be made out, {unread.count} in all: {means}."
        ),
        evidence=pairs(("first seen in", unread.job_id), ("first seen at", clock(unread.since))),
    )
