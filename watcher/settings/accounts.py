"""Where an account's key and address come from; works on the raw tree, before it is validated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from watcher.settings.problems import KeyPath, Origins, Problem
from watcher.settings.surroundings import Found, Surroundings

DEFAULT_KEY = "TOGETHER_API_KEY"
DEFAULT_ADDRESS = "TOGETHER_BASE_URL"
_WAYS = ("api_key", "api_key_env", "api_key_file")


def fill_accounts(tree: dict[str, Any], around: Surroundings, origins: Origins) -> None:
    """Give every account its key and address, the default one when the settings name none."""
    accounts = tree.setdefault("accounts", [{"name": "default"}])
    for index, account in enumerate(accounts if isinstance(accounts, list) else ()):
        if isinstance(account, dict):
            path = ("accounts", index)
            _fill_key(account, path, around)
            _fill_address(account, path, around, origins)


def _fill_key(account: dict[str, Any], path: KeyPath, around: Surroundings) -> None:
    given = [way for way in _WAYS if account.get(way) is not None]
    if len(given) > 1:
        expected = f"expected one of api_key, api_key_env and api_key_file, not {' and '.join(given)}"
        around.problems.append(Problem((*path, given[1]), expected))
        return
    way = given[0] if given else None
    if way == "api_key":
        if not str(account["api_key"]).strip():
            around.problems.append(Problem((*path, "api_key"), "expected a key that is not empty"))
        return
    before = len(around.problems)
    found = _find(account, way, path, around)
    if found is not None:
        account["api_key"] = found.value.strip()
    elif len(around.problems) == before:  # a file that can't be read was told already
        around.problems.append(Problem(*_missing(account, way, path)))


def _find(account: Mapping[str, Any], way: str | None, path: KeyPath, around: Surroundings) -> Found | None:
    if way == "api_key_env":
        return around.lookup(str(account["api_key_env"]))
    if way == "api_key_file":
        return around.read(Path(str(account["api_key_file"])), "", (*path, "api_key_file"))
    return around.lookup(DEFAULT_KEY)


def _missing(account: Mapping[str, Any], way: str | None, path: KeyPath) -> tuple[KeyPath, str]:
    if way == "api_key_env":
        return (*path, way), f"expected the environment variable {account['api_key_env']} to be set"
    ways = f"give the account one of {', '.join(_WAYS)}"
    return (*path, "api_key"), f"expected a key: set the variable {DEFAULT_KEY} or {DEFAULT_KEY}_FILE, or {ways}"


def _fill_address(account: dict[str, Any], path: KeyPath, around: Surroundings, origins: Origins) -> None:
    if account.get("base_url") is None:
        account.pop("base_url", None)
        if found := around.lookup(DEFAULT_ADDRESS):
            account["base_url"] = found.value
            origins.override((*path, "base_url"), found.origin)
