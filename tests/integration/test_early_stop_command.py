"""`watcher early-stop check` from its arguments to what stands on stdout and stderr."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run
from tests.stored import JOB, OTHER_JOB, a_job, a_snapshot
from watcher.domain.observations import EvalRow, Observation, Status, TrainRow
from watcher.service.records import JobKey
from watcher.store.sqlite import SqliteStore, open_store

HALTED = (0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388)
LATER = (*HALTED, 0.42, 0.41, 0.40, 0.40)


def a_run(name: str, *losses: float | str, **config: Any) -> dict[str, Any]:
    """An evaluation every 12 steps, and a train row at each step."""
    train = [[step, 1.0] for step in range(1, 12 * len(losses) + 1)]
    return {"id": name, "train": train, "eval": [[12 * i, x] for i, x in enumerate(losses, 1)], "config": config}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """One that was lost for good, one that came back, one that only improved, one that broke, one with few evals."""
    written = [
        a_run("lost", *HALTED, 0.45, 0.46, 0.47, 0.48, total_steps=120, n_evals=10),
        a_run("came\x1b[2Jback", *LATER, total_steps=120, n_evals=10),
        a_run("fine", 0.6, 0.5, 0.4, 0.3),
        a_run("broke", 0.6, "NaN", "NaN", "NaN"),
        a_run("short", 0.6, 0.7),
    ]
    path = tmp_path / "runs.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, written)).encode()))
    return path


def check(*words: object) -> Any:
    return run("early-stop", "check", *words)


def lines(out: str) -> dict[str, str]:
    """By their first word the rest of them, with one space between words."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line}


# --- before creation ---


def test_a_setting_is_judged_before_there_is_a_job() -> None:
    said = check("--n-evals", 10, "--steps", 120)

    assert said.code == 0
    assert "yes: the service asks for at least 4 evaluations (patience + warm-up + 1)" in said.out
    assert "evaluation 3 of 10, at about step 36 of 120" in said.out
    assert "about 84 of 120 steps (70 %)" in said.out


def test_without_steps_the_share_of_the_run_is_told() -> None:
    assert "70 % of the run" in check("--n-evals", 10).out


def test_a_setting_that_can_never_fire_ends_with_1() -> None:
    said = check("--n-evals", 3)

    assert said.code == 1
    assert "no: the service asks for at least 4 evaluations" in said.out
    assert "earliest halt" not in said.out


def test_several_patiences_side_by_side() -> None:
    said = check("--n-evals", 4, "--patience", "1..3", "--steps", 120)

    assert said.code == 0
    assert lines(said.out)["1"] == "yes eval 2 of 4, step 60 50 %"
    assert lines(said.out)["3"] == "no: needs 5 evals"
    assert check("--n-evals", 2, "--patience", "1..3").code == 1


# --- on recorded runs ---


def test_each_run_says_what_would_have_been(runs: Path) -> None:
    said = check(runs)
    found = lines(said.out)

    assert said.code == 0
    assert found["lost"] == "10/10 120/120 step 72 0.4213 at step 48 48 (40.0 %)"
    assert found["fine"] == "4 48 no"
    assert found["broke"] == "4 48 step 24 (not finite) 0.6 at step 12 24 (50.0 %)"
    assert found["short"] == "2 24 too few evals"
    assert "48 (40.0 %)  0.4 at step 108, 0.0213 lower" in said.out
    assert (
        "5 runs; 3 would be halted, 1 of them before a better eval came (at worst 0.0213 lower); 120 of 360 "
        in said.out
    )
    assert "1 run has too few evaluations" in said.out
    assert "\x1b" not in said.out


def test_several_patiences_on_runs(runs: Path) -> None:
    found = lines(check(runs, "--patience", "1..3", "--n-evals", 10).out)

    assert found["1"] == "yes eval 2 of 10 80 % 3 of 4 144 (40.0 %) 1 0.0213 lower"
    # The one that came back is bad twice in a row only.
    assert found["3"] == "yes eval 4 of 10 60 % 1 of 2 36 (10.0 %) 0"


def test_readings_of_min_delta_that_differ_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(a_run("open", 0.5, 0.45, 0.45, 0.46)))
    said = check(path, "--min-delta", 0.05)

    assert "step 36 or step 48  0.5 at step 12 or 0.45 at step 24" in said.out
    assert "1 run depends on how the service reads min_delta, which is not documented; counted here: a " in said.out


def test_every_form_of_recording_is_read(tmp_path: Path) -> None:
    history = [{"step": 12 * i, "eval_loss": loss} for i, loss in enumerate(HALTED, 1)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history, "max_steps": 120}))
    rows = [{"train/global_step": 12 * i, "timestamp": i, "eval/loss": loss} for i, loss in enumerate(HALTED, 1)]
    (tmp_path / "metrics.json").write_text(json.dumps({"metrics": rows, "n_evals": 10}))
    found = check(tmp_path / "trainer_state.json", tmp_path / "metrics.json", "-f", "json").json["runs"]

    assert [r["outcomes"][0]["readings"][0]["halt_step"] for r in found] == [72, 72]


def test_programs_get_one_document(runs: Path) -> None:
    found = check(runs, "--n-evals", 10, "--steps", 120, "--format", "json").json

    assert found["settings"] == [
        {"patience": 2, "min_delta": 0.0, "warmup": 1, "least_evals": 4, "n_evals": 10, "steps": 120, "can_fire": True,
         "earliest_eval": 3, "earliest_step": 36, "most_saved": 0.7}
    ]  # fmt: skip
    back, broke, short = found["runs"][1], found["runs"][3], found["runs"][4]
    assert back["outcomes"][0]["readings"] == [
        {"at_delta": False, "any_lower": False, "halt_step": 72, "halt_eval": 6, "cause": "patience", "ships_step": 48,
         "ships_loss": 0.4213, "steps_saved": 48, "better_step": 108, "better_loss": 0.4, "lost": pytest.approx(0.0213)}
    ]  # fmt: skip
    assert broke["outcomes"][0]["readings"][0]["cause"] == "not_finite"
    assert short["outcomes"] == [{"patience": 2, "possible": False, "readings": []}]
    assert found["summary"] == [
        {"patience": 2, "runs": 5, "halted": 3, "too_few_evals": 1, "depends_on_reading": 0, "steps": 360,
         "steps_saved": 120, "better_later": 1, "worst_lost": pytest.approx(0.0213)}
    ]  # fmt: skip


# --- on watched jobs ---


def keep(store: SqliteStore, key: JobKey, suffix: str, losses: tuple[float, ...]) -> None:
    snapshot = a_snapshot(key.job_id, suffix=suffix, status=Status.COMPLETED, raw_status="completed", n_evals=10)
    rows: list[Observation] = [TrainRow(80, 99, 1.0), *(EvalRow(12 * i, i, loss) for i, loss in enumerate(losses, 1))]
    store.write_now(lambda tx: tx.save_job(a_job(key, snapshot=snapshot)))
    store.write_now(lambda tx: tx.append(key, 1, rows))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path))
    with open_store(tmp_path / "watcher.db") as opened:
        keep(opened, JOB, "bot", HALTED)
        keep(opened, OTHER_JOB, "other", (0.4, 0.3, 0.2, 0.1))
        yield opened


@pytest.mark.usefixtures("store")
def test_watched_jobs_can_be_tried_too() -> None:
    every, single = check("--jobs").out, check("--job", "bot").out

    assert lines(every)["bot"] == "(completed) 6/10 80 step 72 0.4213 at step 48 8 (10.0 %)"
    assert "2 runs; 1 would be halted" in every
    assert "1 run; 1 would be halted" in single
    assert "other" not in single


@pytest.mark.usefixtures("store")
def test_a_job_that_is_not_known_is_bad_input() -> None:
    said = check("--job", "nobody")

    assert said.code == 2
    assert "'nobody' is not known" in said.err


def test_no_store_yet_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path / "none"))

    assert check("--jobs").code == 1


# --- bad input ---


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param([], "--n-evals: expected the evaluations", id="nothing to go by"),
        pytest.param(["--n-evals", 0], "--n-evals 0: expected a whole number from 1 on", id="no evaluations"),
        pytest.param(["--n-evals", 9, "--steps", -1], "--steps -1: expected a whole number from 1 on", id="no steps"),
        pytest.param(["--n-evals", 9, "--patience", 0], "--patience 0: expected a whole number from 1 on", id="none"),
        pytest.param(["--n-evals", 9, "--patience", "3..1"], "--patience 3..1: expected", id="backwards"),
        pytest.param(["--n-evals", 9, "--patience", "1..900"], "--patience 1..900: expected", id="too many"),
        pytest.param(["--n-evals", 9, "--patience", "\x1b"], "--patience ", id="hostile"),
        pytest.param(["--n-evals", 9, "--min-delta", "nan"], "--min-delta nan: expected a finite number", id="NaN"),
        pytest.param(["--n-evals", 9, "--warmup", -1], "--warmup -1: expected a whole number from 0 on", id="warm-up"),
        pytest.param(["nowhere.jsonl"], "nowhere.jsonl: No such file", id="no file"),
        pytest.param(["--n-evals", "x"], "--n-evals", id="no number"),
    ],
)
def test_bad_input_names_key_value_and_what_was_expected(words: list[object], told: str) -> None:
    said = check(*words)

    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert "\x1b" not in said.err


def test_files_without_runs_say_so(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")

    assert check(tmp_path / "none.jsonl").out == "no runs to try it on\n"
