"""Builds the container image without a Docker engine and runs it as it is meant to be run; prints what was seen.

    sudo .venv/bin/python tools/build_image.py [FOLDER]

Needs root, mmdebstrap, buildah and pip with an index; FOLDER keeps what was fetched for the next time. The base is a
Debian with Python of its own making, in the place of the one from Docker Hub. The image's files are then mounted
read-only, without a shell, and the program runs in them as uid 10001 with no other rights.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
KEY = "planted-key-8c2d6b41ea"
BASE, IMAGE = "localhost/watcher-base", "localhost/watcher"
PATIENCE = 60.0
BUILDAH_ENV = os.environ | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
MOUNTS = """
tree=$1 volume=$2 key=$3
mount --bind "$tree" "$tree"
mount -o remount,ro,bind "$tree"
mount --bind "$volume" "$tree/var/lib/watcher"
mount -t tmpfs -o mode=1777 tmpfs "$tree/tmp"
mount -t tmpfs tmpfs "$tree/run"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mkdir "$tree/run/secrets"
echo "$key" > "$tree/run/secrets/together_api_key"
ip link set lo up
echo ready
exec sleep infinity
"""
"""What an engine does before it starts a process: `read_only`, a volume, a tmpfs and a secret."""
SHELLS = ("bin/sh", "bin/dash", "bin/bash", "usr/bin/env", "usr/bin/perl")


def run(*words: object, env: dict[str, str] | None = None) -> str:
    command = list(map(str, words))
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout.strip()  # noqa: S603


def buildah(*words: object) -> str:
    return run("buildah", *words, env=BUILDAH_ENV)


def seen(what: str) -> None:
    print(f"seen: {what}", flush=True)


def fetch(folder: Path) -> tuple[Path, Path]:
    """A base system, and the wheels for its Python."""
    base, wheels = folder / "base.tar", folder / "wheels"
    if not base.exists():
        run("mmdebstrap", "--quiet", "--variant=minbase", "--include=python3-venv,ca-certificates", "bookworm", base)
    if not wheels.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "-d", wheels]
        for_debian = ["--python-version", "3.11", "--only-binary", ":all:"]
        run(*pip, *for_debian, "--require-hashes", "-r", ROOT / "requirements.txt")
        run(*pip, *for_debian, "hatchling")
    return base, wheels


def build(base: Path, wheels: Path) -> str:
    """The image, by the Dockerfile that is shipped; returns a container of it."""
    if not buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, base, "/")
        buildah("commit", "--quiet", "--rm", container, BASE)
    offline = [
        "--build-arg",
        "PIP_NO_INDEX=1",
        "--build-arg",
        "PIP_FIND_LINKS=/wheels",
        "--volume",
        f"{wheels}:/wheels:ro",
    ]
    dockerfile = ROOT / "deploy/docker/Dockerfile"
    buildah(
        "bud",
        "--quiet",
        "--format",
        "docker",
        "--build-arg",
        f"BASE={BASE}",
        *offline,
        "-f",
        dockerfile,
        "-t",
        IMAGE,
        ROOT,
    )
    return buildah("from", "--pull-never", IMAGE)


def look_at_the_configuration() -> None:
    found = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    assert found["User"] == "10001:10001", found
    assert found["Entrypoint"] == ["watcher"], found
    assert found["Healthcheck"]["Test"] == ["CMD", "watcher", "healthcheck"], found
    seen("the image: uid 10001, entry point and health check without a shell")


class Inside:
    """Processes in the image's files: read-only, without a network but a loopback, as uid 10001 and nobody more."""

    def __init__(self, tree: Path, folder: Path) -> None:
        config = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
        self.env = dict(entry.split("=", 1) for entry in config["Env"])
        self.tree, self.volume = tree, folder / "volume"
        shutil.rmtree(self.volume, ignore_errors=True)
        run("cp", "-a", tree / "var/lib/watcher", self.volume)  # as an engine makes a new volume
        for shell in SHELLS:
            (tree / shell).unlink(missing_ok=True)
        self._holder = subprocess.Popen(  # noqa: S603
            ["unshare", "--mount", "--net", "sh", "-euc", MOUNTS, "sh", str(tree), str(self.volume), KEY],  # noqa: S607
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.wait()

    def start(self, *words: object, log: Path | None = None) -> subprocess.Popen[str]:
        enter = ["nsenter", "--target", str(self._holder.pid), "--mount", "--net", "setpriv", "--no-new-privs"]
        command = [*enter, "chroot", "--userspec=10001:10001", "--groups=", str(self.tree), *map(str, words)]
        out = subprocess.PIPE if log is None else log.open("w")
        return subprocess.Popen(command, env=self.env, stdout=out, stderr=subprocess.STDOUT, text=True)  # noqa: S603

    def ask(self, *words: object) -> tuple[int, str]:
        process = self.start(*words)
        out, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, out.strip()


def until(found: Callable[[], object], what: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline, f"waited in vain for {what}: {log.read_text()[-3000:]}"
        time.sleep(0.2)


def live(box: Inside, folder: Path) -> None:
    """The daemon in the image, beside a simulator in the same image."""
    simulated, log = folder / "simulator.log", folder / "watcher.log"
    for shell in SHELLS:
        assert not (box.tree / shell).exists(), shell
    code, _ = box.ask("python3", "-c", "open('/opt/x', 'w')")
    assert code == 1, "the files of the image can be written to"
    code, out = box.ask("watcher", "healthcheck")
    assert (code, out) == (1, "no daemon runs with this state directory"), out
    api = box.start("watcher", "simulate", "--port", "8123", log=simulated)
    until(lambda: "listening on" in simulated.read_text(), "the simulator", simulated)
    box.env |= {"TOGETHER_BASE_URL": "http://127.0.0.1:8123/v1", "WATCHER_WEB__HOST": "0.0.0.0"}  # noqa: S104
    box.env |= {"TOGETHER_API_KEY_FILE": "/run/secrets/together_api_key"}
    daemon = box.start("watcher", "run", log=log)
    try:
        until(lambda: "web: http://" in log.read_text(), "the page", log)
        until(lambda: box.ask("watcher", "healthcheck", "--ready") == (0, "ok"), "a healthy daemon", log)
        seen("read-only, without any shell: the daemon watches and delivers, `watcher healthcheck --ready` says ok")
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        assert "Uid:\t10001\t10001\t10001\t10001" in status, status
        assert "CapEff:\t0000000000000000" in status, status
        names = ("cmdline", "environ")
        assert not [name for name in names if KEY.encode() in Path(f"/proc/{daemon.pid}/{name}").read_bytes()]
        peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        seen(f"uid 10001, no capability, the secret in a file only; at most {int(peak) // 1024} MB so far")
        daemon.send_signal(signal.SIGSTOP)
        code, out = box.ask("watcher", "healthcheck")
        daemon.send_signal(signal.SIGCONT)
        assert code == 1, out
        seen(f"a stopped daemon is not healthy: {out}")
    finally:
        daemon.terminate()
        code = daemon.wait(PATIENCE)
        api.terminate()
    assert code == 0, log.read_text()[-2000:]
    files = sorted(path.name for path in box.volume.iterdir())
    assert "watcher.db" in files, files
    assert KEY not in log.read_text() + simulated.read_text()
    assert not [name for name in files if KEY.encode() in (box.volume / name).read_bytes()]
    seen("SIGTERM: drained, exit code 0; the secret is in no log and in nothing of the volume")


def main() -> None:
    missing = [
        name for name in ("mmdebstrap", "buildah", "unshare", "nsenter", "setpriv", "ip") if not shutil.which(name)
    ]
    if missing or os.geteuid() != 0:
        sys.exit(f"not run: needs root and {', '.join(missing) or 'nothing else'}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[1] if sys.argv[1:] else name)
        folder.mkdir(exist_ok=True)
        container = build(*fetch(folder))
        try:
            tree = Path(buildah("mount", container))
            seen(f"built: {sum(p.lstat().st_size for p in (tree / 'opt').rglob('*')) // 10**6} MB over its base")
            look_at_the_configuration()
            with Inside(tree, folder) as box:
                live(box, folder)
        finally:
            buildah("rm", container)
    print("all of it was seen")


if __name__ == "__main__":
    main()
