"""A wall clock for one process that reads what a file says, by libfaketime."""

from pathlib import Path

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
"""None where it is not installed."""


def faked(folder: Path) -> dict[str, str]:
    """The environment of that process; its monotonic clock goes on as it is."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "time"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_clock(folder: Path, hours: float) -> None:
    """From now on it is so many hours ahead of ours."""
    new = folder / "time.new"
    new.write_text(f"{hours * 3600:+.0f}")
    new.replace(folder / "time")
