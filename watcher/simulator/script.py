"""The whole life of a job, written before it starts: statuses, events, rows and checkpoints, each with its time.

Times are nanoseconds since the job was born. A request only looks up how far the script has come.
"""

from dataclasses import dataclass, field
from typing import Any

from watcher.simulator.early_stopping import Halt
from watcher.simulator.fates import FateKind
from watcher.simulator.rows import SECOND, RowTable
from watcher.simulator.runs import Run

DEFAULT_CHECKPOINTS = 4

INFO, WARNING, ERROR = "legacy_info", "legacy_iwarning", "legacy_ierror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The pace of the simulation: training in steps a second, all that surrounds it in seconds of real time."""

    speed: float = 10.0
    stage_seconds: float = 0.5
    cancel_seconds: float = 1.0

    @property
    def stage_ns(self) -> int:
        return int(self.stage_seconds * SECOND)

    @property
    def cancel_ns(self) -> int:
        return int(self.cancel_seconds * SECOND)


@dataclass(frozen=True, slots=True)
class ScriptedEvent:
    """An entry of the job's log; in the message `{at}` stands for its time, `{successor}` for the id of the new job."""

    ns: int
    type: str
    message: str
    level: str = "info"
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Script:
    """What happens to a job that nobody interferes with. Phases and events are in order of time."""

    run: Run
    rows: RowTable
    row_limit: int
    training_ns: int
    phases: list[tuple[int, str]]
    events: list[ScriptedEvent]
    checkpoints: list[tuple[int, int]] = field(default_factory=list)
    halt: Halt | None = None
    tokenised_ns: int | None = None
    named_ns: int | None = None
    end_ns: int | None = None
    successor_ns: int | None = None
    deleted_ns: int | None = None

    def say(self, ns: int, type_: str, message: str, level: str = "info", fields: dict[str, Any] | None = None) -> None:
        """Add an entry to the log."""
        self.events.append(ScriptedEvent(ns, type_, message, level, fields or {}))

    def end(self, ns: int, status: str) -> None:
        """Enter the status that is the last one."""
        self.phases.append((ns, status))
        self.end_ns = ns

    @property
    def queued_ns(self) -> int:
        """How long it is queued."""
        running = next((ns for ns, status in self.phases if status == "running"), 0)
        return running - next(ns for ns, status in self.phases if status == "queued")

    @property
    def rows_end_ns(self) -> int:
        """When the last row comes out; the start of training when there is none."""
        return self.rows.visible[self.row_limit - 1] if self.row_limit else self.training_ns

    @property
    def last_step(self) -> int:
        """The step of the last row that comes out; 0 when there is none."""
        return self.rows.steps[self.row_limit - 1] if self.row_limit else 0


def write_script(run: Run, timing: Timing) -> Script:
    """The life that a run leads at a given pace."""
    stage = timing.stage_ns
    start = 2 * stage + int(run.fate.queue_seconds * SECOND)
    rows = RowTable(run, speed=timing.speed, start_ns=start + stage, n_epochs=run.fields.get("n_epochs"))
    script = Script(
        run=run,
        rows=rows,
        row_limit=len(rows),
        training_ns=start + stage,
        phases=[(0, "pending"), (stage, "queued"), (start, "running")],
        events=[],
    )
    # The first entry of the old wire form has an empty level.
    script.say(0, "JOB_PENDING", "Fine tune request created", "")
    script.say(start, "JOB_START", "Job started at {at}")
    script.say(start + stage // 4, "MODEL_DOWNLOAD_COMPLETE", "Model data downloaded at {at}")
    if run.fate.kind is FateKind.USER_ERROR:
        _user_error(script, stage)
    else:
        _training(script, stage)
        _ENDINGS[run.fate.kind](script, stage)
    script.events.sort(key=lambda event: event.ns)
    return script


def _user_error(script: Script, stage: int) -> None:
    script.row_limit = 0
    message = script.run.fate.message or "The training file could not be parsed"
    ns = script.training_ns - stage // 4
    script.say(ns, "JOB_USER_ERROR", message, ERROR)
    script.end(ns, "user_error")


def _training(script: Script, stage: int) -> None:
    run, fate = script.run, script.run.fate
    script.tokenised_ns = script.training_ns - stage // 2
    tokens = token_count(run)
    script.say(
        script.tokenised_ns, "TRAINING_DATA_DOWNLOAD_COMPLETE", "Data downloaded at {at}", INFO, {"token_count": tokens}
    )
    plan = {} if run.total_steps is None else {"total_steps": run.total_steps}
    script.say(script.training_ns, "TRAINING_START", "Training started", "info", plan)
    if fate.at_step is not None:
        script.row_limit = script.rows.count_up_to_step(fate.at_step)
    if fate.kind is FateKind.EARLY_STOP:
        _halt(script)
    if fate.warning and script.row_limit:
        script.say(script.rows.visible[script.row_limit // 2], "WARNING", fate.warning, WARNING)
    _milestones(script)


def _halt(script: Script) -> None:
    """Cut the rows at the evaluation that halts the run, if there is one."""
    evals = [i for i, is_eval in enumerate(script.rows.is_eval) if is_eval]
    losses = [(point.step, point.loss) for point in script.run.evals]
    script.halt = script.run.fate.early_stopping.halt(losses)
    if script.halt is not None:
        script.row_limit = evals[script.halt.evals - 1] + 1


def _milestones(script: Script) -> None:
    """Epochs and checkpoints, evenly spaced over the plan; over what was logged when the plan is not known."""
    run = script.run
    for step, ns in _even_steps(script, run.fields.get("n_epochs", 0) if run.total_steps else 0):
        script.say(ns, "EPOCH_COMPLETE", f"Epoch completed, at step {step}", "info", {"step": step})
    for step, ns in _even_steps(script, run.fields.get("n_checkpoints", DEFAULT_CHECKPOINTS)):
        script.checkpoints.append((ns, step))
        saved = {"step": step, "checkpoint_path": f"s3://simulated/{run.id}/step-{step}"}
        script.say(ns, "CHECKPOINT_SAVE", f"Checkpoint saved at step {step}", INFO, saved)


def _even_steps(script: Script, parts: int) -> list[tuple[int, int]]:
    """The steps that divide the plan into `parts`, with the moment at which the rows that come out reach them."""
    total = script.run.total_steps or script.run.last_step
    steps = [int(total * k // parts) for k in range(1, parts + 1)] if parts else []
    reached = [(step, script.rows.first_reaching(step)) for step in dict.fromkeys(steps) if step > 0]
    return [(step, script.rows.visible[i]) for step, i in reached if i is not None and i < script.row_limit]


def _complete(script: Script, stage: int) -> None:
    """Training is over: the model is uploaded and packed, in the order that old logs show, then the job completes."""
    end = script.rows_end_ns
    if script.halt is not None:
        _announce_halt(script, script.halt, stage)
    script.say(end + stage // 4, "TRAINING_COMPLETE", "Training completed at {at}")
    script.phases += [(end + stage // 2, "uploading"), (end + stage, "compressing")]
    script.say(end + stage // 2, "MODEL_UPLOADING", "Uploading output model")
    script.say(end + stage, "COMPRESSING_MODEL", "Compressing output model", INFO)
    script.say(end + 3 * stage // 2, "MODEL_COMPRESSION_COMPLETE", "Model compression complete")
    script.say(end + 7 * stage // 4, "MODEL_UPLOAD_COMPLETE", "Model upload complete")
    done = end + 2 * stage
    script.say(
        done, "JOB_COMPLETE", "Job finished at {at}", "info", {"model_path": f"s3://simulated/{script.run.id}/final"}
    )
    script.end(done, "completed")
    script.named_ns = done + int(script.run.fate.name_delay * SECOND)


def _announce_halt(script: Script, halt: Halt, stage: int) -> None:
    end = script.rows_end_ns
    message = f"Early stopping at step {halt.step}, best step {halt.best_step}"
    best = {"early_stopping_best_step": halt.best_step, "early_stopping_best_metric_value": halt.best_metric}
    script.say(end, "EARLY_STOPPED", message, "info", {"step": halt.step, **best})
    if script.run.total_steps is not None:
        unused = script.run.total_steps - halt.step
        script.say(end + 3 * stage // 8, "REFUND", f"Refund for {unused} unused steps")


def _billing(script: Script, stage: int) -> None:
    end = script.rows_end_ns
    script.say(end, "BILLING_LIMIT", script.run.fate.message or "Balance check failed", ERROR)
    script.say(end + stage // 2, "JOB_STOPPED", "Job stopped")
    script.end(end + stage // 2, "cancelled")


def _restart(script: Script, stage: int) -> None:
    end = script.rows_end_ns
    script.say(end + stage // 2, "JOB_ERROR", script.run.fate.message or "Internal error", ERROR)
    script.say(end + stage // 2 + 1, "JOB_RESTARTED", "Job restarted as {successor}")
    script.say(end + stage, "REFUND", "Refund issued")
    script.end(end + stage // 2, "error")
    script.successor_ns = end + stage // 2


def _stall(script: Script, stage: int) -> None:
    """Nothing more: no row, no event, and the status stays as it is."""


def _deleted(script: Script, stage: int) -> None:
    """No more is to be seen of it: the job and all its files are gone."""
    script.deleted_ns = script.rows_end_ns + stage


_ENDINGS = {
    FateKind.COMPLETE: _complete,
    FateKind.EARLY_STOP: _complete,
    FateKind.BILLING: _billing,
    FateKind.RESTART: _restart,
    FateKind.STALL: _stall,
    FateKind.DELETED: _deleted,
}


def token_count(run: Run) -> int:
    """Training tokens that the service would count: made up, in proportion to the plan where there is one."""
    return 200_000 * (run.total_steps or 20)


def planned_running_seconds(script: Script, timing: Timing) -> float | None:
    """How long the stage `running` takes by the plan, downloads included; None when the plan is not known."""
    total = script.run.total_steps
    return None if total is None else timing.stage_seconds + total / timing.speed
