"""`watcher replay --cancel MODE` from its arguments to what stands on stdout and stderr."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from watcher.cli import main

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]
POLICY = {
    "mode",
    "cancel",
    "proposals",
    "refused",
    "hindsight",
    "steps_saved",
    "steps_lost",
    "saved",
    "lost",
    "assumed",
}
MINIMUM = "if every step costs the same and if the $4.00 minimum does not apply to jobs that end early"


def rows(good: int, bad: int, again: int = 0) -> list[list[Any]]:
    """A loss near 1, then none, then near 0.2."""
    losses = [*[1.0] * good, *["NaN"] * bad, *[0.2] * again]
    return [[step, loss, 1.0 if loss != "NaN" else "NaN", 1e-5] for step, loss in enumerate(losses, 1)]


RUNS = {
    "fine": (rows(100, 0), 100),
    "broken": (rows(40, 60), 100),
    "came-back": (rows(20, 20, 60), 100),
    "cut": (rows(40, 5), 100),
    "endless": (rows(40, 60), None),
    "late": (rows(95, 5), 100),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    lines = [{"id": name, "train": train, "config": {"total_steps": plan}} for name, (train, plan) in RUNS.items()]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["watcher", "replay", *map(str, arguments)])
        code = main._run()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def policies(out: str) -> dict[str, dict[str, Any]]:
    return {line["id"]: line["policy"] for line in map(json.loads, out.splitlines())}


def test_json_gains_one_key_and_is_otherwise_the_same(replay: Run, files: Path) -> None:
    plain, tried = replay(files, "-f", "json"), replay(files, "-f", "json", "--cancel", "enforce")
    lines = [json.loads(line) for line in tried[1].splitlines()]

    assert (tried[0], tried[2]) == (0, "")
    assert all(set(line["policy"]) == POLICY for line in lines)
    without = [{key: value for key, value in line.items() if key != "policy"} for line in lines]
    assert "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in without) == plain[1]


def test_a_cancel_is_judged_by_what_came_after_it(replay: Run, files: Path) -> None:
    found = policies(replay(files, "-f", "json", "--cancel", "enforce", "--price", "10")[1])
    worth = {name: (p["steps_saved"], p["steps_lost"]) for name, p in found.items()}
    step = found["broken"]["cancel"]["step"]
    lost = found["came-back"]["cancel"]["step"]

    assert 41 < step < 46
    assert worth == {
        "fine": (0, 0),
        "broken": (100 - step, 0),
        "came-back": (0, lost),
        "cut": (None, None),
        "endless": (None, 0),
        "late": (0, 0),
    }
    assert found["came-back"]["hindsight"]["before"] == {"what": "train", "step": 5, "loss": 1.0}
    assert found["came-back"]["hindsight"]["after"]["loss"] == 0.2
    assert found["broken"]["saved"]["dollars"] == f"{(100 - step) / 10:.2f}"
    assert found["came-back"]["lost"]["dollars"] == f"{lost / 10:.2f}"
    assert found["endless"]["saved"] == {"dollars": None, "assumes": [], "missing": "plan not known"}
    assert ("nan_loss", "progress") in [(no["rule"], no["guard"]) for no in found["late"]["refused"]]


def test_the_table_adds_up_and_names_what_it_rests_on(replay: Run, files: Path) -> None:
    code, out, _ = replay(files, "--cancel", "enforce", "--price", "10")
    lines = out.splitlines()
    of = {line.split()[0]: line for line in lines if line.strip()}

    assert code == 0
    assert "wrong: train loss 1 at step 5, then at best 0.2 at step" in of["came-back"]
    assert "right: train loss 1 at step 5, then at best no finite loss" in of["broken"]
    assert "unknown: only 0 training losses were recorded after it" in of["cut"]
    assert "nan_loss (train) refused at 98 to 100: step 98 of 100 is 98 %, outside 2–90 %" in of["late"]
    assert of["fine"].split()[:3] == ["fine", "100", "never"]
    assert "6 runs, enforce: 4 cancelled (2 right, 1 wrong, 1 unknown)" in lines
    step = int(of["broken"].partition("cancelled at ")[2].split()[0])
    assert f"steps saved: {100 - step}; 2 runs unknown" in lines
    assert f"dollars saved: about ${(100 - step) / 10:.2f}, if every step costs the same; 2 unknown in dollars" in lines
    assert any(line.startswith("dollars lost: about $2.") and MINIMUM in line for line in lines)
    assert "Each run is taken to cost $10.00 (--price); had it failed by itself, nothing would be billed." in lines
    assert "How long a step lasts is not known (--step-seconds): each row counts as a sweep." in lines


def test_a_veto_window_has_a_length_where_a_step_has_one(replay: Run, files: Path, tmp_path: Path) -> None:
    config = tmp_path / "watcher.yaml"
    config.write_text("cancel: {veto_window: 5m}\n")
    timed = replay(files, "-c", config, "--cancel", "propose", "--step-seconds", "30", "--interval", "20s")[1]
    untimed = replay(files, "-c", config, "--cancel", "propose")[1]

    assert "6 runs, propose: 3 cancelled (2 right, 1 wrong), 1 still open where the recording ends" in timed
    assert "a sweep every 20 s (0.6667 steps), a veto window of 5 min (10 steps) that nobody uses" in timed
    assert "the veto window of 5 min as over at once. No cancel could have been earlier" in untimed
    assert "dollars" not in timed


def test_a_dump_of_a_job_has_a_time_of_its_own(replay: Run, files: Path, tmp_path: Path) -> None:
    dump, start = tmp_path / "metrics.json", 1_800_000_000 * 10**9
    metrics = [
        {"train/global_step": step, "train/loss": float(loss), "timestamp": start + step * 60 * 10**9}
        for step, loss, *_ in rows(40, 60)
    ]
    dump.write_text(json.dumps({"id": "ft-1", "total_steps": 100, "metrics": metrics}))
    out = replay(dump, files, "--cancel", "propose", "--step-seconds", "1")[1]
    found = policies(replay(dump, files, "-f", "json", "--cancel", "propose")[1])

    (cancel,) = found["ft-1"]["proposals"]
    assert cancel["ended"] == cancel["step"] + 15
    assert "Rows that have a time are taken by it: a sweep every 30 s, a veto window of 15 min that nobody uses." in out
    assert "A step is taken to last 1 s (--step-seconds): a sweep every 30 s (30 steps), a veto window of" in out
    price = {"price": None, "step_seconds": None}
    assert found["ft-1"]["assumed"] == price | {"interval_seconds": 30.0, "veto_window_seconds": 900.0}
    assert found["broken"]["assumed"] == price | {"interval_seconds": None, "veto_window_seconds": None}


def test_the_page_on_auto_cancel_shows_what_it_says(replay: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/how-to/auto-cancel.md").read_text()
    command, shown = re.findall(r"```(?:sh|text)\n(watcher replay [^\n]*|run  .*?)\n```", page, re.DOTALL)
    monkeypatch.setenv("COLUMNS", "118")
    monkeypatch.chdir(ROOT)
    lines = replay(*command.split()[2:])[1].splitlines()

    assert [line for line in shown.splitlines() if line != "…" and line not in lines] == []
    assert shown.splitlines()[-8:] == lines[-8:]


@pytest.mark.parametrize(
    ("mode", "told"),
    [("observe", "observe: none cancelled, 4 would be (2 right, 1 wrong, 1 unknown)"), ("off", "off: none cancelled")],
)
def test_modes_that_do_nothing_cost_nothing(mode: str, told: str, replay: Run, files: Path) -> None:
    found = policies(replay(files, "-f", "json", "--cancel", mode)[1]).values()

    assert f"6 runs, {told}" in replay(files, "--cancel", mode)[1].splitlines()
    assert all(p["cancel"] is None and p["steps_saved"] == p["steps_lost"] == 0 for p in found)
    assert [bool(p["hindsight"]) for p in found].count(True) == (4 if mode == "observe" else 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--price", "5"], "--price: expected together with --cancel", id="a price alone"),
        pytest.param(["--step-seconds", "2"], "--step-seconds: expected together with --cancel", id="a pace alone"),
        pytest.param(["--cancel", "enforce", "--price", "free"], "--price free: expected dollars", id="no price"),
        pytest.param(["--cancel", "enforce", "--price", "-1"], "--price -1: expected dollars", id="a price below zero"),
        pytest.param(["--cancel", "enforce", "--price", "nan"], "--price nan: expected dollars", id="no number"),
        pytest.param(["--cancel", "propose", "--step-seconds", "0"], "--step-seconds 0.0: expected a", id="no time"),
        pytest.param(["--cancel", "propose", "--step-seconds", "inf"], "--step-seconds inf: expected", id="for ever"),
        pytest.param(["--interval", "5s"], "--interval: expected together with --cancel", id="an interval alone"),
        pytest.param(
            ["--cancel", "propose", "--step-seconds", "1", "--interval", "soon"], "--interval soon: expected", id="soon"
        ),
        pytest.param(
            ["--cancel", "propose", "--step-seconds", "1", "--interval", "0s"], "--interval 0s: expected", id="at once"
        ),
        pytest.param(["--cancel", "now"], "'now' is not one of", id="no mode"),
    ],
)
def test_bad_options_are_named(arguments: list[str], said: str, replay: Run, files: Path) -> None:
    code, out, err = replay(files, *arguments)

    assert (code, out) == (2, "")
    assert said in err
