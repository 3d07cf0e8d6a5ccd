"""New settings for a running process: what can be taken over at once, and what needs a restart."""

from collections.abc import Iterator

from watcher.settings.model import Account, Settings

_FIXED = ("store", "web", "log")
"""Sections of what was opened at the start."""


def renewed(running: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """The new settings as far as they can be in force now, and the keys that wait for a restart."""
    waits = [key for section in _FIXED for key in _changed(running, new, section)]
    if running.cancel.settle != new.cancel.settle:
        waits.append("cancel.settle")
    keys = {account.name: account.api_key for account in running.accounts}
    waits += [f"accounts[{a.name}].api_key" for a in new.accounts if keys.get(a.name, a.api_key) != a.api_key]
    kept: dict[str, object] = {section: getattr(running, section) for section in _FIXED}
    kept["accounts"] = tuple(_with_key(account, running) for account in new.accounts)
    kept["cancel"] = new.cancel.model_copy(update={"settle": running.cancel.settle})
    return new.model_copy(update=kept), waits


def _changed(running: Settings, new: Settings, section: str) -> Iterator[str]:
    before, after = getattr(running, section), getattr(new, section)
    for key in type(before).model_fields:
        if getattr(before, key) != getattr(after, key):
            yield f"{section}.{key}"


def _with_key(account: Account, running: Settings) -> Account:
    known = next((old for old in running.accounts if old.name == account.name), account)
    return account.model_copy(update={"api_key": known.api_key})
