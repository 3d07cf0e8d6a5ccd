"""New settings for a running process: what can be taken over at once, and what needs a restart."""

from collections.abc import Iterator

from watcher.settings.model import Settings

_FIXED = ("store", "web", "log")
"""Sections of what was opened at the start."""


def renewed(running: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """The new settings as far as they can be in force now, and the keys that wait for a restart."""
    waits = [key for section in _FIXED for key in _changed(running, new, section)]
    if running.cancel.settle != new.cancel.settle:
        waits.append("cancel.settle")
    kept: dict[str, object] = {section: getattr(running, section) for section in _FIXED}
    kept["cancel"] = new.cancel.model_copy(update={"settle": running.cancel.settle})
    return new.model_copy(update=kept), waits


def _changed(running: Settings, new: Settings, section: str) -> Iterator[str]:
    before, after = getattr(running, section), getattr(new, section)
    for key in type(before).model_fields:
        if getattr(before, key) != getattr(after, key):
            yield f"{section}.{key}"
