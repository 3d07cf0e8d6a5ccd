"""The settings in force, as YAML that can be shown to anyone."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from watcher.domain.durations import format_duration
from watcher.domain.rule import Rule, SubjectKind
from watcher.settings.model import Settings

_HIDDEN = "**********"


def effective(settings: Settings) -> str:
    """Every setting with its value; of a secret only that it is there, of a receiver's URL only its scheme."""
    tree = _plain(settings)
    shared = [rule for subject in SubjectKind for rule in settings.rules_on(subject)]
    tree["rules"] = {rule.name: _rule(rule) for rule in shared}
    for selection, shown in zip(settings.jobs, tree["jobs"], strict=True):
        shown["cancel"] = _plain(dataclasses.asdict(settings.cancel_policy(selection)))
        shown["rules"] = {rule.name: _rule(rule) for rule in settings.rules_for(selection) if rule not in shared}
        off = {rule.name for rule in settings.rules_on(SubjectKind.JOB)}
        shown["rules"] |= dict.fromkeys(sorted(off - {rule.name for rule in settings.rules_for(selection)}), "off")
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)


def _rule(rule: Rule) -> dict[str, Any]:
    kind = next(f.default for f in dataclasses.fields(rule) if f.name == "name")  # type: ignore[arg-type]
    values = {f.name: _plain(getattr(rule, f.name)) for f in dataclasses.fields(rule) if f.name != "name"}  # type: ignore[arg-type]
    return values if kind == rule.name else {"rule": kind, **values}


def _plain(value: Any) -> Any:  # noqa: ANN401 - a tree of anything
    if isinstance(value, BaseModel):
        return {info.alias or name: _plain(getattr(value, name)) for name, info in type(value).model_fields.items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, SecretStr):
        scheme, colon, secret = value.get_secret_value().partition("://")
        return f"{scheme}{colon}{_HIDDEN if secret else ''}" if colon else _HIDDEN
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, datetime | time):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value
