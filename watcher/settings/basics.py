"""The building stones of the settings: strict sections, and values with their own checks."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from watcher.domain.durations import format_duration
from watcher.settings.durations import Duration

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
    return value


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def as_list(value: object) -> object:
    """One string where a list is expected is a list of one."""
    return [value] if isinstance(value, str) else value


def _not_below(least: timedelta) -> Callable[[timedelta], timedelta]:
    def check(value: timedelta) -> timedelta:
        if value < least:
            raise ValueError(f"expected at least {format_duration(least)}")
        return value

    return check


def filled(value: tuple[T, ...]) -> tuple[T, ...]:
    """Refuse an empty list."""
    if not value:
        raise ValueError("expected at least one entry")
    return value


Name = Annotated[str, AfterValidator(_checked_name)]
Globs = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Moment = Annotated[datetime, AfterValidator(_aware)]
Share = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[Duration, AfterValidator(_not_below(timedelta(milliseconds=50)))]
Cadence = Annotated[Duration, AfterValidator(_not_below(timedelta(minutes=1)))]
Positive = Annotated[Duration, AfterValidator(_not_below(timedelta(milliseconds=1)))]


class Part(BaseModel):
    """One section: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)
