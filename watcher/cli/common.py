"""What every command shares: options, the place of settings and state, and output for people and programs."""

import contextlib
import getpass
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher import bootstrap, logs
from watcher.service.errors import ConfigError, StoreError
from watcher.settings import Account, Settings, load_settings, state_dir
from watcher.store.sqlite import SqliteStore, open_store


class Format(StrEnum):
    """For whom a listing is."""

    TABLE = "table"
    JSON = "json"


class ListFormat(StrEnum):
    """For whom a long list is."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The YAML file. Without one: all jobs, default rules, alerts on the console."),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Where the database is. Default: WATCHER_STATE_DIR, else ~/.local/state/watcher."),
]
ByOption = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so. Default: you, by your login.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for those who wonder.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="table for people, json for programs.")]
ListFormatOption = Annotated[
    ListFormat, typer.Option("--format", "-f", help="table for people, json and csv for programs.")
]


def settings_of(config: Path | None, *, offline: bool = False) -> Settings:
    """The settings for a command.

    Raises:
        ConfigError: something in them is wrong.
    """
    return load_settings(config, os.environ, offline=offline)


def accounts_of(config: Path | None) -> tuple[Account, ...]:
    """The accounts; none where their keys are not to be had, as for a person who only looks."""
    with contextlib.suppress(ConfigError):
        return settings_of(config).accounts
    return ()


def set_up_logs(settings: Settings, *, level: str | None = None) -> None:
    """Logs go to stderr, without keys and addresses."""
    logs.configure_logs(level=level or settings.log.level.value, style=settings.log.format.value)
    for word in bootstrap.secret_words(settings, os.environ):
        logs.register_secret(word)


def state_of(option: Path | None) -> Path:
    """The state directory for a command."""
    return state_dir(option, os.environ)


def reading(config: Path | None, option: Path | None) -> SqliteStore:
    """The store, for looking only: safe beside a running daemon.

    Raises:
        StoreError: there is nothing yet, or it can't be read.
    """
    settings = settings_of(config, offline=True)
    path = bootstrap.database_path(settings, state_of(option))
    if not path.exists():
        raise StoreError(f"nothing is known yet: {path} does not exist. Start `watcher run` first.")
    return open_store(path, create=False, query_only=True)


def login() -> str:
    """Who asks, by the name that the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "somebody"


def print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """One JSON document on stdout; numbers that JSON does not know are refused rather than written wrongly."""
    json.dump(value, sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()
