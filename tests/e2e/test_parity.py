"""One recording, two ways: `replay` over the file, and `run` over `simulate` of the file, tell the same."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import PLANTED, Running, running, surroundings, watcher
from watcher.domain.observations import EvalRow, TrainRow
from watcher.settings import load_settings
from watcher.simulator.job import job_id_of

CURVES = Path(__file__).parents[1] / "data" / "curves" / "lab.jsonl.gz"
SPEED = 150
Told = Counter[tuple[str, str, str, int]]


def row_rules() -> set[str]:
    """The rules that rows alone set off: a recording holds nothing else."""
    settings = load_settings(None, {"TOGETHER_API_KEY": PLANTED}, docker_secrets=Path("/nowhere"))
    rules = settings.rules_for(settings.jobs[0])
    return {rule.name for rule in rules if not rule.timed and {TrainRow, EvalRow} & set(rule.sees)}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """By run: what fires at which step."""
    home = tmp_path_factory.mktemp("replay")
    done = watcher("replay", CURVES, "--format", "json", env=surroundings(home))
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    return {run["id"]: Counter((run["id"], a["rule"], a["kind"], a["step"]) for a in run["alerts"]) for run in runs}


def ask(daemon: Running, page: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{daemon.web()}/api/v1/{page}").json()[page]
    return found


def completed(daemon: Running, runs: set[str]) -> bool:
    """Whether every run was told to be complete: after its last row."""
    done = {job["suffix"] for job in ask(daemon, "jobs") if any(a["rule"] == "completion" for a in job["alerts"])}
    return done == runs


@pytest.mark.parametrize("faults", ["0", "0.1"])
def test_the_daemon_tells_what_replay_tells(tmp_path: Path, replayed: dict[str, Told], faults: str) -> None:
    words = ("simulate", "--port", "0", "--speed", SPEED, "--curves", CURVES, "--faults", faults, "--seed", "5")
    with running(tmp_path, *words, env=surroundings(tmp_path), name="simulate") as simulator:
        line = simulator.until(simulator.stdout.read_text, "the address of the simulator")
        config = tmp_path / "watcher.yaml"
        account = {
            "name": "main",
            "base_url": line.split()[-1],
            "interval": "200ms",
            "requests_per_second": 1000,
            "max_concurrency": 32,
        }
        config.write_text(json.dumps({"accounts": [account], "web": {"port": 0}, "log": {"level": "warning"}}))
        env = surroundings(tmp_path, TOGETHER_API_KEY=PLANTED)
        with running(tmp_path, "run", "--config", config, "--state-dir", tmp_path / "state", env=env) as daemon:
            daemon.until(lambda: completed(daemon, set(replayed)), "the end of all runs")
            alerts = ask(daemon, "alerts")
            daemon.terminate()
            assert daemon.ended() == 0

    suffixes, wanted = {job_id_of(run): run for run in replayed}, row_rules()
    told = Counter((suffixes[a["subject"]], a["rule"], a["kind"], a["step"]) for a in alerts if a["rule"] in wanted)

    assert len(replayed) >= 12
    assert len({rule for _, rule, _, _ in told}) >= 4
    assert told == sum(replayed.values(), Counter())
