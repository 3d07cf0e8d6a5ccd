"""Checkpoints on the whole way: what messages say of them before and after a cancel, and what the commands print."""

import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run, world
from tests.simulated import a_run, write_curves
from tests.timeline import CANCELLED, ENFORCE, JOB, PROPOSE, PROPOSED, Scene, firing, scene
from watcher.domain.messages import Message
from watcher.domain.observations import Event


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    """A job that breaks after ten minutes, at step 60."""
    async with scene(tmp_path, policy=PROPOSE) as made:
        made.job(total_steps=1000, training_file="file-1", learning_rate=2e-5)
        made.at("10m", loss=9)
        yield made


def saves(play: Scene, when: str, step: int) -> None:
    def save() -> None:
        event = Event(type="checkpoint_save", at=play.clock.now(), step=step)
        play.provider.jobs[JOB].events.append(event)

    play.do(when, save)


def rows_of(message: Message) -> dict[str, str]:
    return dict(message.facts)


async def test_while_nothing_is_saved_everybody_reads_what_a_cancel_loses(play: Scene) -> None:
    await play.run("17m")

    (first,), (announced,), (report,) = play.of(firing("high")), play.of(PROPOSED), play.of(CANCELLED)
    assert rows_of(first)["newest checkpoint"].endswith(": a cancel now would lose all 60 steps")
    assert "as of 2026-01-01 00:" in rows_of(first)["newest checkpoint"]
    assert announced.action.startswith(
        "Nothing is saved yet: a cancel now would lose all 63 steps. The job is cancelled"
    )
    assert report.action.startswith(
        "Cancelled at step 93. 907 of 1000 steps were not run. No checkpoint had been saved."
    )
    assert report.command == ""


async def test_what_is_saved_between_alert_and_announcement_is_known_to_the_announcement(play: Scene) -> None:
    saves(play, "10m20s", 61)
    await play.run("11m")

    (first,), (announced,) = play.of(firing("high")), play.of(PROPOSED)
    assert "none saved yet" in rows_of(first)["newest checkpoint"]
    assert "step 61" in rows_of(announced)["best checkpoint"]
    assert announced.action.startswith("The job is cancelled at ")


async def test_a_cancel_names_the_best_saved_place_and_the_better_one_that_was_not(play: Scene) -> None:
    play.policy = ENFORCE
    await play.reload(ENFORCE)
    for when, step, loss in (("2m", 11, 1.9), ("6m", 35, 1.2), ("9m", 53, 1.4)):
        play.at(when, eval_loss=loss)
        if step != 35:
            saves(play, when, step)
    await play.run("12m")

    (first,), (report,) = play.of(firing("high")), play.of(CANCELLED)
    assert rows_of(first)["best checkpoint"] == "step 53 (eval loss 1.4), from_checkpoint ft-1:53"
    assert rows_of(first)["better, but not saved"] == "step 35 (eval loss 1.2)"
    assert "lose" not in first.what + first.action
    assert "Best saved checkpoint: step 53, eval loss 1.4; eval loss 1.2 at step 35 was not saved." in report.action
    assert report.action.endswith("What is still there: watcher checkpoints ft-1")
    assert report.command == (
        "together fine-tuning create --training-file=file-1 --from-checkpoint=ft-1:53 --learning-rate=1e-05 "
        "--suffix=ft-1"
    )


JOB_FIELDS: dict[str, Any] = {"n_epochs": 2, "n_checkpoints": 4, "learning_rate": 2e-5, "batch_size": 8}


def test_the_commands_say_which_checkpoint_to_go_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evals = [[10, 0.9], [15, 0.5], [20, 0.7], [25, 2.0], [30, 4.0]]
    curves = write_curves(tmp_path / "runs.jsonl", a_run("bends", 40, eval=evals, job=JOB_FIELDS))
    with world(tmp_path, monkeypatch, curves) as made:
        made.sweep()
        made.clock.advance(6)
        made.sweep()
        job_id = made.id_of("bends")
        early = run("checkpoints", "bends").out, run("cancel", job_id, stdin="n\n").err
        made.clock.advance(24)
        made.sweep()
        document = run("checkpoints", "bends", "--format", "json").json
        (whole,) = run("jobs", "bends", "--format", "json").json["jobs"]
        shown, asked = run("jobs", "bends").out, run("cancel", job_id, stdin="n\n").err

    found = document["going_on"]
    assert "none is saved yet: a cancel now would lose all 4 steps" in early[0]
    assert "none is saved yet, so a cancel now would lose all 4 steps" in early[1]
    assert found == whole["going_on"]
    assert (found["measure"], found["unsaved"]) == ("eval loss", {"step": 15, "loss": 0.5})
    assert found["saved"] == {"step": 20, "loss": 0.7, "basis": "own", "from_checkpoint": f"{job_id}:20"}
    assert shlex.split(found["command"])[3:] == [
        "--training-file=file-bends", f"--from-checkpoint={job_id}:20", "--learning-rate=1e-05",
        "--n-checkpoints=4", "--validation-file=file-bends-validation", "--n-evals=8", "--batch-size=8",
        "--suffix=bends",
    ]  # fmt: skip
    for words in (
        f"best saved: step 20 (eval loss 0.7), from_checkpoint {job_id}:20",
        "better, but not saved: step 15 (eval loss 0.5)",
        f"with a lower learning rate:\n{found['command']}\n",
    ):
        assert words in shown, words
    assert f"best checkpoint step 20 (eval loss 0.7), from_checkpoint {job_id}:20; better, but not saved" in asked
