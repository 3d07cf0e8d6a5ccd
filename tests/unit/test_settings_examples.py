"""The configuration files that ship load, document every key, and say the defaults that are in force."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.leaks import CANARY
from watcher.domain.rules import RULES
from watcher.service.errors import ConfigError
from watcher.settings import Settings, effective, load_settings
from watcher.settings.telling import RouteEntry, Telling

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "watcher.example.yaml"
DEMO = ROOT / "config" / "demo.yaml"
REFERENCE = ROOT / "docs" / "reference" / "configuration.md"
KEY = {"TOGETHER_API_KEY": CANARY}


def model_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key that the settings have, list entries without their numbers."""
    for name, info in model.model_fields.items():
        if model is RouteEntry and name in Telling.model_fields:
            continue  # the same keys as in `route`
        key = f"{prefix}{info.alias or name}"
        yield key
        if name in {"exclude", "unless", "when", "mute"}:
            continue  # the same keys as `match`
        for below in _models(info.annotation):
            yield from model_keys(below, f"{key}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def as_shown(key: str) -> str:
    """A key as the reference writes it: entries of lists with their brackets."""
    return re.sub(r"^(accounts|jobs|receivers|route\.routes|mute_times|inhibit|life|digests)\.", r"\1[].", key)


def tree_keys(tree: object, prefix: str = "") -> Iterator[str]:
    """Every key that a file gives."""
    if isinstance(tree, list):
        for item in tree:
            yield from tree_keys(item, prefix)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{prefix}{key}"
            yield from tree_keys(value, f"{prefix}{key}.")


def name_of(rule: type[Any]) -> str:
    return str(next(f.default for f in dataclasses.fields(rule) if f.name == "name"))


def settings_of(rule: type[Any]) -> set[str]:
    return {f.name for f in dataclasses.fields(rule) if f.name != "name"}


def uncommented() -> str:
    """The example with its examples in force: those lines have no space after the mark."""
    return re.sub(r"^( *)#(?=[^ #])", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)


def test_the_example_is_the_defaults() -> None:
    shown = effective(load_settings(EXAMPLE, KEY)).replace("receiver: console", "receiver: null")

    assert shown == effective(load_settings(None, KEY))


def test_the_examples_in_the_example_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(uncommented())
    (tmp_path / "nightly_api_key").write_text(f"{CANARY}-nightly")
    environ = KEY | {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "RESEARCH_API_KEY": f"{CANARY}-research",
        "CUSTOMER_API_KEY": f"{CANARY}-customer",
        "TEAM_SLACK_URL": f"slack://{CANARY}/b/c",
        "TEAM_MAIL_URL": f"mailtos://u:{CANARY}@host",
    }

    assert [account.name for account in load_settings(path, environ).accounts][1:] == [
        "research",
        "nightly",
        "customer",
    ]


def places(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a tree that holds something."""
    if path:
        yield path
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in entries:
        yield from places(value, (*path, key))


def replaced(tree: Any, path: tuple[str | int, ...], value: object, key: str | None) -> Any:
    """A copy with another value at a place, or another key for it."""
    copied: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    if path[1:]:
        copied[path[0]] = replaced(copied[path[0]], path[1:], value, key)
    elif key is not None and isinstance(copied, dict):
        copied[key] = copied.pop(path[0])
    else:
        copied[path[0]] = value
    return copied


def report_of(path: Path, environ: dict[str, str]) -> str:
    try:
        load_settings(path, environ)
    except ConfigError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize("as_key", [False, True], ids=["as a value", "as a key"])
def test_a_key_that_is_pasted_in_a_wrong_place_is_never_shown(tmp_path: Path, as_key: bool) -> None:  # noqa: FBT001
    tree = yaml.safe_load(uncommented())
    path = tmp_path / "all.yaml"
    secret = f"sk-{CANARY}"
    refused = 0
    for place in places(tree):
        wrong = replaced(tree, place, secret, secret if as_key else None)
        path.write_text(yaml.safe_dump(wrong))
        report = report_of(path, {"TOGETHER_API_KEY": secret})
        refused += bool(report)
        assert secret not in report, place

    assert refused > 100


@pytest.mark.parametrize("key", sorted(set(model_keys(Settings))))
def test_the_example_lists_every_key(key: str) -> None:
    assert key in set(tree_keys(yaml.safe_load(uncommented())))


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_the_example_lists_every_rule_with_every_setting(rule: type[Any]) -> None:
    given = yaml.safe_load(uncommented())["rules"]

    assert name_of(rule) in given
    assert settings_of(rule) == set(given[name_of(rule)] or {})


@pytest.mark.parametrize("key", sorted(set(model_keys(Settings))))
def test_the_reference_has_a_line_for_every_key(key: str) -> None:
    assert re.search(rf"^\| `{re.escape(as_shown(key))}` \|", REFERENCE.read_text(), flags=re.MULTILINE)


def test_the_reference_has_no_key_that_is_not_there() -> None:
    shown = re.findall(r"^\| `([a-z][a-z_.\[\]]*)` \|", REFERENCE.read_text(), flags=re.MULTILINE)
    known = {as_shown(key) for key in model_keys(Settings)}

    assert set(shown) - known == set()


def test_the_demo_lists_every_rule_so_that_removing_one_removes_its_alerts() -> None:
    settings = load_settings(DEMO, {})

    assert settings.rules is not None
    assert set(settings.rules) == {name_of(rule) for rule in RULES}
    assert settings.web.port == 0
