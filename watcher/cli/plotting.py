"""Pictures of replayed runs: one PNG a run, drawn beside the replay."""

import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from watcher.domain.chart import chart_of, draw
from watcher.domain.replay import Replay
from watcher.notify.picture import PictureError, render_png
from watcher.service.errors import ConfigError

_LONGEST = 80


class Plots:
    """A directory of pictures. Each is rendered by a process of its own, as many at once as there are processors."""

    def __init__(self, directory: Path) -> None:
        """Make the directory.

        Raises:
            ConfigError: it can't be made.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{directory}: {error.strerror}; expected a directory for the pictures") from error
        self._directory = directory
        self._taken: set[str] = set()
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="plots")
        self._pending: list[Future[str]] = []

    def draw(self, result: Replay, cancel: float | None) -> None:
        """Draw one run and where it would be cancelled; it is on disk after `finish`."""
        recording = result.recording
        svg = draw(
            chart_of(
                recording.id,
                recording.rows,
                subtitle=f"{len(recording.rows):,} rows",
                total_steps=recording.total_steps,
                alerts=result.alerts,
                cancel=cancel,
                cancel_label="would cancel",
            )
        )
        path = self._directory / self._name(recording.id)
        self._pending.append(self._pool.submit(_write, path, svg))

    def finish(self, tell: Callable[[str], None]) -> list[str]:
        """Wait for all pictures; a sentence for each that failed."""
        failures = []
        with self._pool:
            for number, future in enumerate(self._pending, 1):
                failures.append(future.result())
                tell(f"{number} of {len(self._pending)} pictures")
        return [failure for failure in failures if failure]

    def _name(self, run: str) -> str:
        """A file name from an id, which may be a path or anything else; never that of another run."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", run).strip("._-")[-_LONGEST:]
        name, number = stem if stem == run else f"{stem or 'run'}-{_mark(run)}", 1
        free = name
        while free.lower() in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free.lower())
        return f"{free}.png"


def _mark(run: str) -> str:
    return hashlib.sha256(run.encode(errors="replace")).hexdigest()[:8]


def _write(path: Path, svg: str) -> str:
    """Nothing, or why there is no picture."""
    try:
        path.write_bytes(render_png(svg))
    except PictureError as error:
        return f"{path}: {error}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""
