"""Keeps the daemon running, as a service manager does: whenever its process is gone, another one is started."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESTART = 0.1
"""Seconds between an end and the next start."""
_REFUSED = (2, 4)
"""Exit codes after which the unit of systemd does not start it again."""


@dataclass(slots=True)
class Life:
    """One process; times by the monotonic clock. `wanted` tells that we killed or stopped it."""

    number: int
    pid: int
    began: float
    ended: float | None = None
    code: int | None = None
    wanted: bool = False


class Keeper:
    """Runs one daemon after another, each with the same words; what they say is appended to two files."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.words, self.env, self.log = list(words), dict(env), log
        self.lives: list[Life] = []
        self.user: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._wanted, self._over = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        self._idle.clear()
        self._wanted.set()
        if not self._thread.is_alive():
            self._thread.start()

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def running(self) -> bool:
        return bool(self.lives) and self.life.ended is None

    def kill(self, number: int | None = None) -> bool:
        """SIGKILL to the process of that life, the present one by default; False when it is gone."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None or number not in (None, self.life.number):
                return False
            self.life.wanted = True
            process.kill()
            return True

    def stop(self, patience: float = 40.0) -> int | None:
        """End it well, and start no other until `start`; the exit code, None when it had to be killed."""
        self._wanted.clear()
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self.life.wanted = True
                self._process.terminate()
        if not self._idle.wait(patience):
            self.kill()
            self._idle.wait(patience)
            return None
        return self.life.code

    def close(self) -> None:
        self._over.set()
        self.stop(10.0)

    def _keep(self) -> None:
        while not self._over.is_set():
            if not self._wanted.wait(0.05):
                self._idle.set()
                continue
            with self.log.open("ab") as log:
                self._one(log)
            time.sleep(RESTART)
        self._idle.set()

    def _one(self, log: object) -> None:
        with self._lock:
            if not self._wanted.is_set():
                return
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "watcher", *self.words],
                env=self.env,
                stdout=log,  # type: ignore[arg-type]
                stderr=log,  # type: ignore[arg-type]
                cwd=self.env["HOME"],
                user=self.user,
            )
            self._process = process
            self.lives.append(Life(len(self.lives), process.pid, time.monotonic()))
        code = process.wait()
        self.life.ended, self.life.code = time.monotonic(), code
        if code in _REFUSED:
            self._wanted.clear()

    def peak_kb(self) -> int:
        """The most memory that the present process ever had, in kB; 0 when there is none."""
        try:
            status = (Path("/proc") / str(self.life.pid) / "status").read_text()
        except (OSError, IndexError):
            return 0
        return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
