"""The folder of the demo: emptied of what an earlier demo made, and of nothing else."""

import contextlib
import json
import shutil
from collections import Counter
from pathlib import Path

from watcher.service.errors import ConfigError

_MARKER = ".watcher-demo"


class Folder:
    """Where the demo writes. Everything in it that is not the demo's own is left alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.alerts = root / "alerts.jsonl"
        self.notifications = root / "notifications"
        self.log = root / "watcher.log"
        self.api_log = root / "api.log"
        self.state = root / "state"
        self._marker = root / _MARKER

    def prepare(self) -> None:
        """Make it, and empty it of what an earlier demo left.

        Raises:
            ConfigError: it can't be used, or holds things of these names that no demo made.
        """
        own = (self.alerts, self.notifications, self.log, self.api_log, self.state)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            foreign = [path.name for path in own if _there(path)] if not self._marker.is_file() else []
            if foreign:
                raise ConfigError(
                    f"--out {self.root}: holds {', '.join(foreign)}, which no demo made; expected another folder"
                )
            self._marker.touch()
            for path in own:
                _remove(path)
            self.notifications.mkdir()
            self.alerts.touch()
        except OSError as error:
            raise ConfigError(f"--out {self.root}: expected a folder that can be written ({error.strerror})") from error


class ApiLog:
    """The simulator's log of requests, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.requests = 0
        self.faults = Counter[str]()
        """What went wrong on purpose, by kind."""

    def read(self) -> None:
        """Take in what was written since the last time; a line that is not whole yet waits."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole) + len(newline)
            for line in whole.splitlines():
                entry = json.loads(line)
                self.requests += 1
                if entry["fault"]:
                    self.faults[entry["fault"]] += 1


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
