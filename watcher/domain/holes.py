"""Rows of a job that were there but could not be made out: read again, waited for, and given up in the end."""

from collections.abc import Iterable
from dataclasses import dataclass

from watcher.domain.observations import Row

AGAIN = 3
"""So many answers in a row may have such rows before they are not asked for again beyond what is asked anyway."""


@dataclass(frozen=True, slots=True)
class Torn:
    """The rows of one answer that could not be made out.

    `after` is the newest step before the last of them, 0 for none, and `trailing` how many stand behind all others.
    """

    count: int = 0
    after: int = 0
    trailing: int = 0

    def then(self, later: "Torn | None") -> "Torn":
        """This and a later part of the same answer."""
        if later is None:
            return Torn(self.count, self.after, 0)
        return Torn(self.count + later.count, max(self.after, later.after), later.trailing)


def torn(rows: Iterable[Row | None]) -> Torn:
    """Where the rows of an answer are that could not be made out, which are None."""
    count = after = trailing = newest = 0
    for row in rows:
        if row is None:
            count, after, trailing = count + 1, newest, trailing + 1
        else:
            newest, trailing = max(newest, row.step), 0
    return Torn(count, after, trailing)


@dataclass(slots=True)
class Holes:
    """What is known of such rows from one answer to the next; empty when the newest one was whole.

    A row that was spoilt on its way comes whole with another answer. One that never does is given up when the job's
    rows have passed it by as far as metrics are asked back, and must not keep an alert for ever.
    """

    answers: int = 0
    """In a row, with such rows."""
    ask_from: int | None = None
    """The step to ask from again."""
    open: bool = False
    """Whether such rows may yet come whole: what is concluded from the others is not certain."""
    end: tuple[int, int] = (0, 0)
    """(newest step, how many such rows after it) of the last answer."""

    def take_torn(self, torn: Torn, start: int, newest: int, overlap: int) -> bool:
        """An answer from `start` had such rows; `newest` is the newest step that is known.

        Returns whether such rows have come behind all others.
        """
        self.answers += 1
        again = self.answers < AGAIN
        self.open = again or max(torn.after, start) >= newest - overlap
        self.ask_from = min(start, start if self.ask_from is None else self.ask_from) if again else None
        before, self.end = self.end, (torn.after, torn.trailing)
        return torn.trailing > 0 and self.end != before

    def take_whole(self) -> None:
        """An answer had none, and reached as far back as was to be asked."""
        self.answers, self.ask_from, self.open, self.end = 0, None, False, (0, 0)
