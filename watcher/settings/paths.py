"""Where the watcher keeps its state."""

from collections.abc import Mapping
from pathlib import Path


def state_dir(option: Path | None, environ: Mapping[str, str]) -> Path:
    """The state directory: the option, WATCHER_STATE_DIR, systemd's, XDG's, or the one below the home directory."""
    if option is not None:
        return option.expanduser()
    if chosen := environ.get("WATCHER_STATE_DIR"):
        return Path(chosen).expanduser()
    if systemd := environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":", 1)[0])  # systemd joins several StateDirectory= with colons
    xdg = Path(environ.get("XDG_STATE_HOME", ""))
    if xdg.is_absolute():  # the XDG specification says to ignore a relative one
        return xdg / "watcher"
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return home / ".local" / "state" / "watcher"
