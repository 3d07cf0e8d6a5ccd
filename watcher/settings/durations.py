"""The type of settings that are durations."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

from watcher.domain.durations import parse_duration

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
