"""Tells systemd how the service does (`Type=notify`); without systemd, or with a broken socket, nothing happens."""

import socket
from collections.abc import Mapping

_LONGEST_STATUS = 500


class SdNotify:
    """One datagram a message to the socket that `NOTIFY_SOCKET` names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of an abstract socket's name.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path

    def ready(self, status: str = "") -> None:
        """Start-up, or a reload, is done."""
        self._send("READY=1", *_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(*_status(text))

    def reloading(self, monotonic: float) -> None:
        """A reload begins; `ready` ends it. systemd matches it to its request by the monotonic clock."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}")

    def stopping(self, status: str = "") -> None:
        """Draining has begun."""
        self._send("STOPPING=1", *_status(status))

    def watchdog(self) -> None:
        """Still making progress: restarts the time of `WatchdogSec`."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """Start, reload or stop goes on and needs this much longer from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                # A manager that does not read must not stop the loop that the watchdog is to prove alive.
                out.settimeout(0)
                out.sendto("\n".join(lines).encode(), self._address)
        except (OSError, ValueError):
            return  # the service works without it; a name that is no socket's is a ValueError


def _status(text: str) -> tuple[str, ...]:
    line = " ".join(text.split())[:_LONGEST_STATUS]
    return (f"STATUS={line}",) if line else ()
