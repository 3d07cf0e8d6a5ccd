"""Which checkpoint to go on from: joined with evaluations, else with the smoothed train loss; never on no number."""

import json
import math
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.domain import codec
from watcher.domain.checkpoints import (
    Attempt,
    Basis,
    Choice,
    Measure,
    Place,
    Saved,
    Shelf,
    choose,
    curve_of,
    final_step,
    reference,
    trusted,
)
from watcher.domain.continuing import best, continuation, kept, lost, unsaved
from watcher.domain.curve import Curve
from watcher.domain.early_stopping import Evaluation
from watcher.domain.observations import EvalRow, Event, Snapshot, Status, TrainRow

NAN = math.nan
AT = datetime(2026, 1, 1, tzinfo=UTC)
EVAL, TRAIN = Measure.EVAL, Measure.TRAIN


def evals(*pairs: tuple[int, float | None]) -> list[Evaluation]:
    return [Evaluation(step, loss) for step, loss in pairs]


def saves(*steps: int) -> list[Saved]:
    return [Saved(step) for step in steps]


def train(*losses: float | None, first: int = 1, norm: float | None = 1.0) -> Curve:
    return curve_of(TrainRow(step, step, loss, norm) for step, loss in enumerate(losses, first))


FALLING = train(*[2.0 - 0.01 * i for i in range(100)])


@pytest.mark.parametrize(
    ("saved", "evaluations", "curve", "found"),
    [
        pytest.param([], [], Curve(), (None, None, None), id="nothing is known"),
        pytest.param(saves(20), [], Curve(), (None, None, None), id="saved, and nothing else known"),
        pytest.param(
            saves(20, 40), evals((20, 0.7), (40, 0.8)), Curve(), (EVAL, Place(20, 0.7), None), id="both evaluated"
        ),
        pytest.param(
            saves(20, 40), evals((20, 0.9), (30, 0.5), (40, 0.8)), Curve(), (EVAL, Place(40, 0.8), Place(30, 0.5)),
            id="a better one was not saved",
        ),
        pytest.param(
            saves(20), evals((20, 0.7), (30, 0.7)), Curve(), (EVAL, Place(20, 0.7), None), id="as good is not better"
        ),
        pytest.param(
            [], evals((10, 0.9), (20, 0.7)), Curve(), (EVAL, None, Place(20, 0.7)), id="nothing saved, and evaluated"
        ),
        pytest.param(
            saves(25), evals((20, 0.7), (30, 0.9)), Curve(), (EVAL, Place(25, 0.9, basis=Basis.AROUND), Place(20, 0.7)),
            id="between two: the worse of them",
        ),
        pytest.param(
            saves(25, 30), evals((20, 0.7), (30, 9.0), (40, 9.5)), Curve(),
            (EVAL, Place(25, 9.0, basis=Basis.AROUND), Place(20, 0.7)), id="it broke between: not taken for good",
        ),
        pytest.param(
            saves(20, 40), evals((20, None), (40, 0.8)), Curve(), (EVAL, Place(40, 0.8), None),
            id="one that is no number",
        ),
        pytest.param(
            saves(25), evals((20, 0.7), (30, None)), Curve(), (None, None, None), id="the one after it is no number"
        ),
        pytest.param(
            saves(20, 45), evals((20, 0.7), (40, 0.6)), FALLING, (EVAL, Place(45, 0.6, basis=Basis.BEFORE), None),
            id="after the last evaluation, still falling",
        ),
        pytest.param(
            saves(20, 61), evals((20, 0.7), (40, 0.6)), FALLING, (EVAL, Place(20, 0.7), Place(40, 0.6)),
            id="after the last evaluation, and another was due",
        ),
        pytest.param(
            saves(20, 45), evals((20, 0.7), (40, 0.6)), train(*[1.0, 1.01] * 20, *[3.0] * 10),
            (EVAL, Place(20, 0.7), Place(40, 0.6)), id="after the last evaluation, risen since",
        ),
        pytest.param(
            saves(20, 45), evals((20, 0.7), (40, 0.6)), train(*[1.0] * 42, NAN, *[1.0] * 10),
            (EVAL, Place(20, 0.7), Place(40, 0.6)), id="after the last evaluation, no number since",
        ),
    ],
)  # fmt: skip
def test_saved_and_evaluated(
    saved: list[Saved],
    evaluations: list[Evaluation],
    curve: Curve,
    found: tuple[Measure | None, Place | None, Place | None],
) -> None:
    choice = choose(saved, evaluations, curve)

    assert (choice.measure, choice.saved, choice.unsaved) == found


def test_a_checkpoint_that_was_evaluated_as_no_number_is_not_saved_by_its_train_loss() -> None:
    choice = choose(saves(20, 40), evals((20, None)), FALLING)

    assert (choice.measure, choice.saved and choice.saved.step, choice.unvalued) == (TRAIN, 40, (20,))


def test_without_evaluations_the_smoothed_train_loss_decides() -> None:
    curve = train(*[2.0] * 20, *[1.0] * 20, *[5.0] * 20)
    choice = choose(saves(20, 40, 60), [], curve)

    assert (choice.measure, choice.saved, choice.unsaved) == (TRAIN, Place(40, 1.0), None)


def test_a_lower_train_loss_than_noise_explains_was_not_saved() -> None:
    good = [1.5 + 0.01 * (i % 3) for i in range(30)]
    choice = choose(saves(10), [], train(*[2.0] * 10, *good, *[5.0] * 10))

    assert choice.saved == Place(10, 2.0)
    assert choice.unsaved is not None
    assert 20 <= choice.unsaved.step <= 40


def test_noise_alone_is_no_better_place() -> None:
    noisy = [1.0 + 0.1 * math.sin(7.3 * i * i) for i in range(60)]

    assert choose(saves(30), [], train(*noisy)).unsaved is None


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param(train(*[1.0] * 15, NAN, *[1.0] * 4), id="no number in its rows"),
        pytest.param(train(*[1.0] * 15, None, *[1.0] * 4), id="a row without a value"),
        pytest.param(train(*[1.0] * 15, math.inf, *[1.0] * 4), id="infinity"),
        pytest.param(train(*[1.0] * 10), id="beyond the rows"),
        pytest.param(train(*[0.0] * 20, norm=None), id="zeros that may hide one"),
        pytest.param(train(*[0.0] * 20, norm=NAN), id="zeros that do"),
    ],
)
def test_a_train_loss_that_is_not_known_makes_none_the_best(curve: Curve) -> None:
    choice = choose(saves(20), [], curve)

    assert (choice.saved, choice.newest, choice.unvalued) == (None, 20, (20,))


def test_a_curve_drawn_without_steps_places_nothing() -> None:
    curve = Curve()
    for _ in range(40):
        curve.add(1.0)

    assert choose(saves(20), [], curve) == Choice(newest=20, unvalued=(20,))


def test_a_long_run_is_valued_all_the_same() -> None:
    curve = train(*[3.0 - i / 5000 for i in range(10_000)])
    choice = choose(saves(2_500, 5_000, 7_500), [], curve)

    assert choice.saved is not None
    assert (choice.saved.step, round(choice.saved.loss, 1)) == (7_500, 1.5)
    assert choice.unsaved is not None
    assert choice.unsaved.step == 10_000


def test_the_loss_that_a_row_hides_is_not_trusted() -> None:
    assert trusted(TrainRow(1, 1, 1.5)) == 1.5
    assert trusted(TrainRow(1, 1, 0.0)) is None
    assert trusted(TrainRow(1, 1, 0.0, 0.0)) == 0.0
    assert math.isnan(trusted(TrainRow(1, 1, None, math.inf)) or 0.0)


# --- attempts and ends ---


def test_a_checkpoint_that_the_present_attempt_may_have_written_over_is_not_ranked() -> None:
    before, after = Saved(30, at_ns=100), Saved(40, at_ns=300)
    attempt = Attempt(step=25, at_ns=200)
    old = [Saved(20, at_ns=50), before, after]
    choice = choose(old, evals((20, 0.9), (30, 0.1), (40, 0.5)), Curve(), attempt)

    assert (choice.saved, choice.newest, choice.replaced) == (Place(40, 0.5), 40, (30,))
    # Nobody knows what is saved at step 30 now, so it is not said that nothing is.
    assert choice.unsaved is None


def test_a_checkpoint_saved_again_counts_anew() -> None:
    shelf = Shelf()
    for seconds in (10, 90):
        at = datetime.fromtimestamp(seconds, UTC)
        shelf.note_saved(Event(type="checkpoint_save", at=at, step=30))
    shelf.note_eval(EvalRow(30, 1, 0.4))

    assert shelf.saved == [Saved(30, 90 * 10**9)]
    assert shelf.choose(Curve(), Attempt(25, 60 * 10**9)).saved == Place(30, 0.4)


def test_an_evaluation_that_comes_again_takes_the_place_of_the_first() -> None:
    shelf = Shelf()
    for step, loss in ((10, 0.9), (20, 0.5), (20, 0.7), (15, NAN)):
        shelf.note_eval(EvalRow(step, 1, loss))

    assert shelf.evaluations == evals((10, 0.9), (15, None))


@pytest.mark.parametrize(
    ("changes", "last", "step"),
    [
        pytest.param({}, 148, None, id="still running"),
        pytest.param({"status": Status.CANCELLED}, 90, None, id="cancelled: there is no final one"),
        pytest.param({"status": Status.COMPLETED}, 148, 148, id="completed"),
        pytest.param({"status": Status.COMPLETED}, None, None, id="no row was seen"),
        pytest.param({"status": Status.COMPLETED, "early_stopped": True, "best_step": 96}, 120, 96, id="stopped early"),
        pytest.param({"status": Status.COMPLETED, "early_stopped": True}, 120, 120, id="which one is not said"),
    ],
)
def test_the_final_model(changes: dict[str, Any], last: int | None, step: int | None) -> None:
    assert final_step(replace(JOB, **changes), last) == step


def test_the_final_model_counts_as_saved_and_is_named_by_the_id_alone() -> None:
    shelf = Shelf(saved=saves(50, 100), evaluations=evals((50, 0.6), (100, 0.5)))
    choice = shelf.choose(Curve(), Attempt(), final=100)

    assert choice.saved == Place(100, 0.5, final=True)
    assert best(choice, "ft-1") == "step 100 (eval loss 0.5), from_checkpoint ft-1"


# --- promises ---

LOSS = st.one_of(st.none(), st.floats())
STEPS = st.integers(1, 60)


@given(
    st.lists(st.builds(Saved, STEPS, st.integers(0, 9), st.booleans()), max_size=6),
    st.dictionaries(STEPS, LOSS, max_size=8),
    st.lists(LOSS, max_size=150),
    st.builds(Attempt, STEPS, st.integers(0, 9)),
)
def test_whatever_comes_the_best_is_a_number_and_is_saved(
    saved: list[Saved], evaluated: dict[int, float | None], losses: list[float | None], attempt: Attempt
) -> None:
    shelf = Shelf()
    for step, loss in sorted(evaluated.items()):
        shelf.note_eval(EvalRow(step, 1, loss))
    choice = choose(saved, shelf.evaluations, train(*losses), attempt)

    steps = {c.step for c in saved}
    assert json.loads(json.dumps(codec.encode(choice), allow_nan=False))
    assert codec.decode(Choice, codec.encode(choice)) == choice
    assert choice.saved is None or (choice.saved.step in steps and math.isfinite(choice.saved.loss))
    assert choice.saved is None or choice.saved.step not in choice.replaced
    if choice.unsaved is not None:
        assert choice.unsaved.step not in steps
        assert math.isfinite(choice.unsaved.loss)
        assert choice.saved is None or choice.unsaved.loss < choice.saved.loss
    assert (choice.measure is None) == (choice.saved is None and choice.unsaved is None)
    named = {*choice.replaced, *choice.unvalued, *([choice.saved.step] if choice.saved else [])}
    assert named <= steps


# --- words and the command ---

JOB = Snapshot(
    job_id="ft-1",
    at=AT,
    status=Status.RUNNING,
    raw_status="running",
    training_file="file-1",
    learning_rate=2e-5,
)
HERE = Place(600, 1.21)


def flags(**changes: Any) -> dict[str, str]:
    command = shlex.split(continuation(replace(JOB, **changes), HERE).command)
    assert command[:3] == ["together", "fine-tuning", "create"]
    pairs = [word.partition("=") for word in command[3:]]
    return {name: value for name, _, value in pairs}


def test_the_command_goes_on_from_the_place_with_half_the_learning_rate() -> None:
    assert flags() == {
        "--training-file": "file-1",
        "--from-checkpoint": "ft-1:600",
        "--learning-rate": "1e-05",
    }


def test_it_takes_over_what_the_api_tells_of_the_job() -> None:
    told = flags(
        n_epochs=3,
        total_steps=900,
        n_checkpoints=4,
        validation_file="file-2",
        n_evals=10,
        batch_size=32,
        lr_scheduler="cosine",
        warmup_ratio=0.05,
        max_grad_norm=0.3,
        suffix="bot v3",
        method="sft",
    )

    assert told == {
        "--training-file": "file-1",
        "--from-checkpoint": "ft-1:600",
        "--learning-rate": "1e-05",
        "--n-checkpoints": "4",
        "--validation-file": "file-2",
        "--n-evals": "10",
        "--batch-size": "32",
        "--lr-scheduler-type": "cosine",
        "--warmup-ratio": "0.05",
        "--max-grad-norm": "0.3",
        "--suffix": "bot v3",
    }


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        pytest.param({"n_epochs": 3, "total_steps": 700}, "--n-epochs", None, id="less than an epoch is left"),
        pytest.param({"n_epochs": 3, "total_steps": 1000}, "--n-epochs", "2", id="more than one is left"),
        pytest.param({"n_epochs": 3, "total_steps": 600}, "--n-epochs", None, id="nothing is left"),
        pytest.param({"max_grad_norm": 1.0}, "--max-grad-norm", None, id="what it takes by itself"),
        pytest.param({"n_epochs": 3}, "--n-epochs", "3", id="the plan is not known"),
        pytest.param({"n_evals": 10}, "--n-evals", None, id="no file to evaluate on"),
        pytest.param({"validation_file": "file-2"}, "--validation-file", None, id="no evaluations"),
        pytest.param({"lr_scheduler": "constant"}, "--lr-scheduler-type", None, id="a schedule that it does not take"),
        pytest.param({"warmup_ratio": NAN}, "--warmup-ratio", None, id="no number"),
        pytest.param({"method": "dpo"}, "--training-method", "dpo", id="dpo"),
        pytest.param({"suffix": "a\x1b[2Jb"}, "--suffix", None, id="a suffix that moves the cursor"),
        pytest.param({"suffix": "--lora"}, "--suffix", None, id="a suffix that looks like a flag"),
        pytest.param({"suffix": "$(reboot)"}, "--suffix", None, id="a suffix that is a command"),
        pytest.param({"suffix": "https://evil.example"}, "--suffix", None, id="a suffix that is a link"),
        pytest.param({"suffix": "bot v3 = best"}, "--suffix", "bot v3 = best", id="a suffix with spaces"),
    ],
)
def test_what_it_can_not_take_over_is_left_out(changes: dict[str, Any], name: str, value: str | None) -> None:
    assert flags(**changes).get(name) == value


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        pytest.param({"training_file": None}, "its training file", id="no file"),
        pytest.param({"training_file": "a\nb"}, "its training file", id="a file with a line break"),
        pytest.param({"learning_rate": None}, "its learning rate", id="no rate"),
        pytest.param({"learning_rate": NAN}, "its learning rate", id="a rate that is no number"),
        pytest.param({"learning_rate": 0.0}, "its learning rate", id="a rate of nothing"),
        pytest.param({"method": "grpo"}, "a training method that the command takes", id="another method"),
    ],
)
def test_without_what_it_needs_there_is_no_command(changes: dict[str, Any], missing: str) -> None:
    found = continuation(replace(JOB, **changes), HERE)

    assert (found.command, found.missing) == ("", (missing,))


TEXT = st.one_of(st.text(), st.from_regex(r"[\w .:/+=-]{1,30}", fullmatch=True))


@settings(max_examples=50)
@given(TEXT, TEXT, TEXT)
def test_text_of_the_api_stays_one_word_of_the_command(training: str, validation: str, suffix: str) -> None:
    job = replace(JOB, training_file=training, validation_file=validation, n_evals=4, suffix=suffix)
    command = continuation(job, HERE).command

    assert command.isascii()
    assert command.isprintable()
    assert not set("`$@<>|&;!*\\") & set(command)
    words = shlex.split(command)
    assert all(word.startswith("--") and "=" in word for word in words[3:])
    given_back = dict(word.split("=", 1) for word in words[3:])
    assert given_back.get("--training-file", training) == training
    assert given_back.get("--suffix", suffix) == suffix


def test_what_from_checkpoint_takes() -> None:
    assert reference("ft-1", 600) == "ft-1:600"
    assert reference("ft-1", 600, final=True) == "ft-1"


CHOICE = Choice(measure=EVAL, saved=HERE, unsaved=Place(700, 1.18), newest=800)


def test_words() -> None:
    between = Choice(measure=EVAL, saved=Place(600, 1.21, basis=Basis.AROUND))

    assert best(CHOICE, "ft-1") == "step 600 (eval loss 1.21), from_checkpoint ft-1:600"
    assert best(between, "ft-1") == (
        "step 600 (eval loss 1.21, the worse of the evaluations around it), from_checkpoint ft-1:600"
    )
    assert unsaved(CHOICE) == (("better, but not saved", "step 700 (eval loss 1.18)"),)
    assert unsaved(replace(CHOICE, saved=None)) == (("best so far, but not saved", "step 700 (eval loss 1.18)"),)
    assert (best(Choice(), "ft-1"), unsaved(Choice())) == ("", ())


@pytest.mark.parametrize(
    ("choice", "newest", "unplaced", "sentence"),
    [
        pytest.param(
            CHOICE, 800, 0,
            "Best saved checkpoint: step 600, eval loss 1.21; eval loss 1.18 at step 700 was not saved.",
            id="a better one was not saved",
        ),
        pytest.param(
            replace(CHOICE, unsaved=None), 800, 0, "Best saved checkpoint: step 600, eval loss 1.21.", id="it was"
        ),
        pytest.param(
            Choice(), 800, 0, "Newest saved checkpoint: step 800, of which no loss is known.", id="only the newest"
        ),
        pytest.param(Choice(), None, 1, "Checkpoints were saved, at steps that the log does not tell.", id="no step"),
        pytest.param(Choice(), None, 0, "No checkpoint had been saved.", id="none"),
    ],
)  # fmt: skip
def test_what_a_cancel_left(choice: Choice, newest: int | None, unplaced: int, sentence: str) -> None:
    assert kept(choice, newest, unplaced) == sentence


@pytest.mark.parametrize(
    ("step", "words"),
    [(None, ""), (0, ""), (1, "a cancel now would lose its one step"), (240, "a cancel now would lose all 240 steps")],
)
def test_what_a_cancel_loses(step: int | None, words: str) -> None:
    assert lost(step) == words
