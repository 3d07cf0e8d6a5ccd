"""How long a finding must hold before its alert fires, and be gone before it is over."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from watcher.domain.durations import parse_duration
from watcher.domain.life import Life, parse_count
from watcher.settings.basics import Part, as_list, filled
from watcher.settings.durations import Duration


def _read(text: str) -> tuple[int, int, timedelta]:
    """(rows, sweeps, time) of `3 rows`, `2 sweeps` or a duration."""
    count = parse_count(text)
    return (*count, timedelta(0)) if count is not None else (0, 0, parse_duration(text))


def _checked(value: str) -> str:
    try:
        _read(value)
    except ValueError:
        wanted = "expected a number of rows or sweeps, or a duration, such as 3 rows, 2 sweeps or 10m"
        raise ValueError(wanted) from None
    return value


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


HowLong = Annotated[str, BeforeValidator(_as_text), AfterValidator(_checked)]


class LifeEntry(Part):
    """The life of the alerts of some rules; the first entry that names a rule has it."""

    rules: Annotated[tuple[str, ...], BeforeValidator(as_list), AfterValidator(filled)]
    how_long: HowLong = Field(default="0s", alias="for")
    keep_firing_for: Duration = timedelta(0)
    grace: Duration = timedelta(0)

    def life(self) -> Life:
        """As the domain takes it."""
        rows, sweeps, time = _read(self.how_long)
        return Life(rows=rows, sweeps=sweeps, time=time, keep_firing_for=self.keep_firing_for, grace=self.grace)


def lives(entries: Sequence[LifeEntry], rule_names: Iterable[str]) -> dict[str, Life]:
    """The life of each rule that an entry names."""
    found = dict[str, Life]()
    for name in rule_names:
        entry = next((e for e in entries if any(fnmatchcase(name, glob) for glob in e.rules)), None)
        if entry is not None:
            found[name] = entry.life()
    return found
