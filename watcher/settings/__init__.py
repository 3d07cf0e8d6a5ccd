"""Settings: one frozen tree from a YAML file, secret files and the environment, checked as a whole."""

from watcher.domain.durations import format_duration, parse_duration
from watcher.settings.effective import effective
from watcher.settings.loading import load_settings
from watcher.settings.model import (
    Account,
    Cancel,
    Heartbeat,
    Log,
    LogFormat,
    LogLevel,
    Receiver,
    Selection,
    Settings,
    Web,
)
from watcher.settings.paths import state_dir

__all__ = [
    "Account",
    "Cancel",
    "Heartbeat",
    "Log",
    "LogFormat",
    "LogLevel",
    "Receiver",
    "Selection",
    "Settings",
    "Web",
    "effective",
    "format_duration",
    "load_settings",
    "parse_duration",
    "state_dir",
]
