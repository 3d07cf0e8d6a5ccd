"""A small disk of its own for a state directory: for that one has to be root."""

import os
import shutil
import subprocess
from pathlib import Path

SIZE = "16m"


def mount(folder: Path) -> bool:
    """Whether a tmpfs could be mounted there."""
    program = shutil.which("mount")
    if program is None or os.geteuid() != 0:
        return False
    command = [program, "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "chaos", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own words


def remount(folder: Path, how: str) -> None:
    """`ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)  # noqa: S603, S607 - as above


def unmount(folder: Path) -> None:
    """At once for everybody who comes, and for those who are there when they go."""
    subprocess.run(["umount", "-l", str(folder)], check=False)  # noqa: S603, S607 - as above
