"""The JSON of the API: what each answer says of a job. Times are ISO-8601 with `Z`, prices nano-dollars."""

from datetime import UTC, datetime, timedelta
from typing import Any

from watcher.simulator.job import Job, Moment
from watcher.simulator.runs import Run
from watcher.simulator.script import DEFAULT_CHECKPOINTS, ScriptedEvent, planned_running_seconds, token_count

DEFAULT_MODEL = "simulated/byte-level-gpt"
USER = "user_simulated"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = 1000  # in microseconds
_NANO_DOLLARS_PER_TOKEN = 480
_MINIMUM_PRICE = 4_000_000_000

_LIST_ONLY = frozenset({"suffix", "packing", "max_seq_length", "random_seed"})
_RETRIEVE_ONLY = frozenset({"eval_steps", "trainingfile_numlines", "trainingfile_size"})

# The old wire form fills what an event does not use with zeros and empty texts instead of leaving it out.
_UNUSED = {
    "param_count": 0,
    "token_count": 0,
    "total_steps": 0,
    "wandb_url": "",
    "step": 0,
    "checkpoint_path": "",
    "model_path": "",
    "training_offset": 0,
}
_HASH = "-2305843009213693952"


def iso(unix_ns: int) -> str:
    """A time as the API writes it: with a fraction, except on a whole second."""
    moment = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    whole = moment.microsecond < _MILLISECOND
    return moment.isoformat(timespec="seconds" if whole else "milliseconds").replace("+00:00", "Z")


def truncated(job: Job, now_ns: int) -> dict[str, Any]:
    """The short form, in the list and in the answers to cancel and create: no log, no step counts."""
    fields = {key: value for key, value in job.fields.items() if key not in _RETRIEVE_ONLY}
    return _common(job, job.at(now_ns)) | {"suffix": job.suffix, "events": []} | fields


def full(job: Job, now_ns: int) -> dict[str, Any]:
    """The answer to retrieve."""
    moment = job.at(now_ns)
    script, rows = job.script, job.script.rows
    counts: dict[str, Any] = {
        "job_id": job.id,
        "steps_completed": rows.steps[moment.rows - 1] if moment.rows else 0,
        "evals_completed": rows.evals(moment.rows),
        "epochs_completed": sum(event.type == "EPOCH_COMPLETE" for event in moment.events),
        "queue_depth": _queue_depth(job, moment),
        "train_on_inputs": "auto",
        "wandb_url": "",
        "events": events(job, moment),
    }
    if script.run.total_steps is not None and _tokenised(job, moment):
        counts["total_steps"] = script.run.total_steps
    fields = {key: value for key, value in job.fields.items() if key not in _LIST_ONLY}
    return _common(job, moment) | counts | fields


def request_fields(run: Run) -> dict[str, Any]:
    """What a job repeats of the request that made it, as far as the run tells; `fields` has the last word."""
    said: dict[str, Any] = {
        "model": DEFAULT_MODEL,
        "training_file": f"file-{run.id}",
        "validation_file": f"file-{run.id}-validation" if run.evals or run.n_evals else "",
        "n_checkpoints": DEFAULT_CHECKPOINTS,
        "batch_size": "max",
        "wandb_project_name": "",
        "from_checkpoint": "",
    }
    if run.n_evals is not None:
        said["n_evals"] = run.n_evals
    if run.method is not None:
        said["training_method"] = {"method": run.method}
    return said | run.fields


def _common(job: Job, moment: Moment) -> dict[str, Any]:
    script = job.script
    tokens = token_count(script.run) if _tokenised(job, moment) else None
    halt = script.halt if moment.rows >= script.row_limit else None
    return {
        "id": job.id,
        "status": moment.status,
        "user_id": USER,
        "created_at": iso(job.born_ns),
        "updated_at": iso(job.born_ns + _last_change(job, moment)),
        # The start of the present stage, not of the job.
        "started_at": None if moment.status == "pending" else iso(job.born_ns + moment.since_ns),
        "progress": _progress(job, moment),
        "token_count": tokens,
        "total_price": None if tokens is None else max(_MINIMUM_PRICE, tokens * _NANO_DOLLARS_PER_TOKEN),
        "early_stopped": halt is not None,
        "early_stopping_best_step": halt and halt.best_step,
        "early_stopping_best_metric": halt and halt.best_metric,
        "model_output_name": _output_name(job, moment),
    }


def _tokenised(job: Job, moment: Moment) -> bool:
    """Whether the data was counted: before that neither the plan nor the price is known."""
    counted = job.script.tokenised_ns
    return counted is not None and moment.horizon_ns >= counted


def _last_change(job: Job, moment: Moment) -> int:
    last_row = job.script.rows.visible[moment.rows - 1] if moment.rows else 0
    return max(moment.changed_ns, last_row)


def _output_name(job: Job, moment: Moment) -> str | None:
    named = job.script.named_ns
    if moment.status != "completed" or named is None or moment.horizon_ns < named:
        return None
    return output_name(job)


def output_name(job: Job) -> str:
    """What the finished model is called."""
    base = str(job.fields["model"]).rsplit("/", maxsplit=1)[-1]
    return f"simulated/{base}-{job.suffix}-{job.id[3:11]}"


def _progress(job: Job, moment: Moment) -> dict[str, Any]:
    """The estimate for the present stage, as a total counted from `started_at`; only training has one, by its plan."""
    seconds = planned_running_seconds(job.script, job.timing)
    training = moment.status == "running" and moment.horizon_ns >= job.script.training_ns
    if not training or seconds is None:
        return {"estimate_available": False, "seconds_remaining": 0}
    return {"estimate_available": True, "seconds_remaining": round(seconds, 3)}


def _queue_depth(job: Job, moment: Moment) -> int:
    """The place in the queue: counts down from three while queued."""
    if moment.status != "queued":
        return 0
    waited = (moment.horizon_ns - moment.since_ns) / max(1, job.script.queued_ns)
    return max(1, 3 - int(3 * waited))


def events(job: Job, moment: Moment) -> list[dict[str, Any]]:
    """The log as the wire has it: upper case, zero-filled."""
    return [_event(job, event) for event in moment.events]


def _event(job: Job, event: ScriptedEvent) -> dict[str, Any]:
    at = iso(job.born_ns + event.ns)
    unused = dict(_UNUSED)
    if job.script.run.total_steps is None:
        del unused["total_steps"]
    return {
        "object": "fine-tune-event",
        "created_at": at,
        "level": event.level,
        "message": event.message.replace("{at}", at).replace("{successor}", job.successor_id),
        "type": event.type,
        **unused,
        "hash": _HASH if event.level else "",
        **event.fields,
    }


def checkpoints(job: Job, now_ns: int) -> list[dict[str, Any]]:
    """What can be downloaded by now: the saved steps and, once completed, what was shipped."""
    moment = job.at(now_ns)
    completed = moment.status == "completed"
    shipped = shipped_step(job) if completed else None
    saved = [
        {
            "step": step,
            "created_at": iso(job.born_ns + ns),
            "path": f"s3://simulated/{job.script.run.id}/step-{step}",
            "checkpoint_type": f"Intermediate (step {step})",
        }
        for ns, step in job.script.checkpoints
        if any(event.ns == ns and event.type == "CHECKPOINT_SAVE" for event in moment.events) and step != shipped
    ]
    return [*saved, *(_final(job, moment, shipped) if shipped is not None else [])]


def shipped_step(job: Job) -> int:
    """The step of the model that a completed job ships: the best one after an early stop, else the last."""
    return job.script.halt.best_step if job.script.halt else job.script.last_step


def _final(job: Job, moment: Moment, step: int) -> list[dict[str, Any]]:
    kind = job.fields.get("training_type", {}).get("type")
    labels = {"Final Merged": "model", "Final Adapter": "adapter"} if kind == "Lora" else {"Final": "model"}
    return [
        {
            "step": step,
            "created_at": iso(job.born_ns + moment.since_ns),
            "path": f"s3://simulated/{job.script.run.id}/final-{selector}",
            "checkpoint_type": label,
            "checkpoint": selector,
            "object_name": output_name(job),
        }
        for label, selector in labels.items()
    ]


def error(message: str, type_: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    """The documented body of a refusal."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}
