"""A database as some commit of this repository fills it, as SQL: what the tests of upgrades start from.

    .venv/bin/python tools/golden_database.py COMMIT tests/data/databases/0001.sql.gz

The program of that commit watches its own simulator for half a minute: jobs that complete, fail, are cancelled, vetoed
and go on; a receiver that refuses; a silence, an acknowledgement and what each commit has besides.
"""

import contextlib
import gzip
import json
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
WIDENED = "0002"
"""The first schema whose program answers the mode `propose`."""


class Receiver(BaseHTTPRequestHandler):
    """Takes every message but those to /gone."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(404 if self.path.startswith("/gone") else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def a_run(name: str, steps: int, loss: list[float | str], **more: object) -> dict[str, object]:
    train = [[step, loss[min(step, len(loss)) - 1], 1.0 + step % 7 / 10, 1e-5] for step in range(1, steps + 1)]
    evals = [[step, 4.0 / math.sqrt(step)] for step in range(10, steps + 1, 10)]
    config = {"total_steps": steps, "method": "sft", "n_evals": steps // 10}
    return {"id": name, "train": train, "eval": evals, "config": config, **more}


def runs() -> list[dict[str, object]]:
    falls: list[float | str] = [3.0 / math.sqrt(step) for step in range(1, 5000)]
    broken: list[float | str] = [*falls[:40], "NaN", "NaN", "Infinity", "NaN"]
    return [
        a_run("completes", 60, falls),
        a_run("broken", 400, broken),
        a_run("kept", 400, broken),
        a_run("steady", 4000, falls),
        a_run("bad data", 60, falls, fate={"kind": "user_error", "message": "line 12 is no JSON"}),
        a_run("halts", 400, falls, fate={"kind": "early_stop"}),
        a_run("warned", 80, falls, fate={"warning": "the dataset is small"}),
        a_run("again", 60, falls, fate={"kind": "restart", "at_step": 30}),
    ]


def settings(api: str, port: int, *, propose: bool) -> dict[str, object]:
    cancel = {"mode": "propose", "veto_window": "12s"} if propose else {"mode": "enforce"}
    url = f"json://127.0.0.1:{port}"
    return {
        "accounts": [{"name": "main", "base_url": api, "interval": "200ms", "requests_per_second": 200}],
        "receivers": [{"name": "team", "urls": [f"{url}/team"]}, {"name": "gone", "urls": [f"{url}/gone"]}],
        "route": {
            "receiver": "team",
            "group_wait": "0s",
            "group_interval": "500ms",
            "routes": [{"match": {"rule": "failure"}, "receivers": ["team", "gone"]}],
        },
        "cancel": {**cancel, "never": ["kept"] if not propose else []},
        "web": {"enabled": False},
        "log": {"format": "json"},
    }


class Program:
    """The commit's program, as processes in one folder."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(tree), "TOGETHER_API_KEY": "any"}
        self.place = ["--config", str(folder / "watcher.yaml"), "--state-dir", str(folder / "state")]

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "watcher", *words]
        log = (self.folder / f"{words[0]}.log").open("w")
        with (
            log,
            subprocess.Popen(  # noqa: S603 - our own program
                command, env=self.env, cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    def ask(self, *words: str) -> str:
        command = [sys.executable, "-m", "watcher", *words, *self.place]
        done = subprocess.run(  # noqa: S603 - our own program
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        print(f"  {words[0]}: exit code {done.returncode} {done.stderr.strip()}")
        return done.stdout

    def count(self, query: str) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / "state" / "watcher.db")) as raw:
            return int(raw.execute(query).fetchone()[0])

    def until(self, query: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.count(query):
            assert time.monotonic() < deadline, f"waited in vain for {query}"
            time.sleep(0.1)


def live(program: Program, *, propose: bool) -> None:
    """One life of the daemon with everything in it."""
    alert = "SELECT count(*) FROM alerts WHERE state = 'firing' AND rule = '{}'"
    time.sleep(5)
    program.until(alert.format("nan_loss"))
    jobs = {job["suffix"]: job["id"] for job in json.loads(program.ask("jobs", "--format", "json"))["jobs"]}
    program.ask("silence", "add", "rule=drift", "--for", "30d", "--comment", "until the next release")
    program.ask("silence", "add", "rule=plateau", "--for", "1s", "--comment", "a short one")
    alerts = json.loads(program.ask("alerts", "--format", "json"))["alerts"]
    broken, *others = [alert["id"] for alert in alerts if alert["rule"] == "nan_loss" and alert["state"] == "firing"]
    program.ask("ack", broken)
    for other in others[:1]:  # no older program knows the option: it says so, and goes on
        program.ask("ack", other, "--until", "30d")
    program.ask("veto", jobs["kept"])
    if propose:
        program.until("SELECT count(*) FROM audit")
    program.until("SELECT count(*) FROM proposals WHERE state = 'confirmed'")
    program.until("SELECT count(*) FROM alerts WHERE rule = 'completion'")
    program.until("SELECT count(*) FROM outbox WHERE state = 'dead'")
    time.sleep(3)


def fill(tree: Path, folder: Path) -> Path:
    with (folder / "curves.jsonl").open("w") as file:
        file.writelines(json.dumps(run) + "\n" for run in runs())
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    propose = any(tree.glob(f"watcher/store/migrations/versions/v{WIDENED}_*.py"))
    program = Program(tree, folder)
    with program.running("simulate", "--port", "0", "--speed", "8", "--curves", str(folder / "curves.jsonl")) as api:
        assert api.stdout is not None
        address = api.stdout.readline().rpartition(" ")[2].strip()
        (folder / "watcher.yaml").write_text(json.dumps(settings(address, receiver.server_port, propose=propose)))
        with program.running("run", *program.place) as daemon:
            live(program, propose=propose)
            daemon.terminate()
            assert daemon.wait(PATIENCE) == 0
    receiver.shutdown()
    return folder / "state" / "watcher.db"


def main() -> None:
    commit, target = sys.argv[1], Path(sys.argv[2])
    git = ["git", "-C", str(ROOT)]
    with tempfile.TemporaryDirectory() as name:
        tree, folder = Path(name) / "tree", Path(name) / "life"
        folder.mkdir()
        tree.mkdir()
        archive = subprocess.run([*git, "archive", commit, "watcher"], check=True, capture_output=True)  # noqa: S603
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)  # noqa: S603, S607
        database = fill(tree, folder)
        with contextlib.closing(sqlite3.connect(database)) as raw:
            text = "\n".join(raw.iterdump()) + "\n"
            tables = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            counts = {table: raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # noqa: S608
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{target}: {target.stat().st_size:,} bytes; rows: {counts}")


if __name__ == "__main__":
    main()
