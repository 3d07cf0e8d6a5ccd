"""How templates are rendered: all that they print is made visible, then escaped."""

import functools
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from watcher.domain.phrasing import clock, number
from watcher.web.show import ago, shown, until

REFRESH_SECONDS = 15
"""How often a page comes anew where no script runs."""


@functools.cache
def environment() -> Environment:
    """The one of this process. Templates that say `now` in words take it from their own values."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters.update(number=number, clock=clock, ago=_ago, until=_until)
    env.globals.update(refresh=REFRESH_SECONDS, session=None, login=False, here="/", nav=())
    return env


@pass_context
def _ago(context: Context, moment: datetime) -> str:
    return ago(moment, context["now"])


@pass_context
def _until(context: Context, moment: datetime) -> str:
    return until(moment, context["now"])
