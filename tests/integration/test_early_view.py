"""What the page of a job says of early stopping."""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run
from tests.stored import JOB, NOW, a_job, a_snapshot
from watcher.domain.early_stopping import EarlyStopping
from watcher.domain.observations import EvalRow, Event, Observation, Snapshot, Status
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.early_stop import EarlyStop
from watcher.service.earlyview import early_stopping_view, knobs_of
from watcher.service.jobpage import events_of, rows_of
from watcher.store.sqlite import SqliteStore, open_store

HALTED = (0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388)
DEFAULTS = "With patience 2, min_delta 0, warm-up 1, the documented defaults, it would"
TWO = EarlyStopping(patience=2)


def evals(*losses: float | None) -> list[Observation]:
    """One every 12 steps."""
    return [EvalRow(12 * i, i, loss) for i, loss in enumerate(losses, start=1)]


def a_plan(status: Status = Status.RUNNING, **more: Any) -> Snapshot:
    known: dict[str, Any] = {"total_steps": 120, "n_evals": 10, "total_price_nano": 20 * 10**9}
    return a_snapshot(status=status, raw_status=status.value, **{**known, **more})


def view(job: Snapshot, seen: Sequence[Observation], knobs: EarlyStopping | None = None) -> Any:
    return early_stopping_view(job, rows_of(seen), events_of(seen), knobs, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("losses", "knobs", "fewest", "most", "first"),
    [
        pytest.param((0.5, 0.4), TWO, 2, 2, "2 more bad evaluations in a row end the run: 0 of 2 are used up.",
                     id="none used up"),
        pytest.param((0.5, 0.6), TWO, 1, 1, "1 more bad evaluation ends the run: 1 of 2 is used up (0.6 at step 24).",
                     id="one left"),
        pytest.param((0.5, 0.45, 0.46), EarlyStopping(patience=3, min_delta=0.05), 1, 2,
                     "1 or 2 more bad evaluations in a row end the run: 2 of 3 are used up (0.45 at step 24, 0.46 at "
                     "step 36); which, depends on how the service reads min_delta.", id="in two readings"),
        pytest.param((*range(20, 11, -1), 10), EarlyStopping(patience=9), 9, 9,
                     "Patience can't be used up any more: 0 of 9 are used up, and only 0 more to come.",
                     id="too few are to come"),
    ],
)  # fmt: skip
def test_a_running_job_says_how_many_bad_evaluations_are_left(
    losses: tuple[float, ...], knobs: EarlyStopping, *, fewest: int, most: int, first: str
) -> None:
    found = view(a_plan(), evals(*losses), knobs)

    assert found["state"] == "running"
    assert found["left"] == {"fewest": fewest, "most": most}
    assert found["lines"][0] == first


def test_a_running_job_that_should_have_been_halted_says_so() -> None:
    found = view(a_plan(), evals(0.5, 0.6, 0.7), TWO)

    assert found["left"] is None
    assert "should have been halted by now" in found["lines"][0]


def test_without_settings_nothing_is_forecast() -> None:
    found = view(a_plan(), evals(0.5, 0.6))

    assert (found["state"], found["left"], found["settings"]) == ("would_not_have", None, None)


@pytest.mark.parametrize(
    ("job", "seen", "state", "line"),
    [
        pytest.param(a_plan(), evals(0.5, 0.4), "would_not_have", f"{DEFAULTS} not have been halted so far.", id="no"),
        pytest.param(a_plan(Status.COMPLETED), evals(*HALTED, 0.41), "would_have",
                     f"{DEFAULTS} have halted at step 72 of 120 and shipped step 48; 48 steps saved; about $8.00, if "
                     "every step costs the same; but a better eval came later: 0.41 at step 84, 0.0113 lower.",
                     id="completed"),
        # Nothing is billed for a failed job and its steps end where it failed: only steps are saved.
        pytest.param(a_plan(Status.ERROR), evals(*HALTED, 0.5), "would_have",
                     f"{DEFAULTS} have halted at step 72 of 120 and shipped step 48; 12 steps saved.", id="failed"),
        pytest.param(a_plan(Status.CANCELLED, total_steps=None), evals(*HALTED, 0.5), "would_have",
                     f"{DEFAULTS} have halted at step 72 (plan unknown) and shipped step 48; 12 steps saved.",
                     id="no plan"),
    ],
)  # fmt: skip
def test_what_the_defaults_would_have_done(job: Snapshot, seen: list[Observation], state: str, line: str) -> None:
    found = view(job, seen)

    assert (found["state"], found["lines"]) == (state, [line])


def test_configured_settings_that_did_not_halt_it_are_not_its_own() -> None:
    found = view(a_plan(Status.COMPLETED), evals(*HALTED), TWO)

    assert found["lines"][0].startswith("With patience 2, min_delta 0, warm-up 1, as configured, it would have halted")
    assert found["lines"][1].startswith("It was not halted: early stopping was off, or")


def test_readings_that_differ_are_told_apart() -> None:
    found = view(a_plan(Status.COMPLETED), evals(0.5, 0.45, 0.45, 0.44), EarlyStopping(patience=2, min_delta=0.05))

    assert len(set(found["lines"][:4])) == 4
    assert found["lines"][4].startswith("Which of these, depends on how the service reads min_delta")


@pytest.mark.parametrize("job", [a_plan(n_evals=None), a_plan(n_evals=3)])
def test_where_it_could_not_have_been_used_nothing_is_said(job: Snapshot) -> None:
    assert view(job, evals(0.5, 0.6, 0.7)) is None


def test_before_the_first_evaluation_there_is_nothing_to_say() -> None:
    assert view(a_plan(), [], TWO) is None


def stopped(**more: Any) -> Event:
    return Event(type="early_stopped", at=NOW, step=72, best_step=48, best_metric=0.4213, total_steps=120, **more)


def test_a_stopped_job_is_explained_as_its_alert_is() -> None:
    job = a_plan(Status.COMPLETED, early_stopped=True, best_step=48, best_metric=0.4213)
    found = view(job, [*evals(*HALTED), stopped()])

    assert (found["state"], found["halt_step"], found["ships_step"]) == ("stopped", 72, 48)
    assert "patience was used up by 2 evals without enough improvement" in found["lines"][0]
    assert any("consistent with patience 2" in line for line in found["lines"][1:])


def test_a_stop_whose_last_evaluation_is_not_read_yet_waits() -> None:
    found = early_stopping_view(a_plan(early_stopped=True), [], [stopped()], None, NOW)

    assert found is not None
    assert found["state"] == "waiting"


def test_knobs_are_those_of_the_rule_that_has_them() -> None:
    assert knobs_of([Divergence(), EarlyStop()]) is None
    assert knobs_of([EarlyStop(), EarlyStop(name="mine", early_stopping=TWO)]) == TWO


# --- the command ---


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path))
    with open_store(tmp_path / "watcher.db") as opened:
        yield opened


def test_the_page_of_a_job_takes_what_its_selection_is_created_with(store: SqliteStore, tmp_path: Path) -> None:
    store.write_now(lambda tx: tx.save_job(a_job(JOB, selection="mine", snapshot=a_plan())))
    store.write_now(lambda tx: tx.append(JOB, 1, evals(0.5, 0.6, math.nan)[:2]))
    config = tmp_path / "watcher.yaml"
    config.write_text("jobs: [{name: mine, rules: {early_stop: {early_stopping: {patience: 3}}}}, {name: rest}]\n")

    shown = run("jobs", "ft-1", "--config", config)
    (job,) = run("jobs", "ft-1", "--config", config, "--format", "json").json["jobs"]

    assert "2 more bad evaluations in a row end the run: 1 of 3 is used up (0.6 at step 24)." in shown.out
    assert job["early_stopping"]["left"] == {"fewest": 2, "most": 2}
    assert "it would not have been halted so far" in run("jobs", "ft-1").out
