"""Observations as rows of one narrow table: numbers in columns for train and eval rows, JSON for all else.

SQLite stores NaN as NULL, which here means "the API gave nothing". So a number that is not finite goes to `flags`, two
bits for each of loss, grad_norm and lr, and its column stays NULL.
"""

import math
from collections.abc import Sequence
from typing import Any

from watcher.domain.observations import (
    Drift,
    EvalRow,
    Event,
    Fault,
    Gone,
    Observation,
    Snapshot,
    SweepOutcome,
    TrainRow,
    Unreadable,
)
from watcher.service.errors import StoreError
from watcher.store.values import pack, unpack

TRAIN = "train"
EVAL = "eval"
LOGGED = ("snapshot", "event")
"""What is seen of a job beside its rows."""
_KINDS: dict[str, type[Observation]] = {
    "snapshot": Snapshot,
    "event": Event,
    "gone": Gone,
    "unreadable": Unreadable,
    "sweep": SweepOutcome,
    "drift": Drift,
    "fault": Fault,
}
_NAMES = {cls: name for name, cls in _KINDS.items()}
_SPECIAL = (None, math.nan, math.inf, -math.inf)
_NAN, _PLUS, _MINUS = 1, 2, 3


def _split(value: float | None) -> tuple[float | None, int]:
    """What goes into the column, and the two bits."""
    if value is None or math.isfinite(value):
        return value, 0
    if math.isnan(value):
        return None, _NAN
    return None, _PLUS if value > 0 else _MINUS


def to_row(job: int, seq: int, observation: Observation) -> tuple[Any, ...]:
    """One observation, in the order of the table's columns after the number that the database gives."""
    kind, step, at_ns, payload = TRAIN, None, None, None
    loss = norm = lr = None
    flags = 0
    if isinstance(observation, TrainRow):
        step, at_ns = observation.step, observation.at_ns
        loss, norm, lr = observation.loss, observation.grad_norm, observation.lr
        # One look at their sum, ten times a poll: where it is not finite, one of them may not be either.
        if loss is None or norm is None or lr is None or not math.isfinite(loss + norm + lr):
            (loss, flags), (norm, norm_flag), (lr, lr_flag) = _split(loss), _split(norm), _split(lr)
            flags |= norm_flag << 2 | lr_flag << 4
    elif isinstance(observation, EvalRow):
        kind, step, at_ns = EVAL, observation.step, observation.at_ns
        loss, flags = _split(observation.loss)
    else:
        kind, payload = _NAMES[type(observation)], pack(observation)
    return job, seq, kind, step, at_ns, loss, norm, lr, flags, False, payload


def _join(value: float | None, flag: int) -> float | None:
    return _SPECIAL[flag] if flag else value


def from_row(row: Sequence[Any]) -> tuple[int, Observation]:
    """The observation and its number, of (seq, kind, step, at_ns, loss, grad_norm, lr, flags, payload).

    Raises:
        StoreError: the row holds what this version can't read.
    """
    seq, kind, step, at_ns, loss, norm, lr, flags, payload = row
    if kind == TRAIN:
        if flags:
            loss, norm, lr = _join(loss, flags & 3), _join(norm, flags >> 2 & 3), _join(lr, flags >> 4)
        return seq, TrainRow(step, at_ns, loss, norm, lr)
    if kind == EVAL:
        return seq, EvalRow(step, at_ns, _join(loss, flags))
    if kind not in _KINDS:
        raise StoreError(f"a stored observation is of the unknown kind {kind}")
    return seq, unpack(_KINDS[kind], payload)
