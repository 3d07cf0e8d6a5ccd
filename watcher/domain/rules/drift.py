"""`drift`: the API used a word that this version does not know."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from watcher.domain.observations import Drift, Observation
from watcher.domain.phrasing import clock, pairs, quote, slug
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict

_WORDS = 50
_WORD = 80
"""Characters of a word that are kept."""


@dataclass(frozen=True, slots=True)
class Word:
    """An unknown word and where it was first met."""

    kind: str
    what: str
    word: str
    job_id: str
    at: datetime


@dataclass(slots=True)
class DriftState:
    """At most 50 words; later ones are dropped: by then it is another API, and people have been told."""

    words: list[Word] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DriftRule:
    """Tells each unknown status, event type or metric key once for the account. Nothing stops because of one."""

    name: str = "drift"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.ACCOUNT
    sees: ClassVar[tuple[type, ...]] = (Drift,)
    timed: ClassVar[bool] = False

    def start(self) -> DriftState:
        return DriftState()

    def observe(self, state: DriftState, observation: Observation) -> None:
        if not isinstance(observation, Drift) or len(state.words) >= _WORDS:
            return
        kind = slug(f"{observation.what}:{observation.word}")
        if all(word.kind != kind for word in state.words):
            shown = quote(observation.word, _WORD)
            state.words.append(Word(kind, observation.what, shown, quote(observation.job_id, _WORD), observation.at))

    def judge(self, state: DriftState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        return Breach(tuple(_finding(word) for word in state.words)) if state.words else CLEAR


def _finding(word: Word) -> Finding:
    return Finding(
        kind=word.kind,
        severity=Severity.INFO,
        reason=f'The API used 1 {word.what} word that this version does not know: "{word.word}"; it was skipped.',
        evidence=pairs(("word", word.word), ("first seen in", word.job_id), ("first seen at", clock(word.at))),
        notice=True,
    )
