"""From JSON bodies to observations. What one entry lacks never costs another entry: bad ones are counted and named."""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watcher.domain import holes
from watcher.domain.observations import Drift, EvalRow, Event, Row, Snapshot, Status, TrainRow
from watcher.providers.together import wire
from watcher.service.known import NONE_KNOWN, KnownRows
from watcher.service.records import Checkpoint, Identity, JobDetail, Listing, Metrics

EVENT_TYPES = frozenset(
    {
        "job_pending",
        "job_start",
        "model_downloading",
        "model_download_complete",
        "training_data_downloading",
        "training_data_download_complete",
        "validation_data_downloading",
        "validation_data_download_complete",
        "wandb_init",
        "tokenized_dataset_upload_complete",
        "training_start",
        "checkpoint_save",
        "epoch_complete",
        "eval_complete",
        "training_complete",
        "model_compressing",
        "model_compression_complete",
        "model_uploading",
        "model_upload_complete",
        "model_uploading_to_hf",
        "model_upload_to_hf_complete",
        "job_complete",
        "early_stopped",
        "refund",
        "billing_limit",
        "cancel_requested",
        "job_stopped",
        "job_restarted",
        "job_error",
        "job_user_error",
        "warning",
    }
)
METRIC_KEYS = frozenset(
    {
        "timestamp",
        "train/global_step",
        "train/epoch",
        "train/loss",
        "train/grad_norm",
        "train/learning_rate",
        "eval/loss",
    }
)
UNSPECIFIED = "unspecified"
_TRAIN_KEYS = METRIC_KEYS - {"eval/loss"}
_PLAIN_KEYS = {"train/global_step", "timestamp", "train/loss"}
_MEASURED = ("train/loss", "train/grad_norm", "train/learning_rate")
_MAX_DRIFT = 50  # an answer whose keys are all different must not make an alert of each
_MAX_WORD = 100
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Drifts:
    """Collects the unknown words of one answer, each once."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._found: dict[tuple[str, str, str], Drift] = {}

    def add(self, what: str, word: str, job_id: str) -> None:
        key = (what, word[:_MAX_WORD], job_id)
        if len(self._found) < _MAX_DRIFT:
            self._found.setdefault(key, Drift(at=self._at, what=what, word=word[:_MAX_WORD], job_id=job_id))

    def all(self) -> tuple[Drift, ...]:
        return tuple(self._found.values())


def identity(body: Mapping[str, object]) -> Identity:
    """Whose key it is. A key of the organization has no project."""
    project = wire.record(body.get("project"))
    organization = body.get("organization")
    return Identity(
        project_id=wire.text(project.get("id")),
        project_name=wire.text(project.get("name")) or wire.text(project.get("slug")),
        organization=_name(organization, "name") or _name(organization, "id"),
    )


def listing(items: Iterable[object], at: datetime) -> Listing:
    """The list of jobs. An entry without a usable id and status is bad; of two with one id the first counts."""
    jobs: dict[str, Snapshot] = {}
    bad_ids: list[str] = []
    drifts, bad = Drifts(at), 0
    for item in items:
        fields = wire.record(item)
        job_id = wire.job_id(fields.get("id"))
        found = None if job_id is None else snapshot(fields, job_id, at, drifts)
        if found is not None:
            jobs.setdefault(found.job_id, found)
            continue
        bad += 1
        if job_id is not None:
            bad_ids.append(job_id)
    return Listing(jobs=tuple(jobs.values()), drift=drifts.all(), bad=bad, bad_ids=tuple(bad_ids))


def detail(body: Mapping[str, object], job_id: str, at: datetime) -> JobDetail | None:
    """One whole job with its log; None when the body does not say the status of this very job."""
    named = wire.text(body.get("id"))
    drifts = Drifts(at)
    found = snapshot(body, job_id, at, drifts) if named in (None, job_id) else None
    if found is None:
        return None
    log, bad = events(wire.entries(body.get("events")), found, drifts)
    return JobDetail(snapshot=found, events=log, drift=drifts.all(), bad=bad)


def with_events(known: JobDetail, items: Iterable[object], at: datetime) -> JobDetail:
    """The same job with a log that was asked for on its own."""
    drifts = Drifts(at)
    log, bad = events(items, known.snapshot, drifts)
    return JobDetail(snapshot=known.snapshot, events=log, drift=known.drift + drifts.all(), bad=known.bad + bad)


def snapshot(fields: Mapping[str, object], job_id: str, at: datetime, drifts: Drifts) -> Snapshot | None:
    """A job of the list or a single one; None without a status.

    Zero means "not known yet" for prices, tokens, parameters and planned steps: the API sets them after tokenisation.
    """
    raw_status = wire.text(fields.get("status"))
    if raw_status is None:
        return None
    status = Status.named(raw_status)
    if status is Status.UNRECOGNISED:
        drifts.add("status", raw_status, job_id)
    said: dict[str, Any] = {"job_id": job_id, "at": at, "status": status, "raw_status": raw_status}
    for key, value in fields.items():
        if value is not None and (reader := _OF_JOB.get(key)) is not None:
            name, read = reader
            said[name] = read(value)
    return Snapshot(**said)


def _name(value: object, key: str) -> str | None:
    """A word that stands alone or inside an object."""
    return wire.text(value) or wire.text(wire.record(value).get(key))


def _estimate(progress: Mapping[str, object]) -> float | None:
    seconds = wire.finite(progress.get("seconds_remaining"))
    known = wire.flag(progress.get("estimate_available"))
    return seconds if known and seconds is not None and seconds > 0 else None


_OF_JOB: dict[str, tuple[str, Callable[[object], object]]] = {
    "created_at": ("created_at", wire.moment),
    "updated_at": ("updated_at", wire.moment),
    "started_at": ("started_at", wire.moment),
    "model": ("model", wire.text),
    "suffix": ("suffix", wire.text),
    "model_output_name": ("output_name", wire.text),
    "user_id": ("user_id", wire.text),
    "training_method": ("method", lambda value: _name(value, "method")),
    "training_type": ("training_type", lambda value: _name(value, "type")),
    "from_checkpoint": ("from_checkpoint", wire.text),
    "n_epochs": ("n_epochs", wire.count),
    "n_evals": ("n_evals", wire.count),
    "n_checkpoints": ("n_checkpoints", wire.count),
    "batch_size": ("batch_size", wire.positive),  # "max" is no number: not known
    "learning_rate": ("learning_rate", wire.finite),
    "warmup_ratio": ("warmup_ratio", wire.finite),
    "lr_scheduler": ("lr_scheduler", lambda value: _name(value, "lr_scheduler_type")),
    "max_grad_norm": ("max_grad_norm", wire.finite),
    "training_file": ("training_file", wire.text),
    "validation_file": ("validation_file", wire.text),
    "total_steps": ("total_steps", wire.positive),
    "eval_steps": ("eval_steps", wire.positive),
    "steps_completed": ("steps_completed", wire.count),
    "evals_completed": ("evals_completed", wire.count),
    "epochs_completed": ("epochs_completed", wire.count),
    "queue_depth": ("queue_depth", wire.count),
    "progress": ("eta_seconds", lambda value: _estimate(wire.record(value))),
    "token_count": ("token_count", wire.positive),
    "param_count": ("param_count", wire.positive),
    "total_price": ("total_price_nano", wire.positive),
    "early_stopped": ("early_stopped", wire.flag),
    "early_stopping_best_step": ("best_step", wire.count),
    "early_stopping_best_metric": ("best_metric", wire.finite),
    "wandb_url": ("wandb_url", wire.text),
}
"""Where a job's field goes, and what reads it. Only what an answer holds is looked at: a list is one entry a job."""


def events(items: Iterable[object], job: Snapshot, drifts: Drifts) -> tuple[tuple[Event, ...], int]:
    """A job's log, oldest first, and how many entries were not objects.

    An entry without a readable time takes that of the entry before it: a time of our own would differ at each look
    and make the same entry new every time.
    """
    log: list[Event] = []
    bad, before = 0, job.created_at or _LONG_AGO
    for item in items:
        if not isinstance(item, dict) or not item:
            bad += 1
            continue
        found = _event(item, before)
        before = found.at
        log.append(found)
        if not found.known and found.type != UNSPECIFIED:
            drifts.add("event", found.type, job.job_id)
    return tuple(sorted(log, key=lambda entry: entry.at)), bad


def _event(fields: Mapping[str, object], before: datetime) -> Event:
    """One entry. Old wire forms fill unused fields with 0 and "": both mean absent."""
    word = wire.event_type(fields.get("type")) or UNSPECIFIED
    best_step = wire.positive(fields.get("early_stopping_best_step"))
    best_metric = wire.finite(fields.get("early_stopping_best_metric_value"))
    return Event(
        type=word,
        at=wire.moment(fields.get("created_at")) or before,
        message=wire.text(fields.get("message")) or "",
        level=wire.level(fields.get("level")),
        step=wire.positive(fields.get("step")),
        total_steps=wire.positive(fields.get("total_steps")),
        token_count=wire.positive(fields.get("token_count")),
        checkpoint_path=wire.text(fields.get("checkpoint_path")),
        model_path=wire.text(fields.get("model_path")),
        best_step=best_step,
        best_metric=None if best_step is None else best_metric,  # a filler 0.0 is no metric
        known=word in EVENT_TYPES,
    )


def metrics(items: Sequence[object], job_id: str, at: datetime, known: KnownRows = NONE_KNOWN) -> Metrics:
    """Rows in the order of the answer. Keys beyond the published ones are named once each: they vary by method.

    Most train rows that are `known` are left out.
    """
    rows: list[Row] = []
    drifts, whole = Drifts(at), True
    for item in _unknown(items, known):
        if isinstance(item, TrainRow):
            rows.append(item)
            continue
        fields = wire.record(item)
        if not fields.keys() <= METRIC_KEYS:
            for key in sorted(fields.keys() - METRIC_KEYS):
                drifts.add("metric", key, job_id)
        row = metric_row(fields)
        if row is None:
            whole = False
        else:
            rows.append(row)
    torn = None if whole else holes.torn(metric_row(wire.record(item)) for item in items)
    repeated = len(items) - len(rows) - (torn.count if torn else 0)
    return Metrics(rows=tuple(rows), drift=drifts.all(), torn=torn, repeated=repeated)


def _unknown(items: Iterable[object], known: KnownRows) -> Iterator[object]:
    """Train rows with nothing unusual about their keys, step, time and loss, but for known ones; the rest as it came.

    Five rows in six of an answer to a poll are known, and making a row of each took four times as long as this.
    """
    plain: set[tuple[str, ...]] = set()  # the keys that train rows were seen to have, in their order
    usual, keys = list[Mapping[str, Any]](), array("q")  # in a row
    take, note, largest = usual.append, keys.append, wire.INT64_MAX
    for item in items:
        if type(item) is dict and (tuple(item) in plain or _is_plain(item, plain)):
            step, at_ns, loss = item["train/global_step"], item["timestamp"], item["train/loss"]
            whole = type(step) is type(at_ns) is int and type(loss) is float
            if whole and 0 <= step <= largest and 0 < at_ns <= largest:
                take(item)
                note(step)
                note(at_ns)
                continue
        if usual:
            yield from map(_train_row, usual[known.leading(keys) :])
            usual.clear()
            del keys[:]
        yield item
    yield from map(_train_row, usual[known.leading(keys) :])


def _is_plain(item: dict[str, Any], plain: set[tuple[str, ...]]) -> bool:
    """Whether these are the keys of a train row; they are then among the `plain` ones."""
    found = _PLAIN_KEYS <= item.keys() <= _TRAIN_KEYS
    if found:
        plain.add(tuple(item))
    return found


def _train_row(item: Mapping[str, Any]) -> TrainRow:
    """A train row whose step, time and loss are numbers as they should be."""
    number = wire.number
    norm, rate = number(item.get("train/grad_norm")), number(item.get("train/learning_rate"))
    return TrainRow(item["train/global_step"], item["timestamp"], number(item["train/loss"]), norm, rate)


def metric_row(fields: Mapping[str, object]) -> Row | None:
    """A train or an eval row; None without a step, or where the loss is there and no number.

    A loss that is left out or null says that there is none, which rules judge; one that can't be read says nothing.
    """
    number, get = wire.number, fields.get
    step = wire.count(get("train/global_step"))
    if step is None:
        return None
    at_ns = wire.nanoseconds(get("timestamp"))
    evaluates = _is_eval(fields)
    written = get("eval/loss" if evaluates else "train/loss")
    loss = number(written)
    if loss is None and written is not None:
        return None
    if evaluates:
        return EvalRow(step, at_ns, loss)
    return TrainRow(step, at_ns, loss, number(get("train/grad_norm")), number(get("train/learning_rate")))


def _is_eval(fields: Mapping[str, object]) -> bool:
    """Any key under `eval/` marks an eval row; step and epoch stand under `train/` in both kinds.

    Unless all of them are null beside a measured train value: then they are fillers of a train row.
    """
    if fields.keys() <= _TRAIN_KEYS:
        return False
    evals = [value for key, value in fields.items() if key.startswith("eval/")]
    if not evals:
        return False
    measured = any(fields.get(key) is not None for key in _MEASURED)
    return any(value is not None for value in evals) or not measured


def checkpoints(items: Iterable[object], job_id: str) -> tuple[Checkpoint, ...]:
    """Saved checkpoints, newest first: by step, a final one before an intermediate of its step, then by time.

    An intermediate one without a step is left out: nothing can refer to it, and the bare job id means the final one.
    """
    found = (_checkpoint(fields, job_id) for fields in map(wire.record, items) if fields)
    usable = (checkpoint for checkpoint in found if checkpoint.final or checkpoint.step is not None)
    return tuple(sorted(usable, key=_age, reverse=True))


def _checkpoint(fields: Mapping[str, object], job_id: str) -> Checkpoint:
    kind = wire.text(fields.get("checkpoint_type")) or ""
    step = wire.count(fields.get("step"))
    final = "intermediate" not in kind.lower()  # the label is for display, and this word in it all there is
    return Checkpoint(
        step=step,
        type=kind,
        created_at=wire.moment(fields.get("created_at")),
        path=wire.text(fields.get("path")) or "",
        reference=job_id if final else f"{job_id}:{step}",
        final=final,
    )


def _age(checkpoint: Checkpoint) -> tuple[float, bool, datetime]:
    step = math.inf if checkpoint.step is None else checkpoint.step
    return (step, checkpoint.final, checkpoint.created_at or _LONG_AGO)
