"""The demo as a person runs it: a process of its own, looked at from outside."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import heard

CONFIG = Path(__file__).parents[2] / "config" / "demo.yaml"
QUICK = ("--speed", "20")


# What each recorded run is there for. Early warnings of a rule may come and go, so these are what must be among it.
FOUND = {
    "diverging-a": {"divergence"},
    "diverging-b": {"divergence"},
    "nan": {"nan_loss"},
    "nan-filtered": {"nan_loss"},
    "stuck": {"plateau", "completion"},
    "overfitting": {"overfitting", "completion"},
    "early-stopped": {"early_stop", "refund", "completion"},
    "user-error": {"failure"},
    "billing": {"failure"},
    "stalled": {"stall"},
    "gradients": {"gradient", "plateau", "completion"},
    "queued": {"queue_time", "completion"},
    "deleted": {"deleted"},
}
FINE = {
    "healthy-a": {"completion"},
    "healthy-b": {"completion"},
    "noisy": {"completion", "event_warning"},
    "dpo": {"completion"},
}


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that is over."""

    out: Path
    code: int
    stdout: str
    stderr: str

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return _lines(self.out / "alerts.jsonl")

    def rules(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for alert in self.alerts:
            found[alert["job"]].add(alert["rule"])
        return dict(found)

    @property
    def requests(self) -> list[dict[str, Any]]:
        return _lines(self.out / "api.log")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "watcher", "demo", "--out", str(out), *more]


def _environ() -> dict[str, str]:
    """Ours, but for the width that whoever runs the tests may have set."""
    return {name: value for name, value in os.environ.items() if name != "COLUMNS"}


def _play(out: Path, *more: str) -> Played:
    done = subprocess.run(  # noqa: S603 - our own program
        _command(out, *more), capture_output=True, text=True, timeout=50, check=False, env=_environ()
    )
    return Played(out, done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def _started(out: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A demo under way, with the watcher looking at its jobs."""
    with subprocess.Popen(  # noqa: S603 - our own program
        _command(out, "--seconds", "20", *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env=_environ(),
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                heard("what the demo printed", line)
                if "running" in line:
                    break
            yield process
        finally:
            process.kill()


def _children(pid: int) -> list[int]:
    """Direct children, the simulator first."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(child) for task in tasks for child in (task / "children").read_text().split())


def _alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return _play(tmp_path_factory.mktemp("demo") / "demo-out", *QUICK)


def test_it_ends_well_and_within_a_minute(played: Played) -> None:
    assert (played.code, played.stderr) == (0, "")


@pytest.mark.parametrize("job", FOUND)
def test_what_is_wrong_with_a_run_is_found(played: Played, job: str) -> None:
    assert played.rules()[job] >= FOUND[job]


@pytest.mark.parametrize("job", FINE)
def test_nobody_is_alarmed_for_a_run_that_is_fine(played: Played, job: str) -> None:
    assert played.rules()[job] == FINE[job]


def test_a_key_that_dies_blinds_its_own_account_and_nothing_is_said_against_the_watcher(played: Played) -> None:
    told = [(alert["rule"], alert["kind"]) for alert in played.alerts if alert["job"] is None]

    assert told == [("provider_unreachable", "auth")]
    assert re.search(r"products +‼ provider_unreachable \(auth\), over", played.stdout)


def test_alerts_are_lines_as_of_replay_with_job_and_time(played: Played) -> None:
    keys = {"rule", "kind", "severity", "step", "onset", "reason", "job", "starts_at"}

    assert {frozenset(alert) for alert in played.alerts} == {frozenset(keys)}
    assert all(re.fullmatch(r"2\d{3}-\d\d-\d\dT.*\+00:00", alert["starts_at"]) for alert in played.alerts)


def test_hopeless_runs_are_cancelled_once_each_and_no_others(played: Played) -> None:
    cancels = [request for request in played.requests if request["path"].endswith("/cancel")]
    taken = Counter(request["job"] for request in cancels if request["took_effect"])
    told = re.findall(r"^.*? (\S+): auto-cancel confirmed", played.stdout, flags=re.MULTILINE)

    assert set(taken.values()) == {1}
    assert {"nan", "nan-filtered", "diverging-b"} <= set(told) <= {"nan", "nan-filtered", "diverging-a", "diverging-b"}
    assert len(taken) <= 4


def test_one_cancel_is_announced_with_how_to_veto_it(played: Played) -> None:
    texts = [file.read_text() for file in (played.out / "notifications").iterdir()]
    (announced,) = [text for text in texts if text.startswith("Will be cancelled: ")]

    assert "nan" in announced.splitlines()[0]
    assert "watcher veto ft-" in announced
    assert "nan: auto-cancel announced" in played.stdout


def test_the_api_failed_in_every_way_and_was_lived_through(played: Played) -> None:
    faults = {request["fault"] for request in played.requests} - {None}

    assert faults >= {"rate_limited", "server_error", "overloaded", "html", "cut"}


def test_every_alert_is_told_and_no_message_twice(played: Played) -> None:
    texts = [file.read_text().splitlines() for file in (played.out / "notifications").iterdir()]
    keys = [lines[-1] for lines in texts]
    untold = [
        (alert["job"], alert["rule"])
        for alert in played.alerts
        if not any(
            f"{alert['job'] or 'products'}: " in lines[0] and f"({alert['rule']})" in "\n".join(lines)
            for lines in texts
        )
    ]

    assert all(re.fullmatch(r"id: \w+", key) for key in keys)
    assert len(set(keys)) == len(keys)
    assert untold == []
    assert f"Told: {len(texts)} notifications delivered, 0 still to deliver." in played.stdout


def test_the_watchers_log_is_json_lines_to_the_end(played: Played) -> None:
    log = _lines(played.out / "watcher.log")

    assert [line["event"] for line in log][-1] == "daemon.stopped"
    assert [line for line in log if line["level"] in ("error", "critical")] == []


def test_the_table_says_what_was_found_when_and_what_was_saved(played: Played) -> None:
    table = played.stdout[played.stdout.index("job  ") :]

    assert re.search(r"healthy-a +completed +nothing\n", table)
    found = r"‼ nan_loss \(train\)(, over)?"  # once the cancel was seen to be final
    assert re.search(rf"nan +cancelled +{found} +\d+\.\d s +20/141 +\d+ of 141 steps \(\d+%\)\n", table)
    assert re.search(r"Saved: [34] hopeless jobs cancelled, \d+ of their \d+ steps not run", table)
    assert "if every step costs the same" in table


def test_a_rule_that_is_taken_out_alerts_no_more(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    text = CONFIG.read_text()
    config.write_text(text.replace("  plateau:\n", ""))
    played = _play(tmp_path / "out", "--config", str(config), "--speed", "60", "--seconds", "15", "--faults", "0")

    found = set[str]().union(*played.rules().values())
    assert played.code == 0
    assert "plateau" not in found
    assert found >= {"nan_loss", "overfitting", "failure"}


def test_ctrl_c_ends_it_in_order_and_shows_what_was_found_so_far(tmp_path: Path) -> None:
    with _started(tmp_path / "out") as process:
        children = _children(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)

    assert len(children) == 2
    assert (process.returncode, stderr) == (0, "")
    assert [pid for pid in children if _alive(pid)] == []
    assert "Stopped by a signal." in stdout
    assert _lines(tmp_path / "out" / "watcher.log")[-1]["event"] == "daemon.stopped"


def test_a_second_ctrl_c_waits_for_nobody(tmp_path: Path) -> None:
    with _started(tmp_path / "out") as process:
        children = _children(process.pid)
        os.kill(children[-1], signal.SIGSTOP)  # a watcher that hangs would drain for ever
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any("drains" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)

    assert process.returncode == 130
    assert [pid for pid in children if _alive(pid)] == []


def test_a_watcher_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    with _started(tmp_path / "out") as process:
        children = _children(process.pid)
        os.kill(children[-1], signal.SIGKILL)
        _, stderr = process.communicate(timeout=10)

    assert process.returncode == 1
    assert "watcher run ended by itself with exit code -9; its last lines:" in stderr
    assert [pid for pid in children if _alive(pid)] == []


def test_on_a_terminal_it_is_a_live_picture_and_the_terminal_is_put_back(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    environ = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(  # noqa: S603 - our own program
        _command(tmp_path / "out", *QUICK), stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
    )
    os.close(slave)
    shown = _read_until(master, "diverging-a", "converging")
    process.send_signal(signal.SIGINT)
    shown += _read_until(master, "Told: ", "Stopped by a signal.")
    code = process.wait(timeout=20)
    os.close(master)

    picture = shown[shown.index("\x1b[?1049h") : shown.index("\x1b[?1049l")]
    assert code == 0
    assert "API requests went wrong" in picture
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is hidden and shown again


def _read_until(terminal: int, *wanted: str) -> str:
    shown, deadline = "", time.monotonic() + 25
    while not all(word in shown for word in wanted) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    heard("what the demo showed on a terminal", shown)
    return shown


def test_a_folder_with_things_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").write_text("mine\n")
    played = _play(tmp_path)

    assert played.code == 2
    assert "holds alerts.jsonl, which no demo made" in played.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.jsonl"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param("research/any-key-will-do", "[", "mine.yaml", id="settings that can't be read"),
        pytest.param(
            "${DEMO_API:-http://127.0.0.1:8123/v1}",
            "https://api.together.ai/v1",
            "simulated jobs only",
            id="an account with real jobs, which it would cancel",
        ),
    ],
)
def test_settings_that_are_wrong_or_not_harmless_are_refused(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(CONFIG.read_text().replace(before, after))
    played = _play(tmp_path / "out", "--config", str(config))

    assert played.code == 2
    assert told in played.stderr
