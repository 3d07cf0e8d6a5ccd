"""Boots the systemd unit in a container of systemd-nspawn and looks at what it promises; prints what was seen.

    sudo .venv/bin/python tools/boot_service.py [FOLDER]

Needs root, mmdebstrap, systemd-nspawn and pip with an index. FOLDER keeps the container's files for the next time.
The container has no network but its own loopback: the watcher watches a simulator beside it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEY = "planted-key-4e9a1c77d0"
STATE = "/var/lib/private/watcher"
PATIENCE = 60.0
RECEIVER = '''
import http.server, json, pathlib, time
class Receiver(http.server.BaseHTTPRequestHandler):
    """Writes down what came; /slow takes its time, as pathlib.Path("/run/slow") says."""
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note = {"path": self.path, "title": body["title"], "pictures": len(body.get("attachments", []))}
        with open("/run/received.jsonl", "a") as file:
            file.write(json.dumps(note) + "\\n")
        slow = pathlib.Path("/run/slow")
        time.sleep(float(slow.read_text()) if slow.exists() else 0)
        self.send_response(200); self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 8124), Receiver).serve_forever()
'''
SIMULATE = (
    "/opt/watcher/bin/watcher simulate --port 8123 --speed 20 --curves /opt/curves.jsonl --log /run/requests.jsonl"
)
HELPER = """[Unit]
Before=watcher.service
[Service]
ExecStart={}
[Install]
WantedBy=multi-user.target
"""
FASTER = "[Service]\nWatchdogSec=12s\nTimeoutStopSec=4s\n"
"""A drop-in, so that a hang shows within seconds and a drain outlasts the time for a stop."""


def settings(limit: float) -> str:
    return json.dumps({
        "accounts": [{"name": "main", "base_url": "http://127.0.0.1:8123/v1", "interval": "500ms"}],
        "receivers": [{"name": "team", "urls": ["json://127.0.0.1:8124/team?rto=30"]}],
        "route": {"group_wait": "0s", "group_interval": "500ms"},
        "rules": {"nan_loss": None, "budget": {"limit_dollars": limit}, "watcher_fault": None},
    })  # fmt: skip


def curves() -> str:
    broken = [[step, "NaN" if step > 40 else 3.0 / step, 1.0, 1e-5] for step in range(1, 100_000)]
    return json.dumps({"id": "broken", "train": broken, "eval": [], "config": {"total_steps": len(broken)}}) + "\n"


def run(*words: object) -> str:
    return subprocess.run(list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def build(tree: Path) -> None:
    """A Debian with the locked packages and this program in /opt/watcher; what is there is kept."""
    if not (tree / "opt/watcher/bin/watcher").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(exist_ok=True)
        run("mmdebstrap", "--quiet", "--variant=minbase", "--include=systemd,dbus,python3-venv", "bookworm", tree)
        wheels = tree / "opt/wheels"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        for_debian = ["--python-version", "3.11", "--only-binary", ":all:", "--require-hashes"]
        run(*pip, "download", *for_debian, "-r", ROOT / "requirements.txt", "-d", wheels)
        shutil.copy(ROOT / "requirements.txt", tree / "opt")
        run("chroot", tree, "python3", "-m", "venv", "/opt/watcher")
        offline = ["/opt/watcher/bin/pip", "install", "--quiet", "--no-index", "--find-links", "/opt/wheels"]
        run("chroot", tree, *offline, "--require-hashes", "-r", "/opt/requirements.txt")
    with tempfile.TemporaryDirectory(dir=tree / "opt") as name:
        run(
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "wheel",
            "--quiet",
            "--no-deps",
            "-w",
            name,
            ROOT,
        )
        wheel = next(Path(name).glob("*.whl"))
        inside = f"/{wheel.relative_to(tree)}"
        run("chroot", tree, "/opt/watcher/bin/pip", "install", "--quiet", "--no-deps", "--force-reinstall", inside)


def prepare(tree: Path) -> None:
    """Settings, the key, the two helpers and the unit, as `install-service` writes it."""
    for name in ("var/lib/private/watcher", "etc/watcher", "etc/systemd/system/watcher.service.d"):
        shutil.rmtree(tree / name, ignore_errors=True)
    (tree / "etc/watcher").mkdir()
    (tree / "etc/watcher/watcher.yaml").write_text(settings(1e9))
    key = tree / "etc/watcher/together_api_key"
    key.touch(0o600)
    key.write_text(KEY + "\n")
    (tree / "opt/curves.jsonl").write_text(curves())
    (tree / "opt/receiver.py").write_text(RECEIVER)
    units = tree / "etc/systemd/system"
    (units / "simulator.service").write_text(HELPER.format(SIMULATE))
    (units / "receiver.service").write_text(HELPER.format("/usr/bin/python3 /opt/receiver.py"))
    (units / "watcher.service.d").mkdir()
    (units / "watcher.service.d/faster.conf").write_text(FASTER)
    run("chroot", tree, "/opt/watcher/bin/watcher", "install-service", "--write", "--force")
    run("chroot", tree, "systemctl", "enable", "--quiet", "simulator", "receiver", "watcher")


class Container:
    """The booted system, asked from outside."""

    def __init__(self, leader: int, tree: Path) -> None:
        self.leader, self.tree = leader, tree

    def ask(self, *words: object, check: bool = True) -> str:
        command = ["nsenter", "--target", str(self.leader), "--all", "--", *map(str, words)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        assert not check or done.returncode == 0, f"{words}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def show(self, *names: str) -> dict[str, str]:
        lines = self.ask("systemctl", "show", "watcher", *(f"--property={name}" for name in names)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self) -> str:
        return self.ask("journalctl", "--unit=watcher", "--output=cat", "--no-pager")

    def received(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.ask("cat", "/run/received.jsonl", check=False).splitlines()]

    def until(self, found: Callable[[], object], what: str) -> float:
        begun = time.monotonic()
        while not found():
            assert time.monotonic() - begun < PATIENCE, f"waited in vain for {what}: {self.journal()[-3000:]}"
            time.sleep(0.2)
        return time.monotonic() - begun


@contextlib.contextmanager
def booted(tree: Path) -> Iterator[Container]:
    command = ["systemd-nspawn", "--quiet", "--directory", str(tree), "--register=no", "--keep-unit",
               "--private-network", "--console=pipe", "--boot"]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as nspawn:  # noqa: S603
        try:
            children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
            deadline = time.monotonic() + PATIENCE
            while not (leader := children.read_text().split()):
                assert time.monotonic() < deadline, "systemd-nspawn does not boot"
                assert nspawn.poll() is None, "systemd-nspawn did not boot"
                time.sleep(0.1)
            yield Container(int(leader[0]), tree)
        finally:
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(int(children.read_text().split()[0]), signal.SIGRTMIN + 4)  # systemd's word for poweroff
            nspawn.wait(PATIENCE)


def seen(what: str) -> None:
    print(f"seen: {what}", flush=True)


def starts(box: Container) -> None:
    box.until(lambda: box.ask("systemctl", "is-active", "watcher", check=False) == "active", "the start")
    found = box.show("Type", "StatusText", "NRestarts", "DynamicUser")
    assert (found["Type"], found["NRestarts"], found["DynamicUser"]) == ("notify", "0", "yes"), found
    box.until(lambda: box.show("StatusText")["StatusText"] == "watching 1 account(s)", "the status line")
    seen(f"Type=notify: active by READY=1, status {box.show('StatusText')['StatusText']!r}")


def keeps_the_key(box: Container) -> None:
    box.until(lambda: '"status": 200' in box.ask("cat", "/run/requests.jsonl", check=False), "an answer of the API")
    pid = box.show("MainPID")["MainPID"]
    user = box.ask("stat", "-c", "%u", f"/proc/{pid}")
    owner = box.ask("stat", "-c", "%u %a", STATE)
    assert int(user) >= 61184, user  # where dynamic users begin
    assert owner == f"{user} 700", (user, owner)
    for file in ("cmdline", "environ", f"root{STATE}/watcher.db"):
        assert KEY not in box.ask("cat", "-v", f"/proc/{pid}/{file}"), file
    assert KEY not in box.journal()
    seen(f"DynamicUser (uid {user}), StateDirectory mode 700 of that user; the API answered with the key, which is a "
         "credential and in neither command line, environment, journal nor database")  # fmt: skip


def delivers_under_all_of_the_hardening(box: Container) -> None:
    box.until(lambda: any(note["pictures"] for note in box.received()), "a message with its picture")
    seen("a message with a picture was delivered under the whole list of hardening")
    assert box.ask("/opt/watcher/bin/watcher", "healthcheck", "--state-dir", STATE) == "ok"
    seen("watcher healthcheck, as root: ok")


def reloads(box: Container) -> None:
    file = box.tree / "etc/watcher/watcher.yaml"
    file.write_text(settings(0.01))
    box.ask("systemctl", "reload", "watcher")
    box.until(lambda: '"config.reloaded"' in box.journal(), "the reload")
    box.until(lambda: any("budget" in str(note["title"]) for note in box.received()), "the alert of the new limit")
    file.write_text("nonsense: 1\n")
    box.ask("systemctl", "reload", "watcher")
    box.until(lambda: '"config.reload_failed"' in box.journal(), "the refusal")
    assert box.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    file.write_text(settings(0.01))
    seen("systemctl reload: new settings in force; bad ones refused, and still active")


def outlives_a_hang(box: Container) -> None:
    pid = box.show("MainPID")["MainPID"]
    box.ask("systemctl", "kill", "--signal=STOP", "--kill-who=main", "watcher")
    took = box.until(lambda: box.show("NRestarts")["NRestarts"] == "1", "the watchdog")
    box.until(lambda: box.ask("systemctl", "is-active", "watcher", check=False) == "active", "the second start")
    assert box.show("MainPID")["MainPID"] != pid
    seen(
        f"WatchdogSec: a stopped process was aborted and started again after {took:.0f} s "
        "(set for this look: WatchdogSec 12 s; RestartSec is 10 s)"
    )


def drains(box: Container) -> None:
    before = len(box.received())
    box.ask("sh", "-c", "echo 12 > /run/slow")
    box.ask("/opt/watcher/bin/watcher", "drill", "--state-dir", STATE, "--timeout", "1s", check=False)
    box.until(lambda: len(box.received()) > before, "a message on its way")
    begun = time.monotonic()
    box.ask("systemctl", "stop", "--no-block", "watcher")
    box.until(lambda: box.show("StatusText")["StatusText"] == "draining", "the status of the drain")
    box.until(lambda: box.show("ActiveState")["ActiveState"] != "deactivating", "the end")
    took = time.monotonic() - begun
    found = box.show("ActiveState", "Result", "ExecMainStatus")
    assert found == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}, found
    assert '"daemon.stopped"' in box.journal()
    assert took > 4, took
    seen(f"stop: STOPPING=1 with the status 'draining', a send of 12 s was waited for ({took:.1f} s in all, "
         "TimeoutStopSec 4 s extended), exit code 0")  # fmt: skip


def main() -> None:
    missing = [name for name in ("mmdebstrap", "systemd-nspawn", "nsenter", "chroot") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        sys.exit(f"not run: needs root and {', '.join(missing) or 'nothing else'}")
    with contextlib.ExitStack() as stack:
        folder = Path(sys.argv[1]) if sys.argv[1:] else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tree = folder / "tree"
        build(tree)
        prepare(tree)
        box = stack.enter_context(booted(tree))
        for look in (starts, keeps_the_key, delivers_under_all_of_the_hardening, reloads, outlives_a_hang, drains):
            look(box)
    print("all of it was seen")


if __name__ == "__main__":
    main()
