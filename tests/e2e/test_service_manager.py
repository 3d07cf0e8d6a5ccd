"""The daemon under a service manager: what it says to systemd, to a health check, and nothing secret to `ps`."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import run
from tests.daemons import Place, a_place, titles
from tests.processes import PATIENCE, PLANTED, running
from tests.receivers import Reply


class Manager:
    """The socket on which systemd listens; `heard` is what came, one datagram an entry."""

    def __init__(self, address: str) -> None:
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self.heard.append(message.decode())

    def after(self, word: str) -> list[str]:
        """What came from the last message on that begins with a word."""
        found = [number for number, message in enumerate(self.heard) if message.startswith(word)]
        return self.heard[found[-1] :] if found else []

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join(PATIENCE)
        self._socket.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as made:
        yield made


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(str(tmp_path / "notify"))
    yield listening
    listening.close()


def test_it_tells_systemd_of_its_life_and_a_health_check_that_it_lives(place: Place, manager: Manager) -> None:
    """One daemon for all of it: starting one takes a second."""
    secret = place.folder / "key"
    secret.write_text(f"{PLANTED}\n")
    del place.env["TOGETHER_API_KEY"]
    place.env |= {"NOTIFY_SOCKET": str(place.folder / "notify"), "TOGETHER_API_KEY_FILE": str(secret)}
    held = threading.Event()
    with running(place.folder, "run", *place.words, env=place.env) as daemon:
        daemon.until(lambda: daemon.said("account.introduced"), "the first sweep")
        alive = run("healthcheck", "--state-dir", place.state)
        seen = [Path(f"/proc/{daemon.process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        daemon.until(lambda: "WATCHDOG=1" in manager.heard, "a sign of life")
        before = time.monotonic()
        place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
        place.first.otherwise = Reply(hold=held)
        place.write()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until(lambda: "READY=1" in manager.after("RELOADING=1"), "the end of the reload")
        reloaded = manager.after("RELOADING=1")[0].split("=")[-1]
        daemon.until(lambda: titles(place.first), "a message on its way")
        daemon.terminate()
        daemon.until(lambda: any("EXTEND" in message for message in manager.after("STOPPING=1")), "the drain")
        held.set()
        ended = daemon.ended()

    assert (ended, alive.code, alive.out, alive.err) == (0, 0, "ok\n", "")
    assert [PLANTED.encode() in text for text in seen] == [False, False]
    assert manager.heard[0] == "READY=1\nSTATUS=watching 1 account(s)"
    assert before <= int(reloaded) / 1e6 <= time.monotonic()
    assert manager.after("STOPPING=1")[:2] == ["STOPPING=1\nSTATUS=draining", "EXTEND_TIMEOUT_USEC=15000000"]
