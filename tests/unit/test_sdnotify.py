import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watcher.daemon.sdnotify import SdNotify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        path = f"{folder}/notify"
        abstract = request.param == "abstract"
        listening.bind(f"\0{path}" if abstract else path)
        listening.settimeout(5)
        yield listening, f"@{path}" if abstract else path


@pytest.mark.parametrize(
    ("say", "heard"),
    [
        (lambda n: n.ready(), "READY=1"),
        (lambda n: n.ready("watching 2 accounts"), "READY=1\nSTATUS=watching 2 accounts"),
        (lambda n: n.status("two\nlines\tof text "), "STATUS=two lines of text"),
        (lambda n: n.status("é" * 600), f"STATUS={'é' * 500}"),
        (lambda n: n.reloading(12.5), "RELOADING=1\nMONOTONIC_USEC=12500000"),
        (lambda n: n.stopping("draining"), "STOPPING=1\nSTATUS=draining"),
        (lambda n: n.watchdog(), "WATCHDOG=1"),
        (lambda n: n.extend_timeout(2.5), "EXTEND_TIMEOUT_USEC=2500000"),
    ],
)
def test_systemd_hears(manager: tuple[socket.socket, str], say: Callable[[SdNotify], None], heard: str) -> None:
    listening, name = manager
    say(SdNotify({"NOTIFY_SOCKET": name}))

    assert listening.recv(4096).decode() == heard


def test_an_empty_status_is_not_sent(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notify = SdNotify({"NOTIFY_SOCKET": name})
    notify.status(" \n")
    notify.watchdog()

    assert listening.recv(4096) == b"WATCHDOG=1"


def test_a_manager_that_does_not_read_holds_nobody_up(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notify = SdNotify({"NOTIFY_SOCKET": name})
    for _ in range(5000):
        notify.watchdog()

    assert listening.recv(4096) == b"WATCHDOG=1"


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}, {"NOTIFY_SOCKET": "/a\0b"}):
        notify = SdNotify(environ)
        notify.ready("up")
        notify.watchdog()
