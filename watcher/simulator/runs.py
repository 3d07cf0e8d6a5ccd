"""Recorded training runs: what a line of a curves file holds, and how it is read."""

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watcher.simulator.fates import Fate, fate_from

PACKAGED = Path(__file__).parent / "curves" / "scenarios.jsonl.gz"

_GZIP = b"\x1f\x8b"
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TRAIN_COLUMNS = 4
_EVAL_COLUMNS = 2


class RunFileError(ValueError):
    """A curves file that cannot be read; the text starts with `file:line:`, or `file:` when no line can be told."""


@dataclass(frozen=True, slots=True)
class TrainPoint:
    """One logged training step: loss in nats, gradient norm, absolute learning rate; None where it was not logged."""

    step: int
    loss: float | None
    grad_norm: float | None
    lr: float | None


@dataclass(frozen=True, slots=True)
class EvalPoint:
    """One evaluation: loss in nats, or None."""

    step: int
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One recorded run. What its file does not say is None, and stays out of the answers.

    `project` is whose jobs follow it (see `projects.py`). `fields` are the job's own words of the API (model,
    learning_rate, …), shown as they stand. They come from the key `job`, which only the packaged runs have: replay
    reads no more than `total_steps`, `method` and `n_evals`, and a job that says more than a replay knows could be
    judged otherwise.
    """

    id: str
    train: list[TrainPoint]
    evals: list[EvalPoint]
    total_steps: int | None = None
    method: str | None = None
    n_evals: int | None = None
    project: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    fate: Fate = field(default_factory=Fate)

    @property
    def last_step(self) -> int:
        """The highest step that was logged; 0 when nothing was."""
        points: list[TrainPoint | EvalPoint] = [*self.train, *self.evals]
        return max((point.step for point in points), default=0)


def read_runs(path: Path) -> list[Run]:
    """Every run of a `.jsonl` or `.jsonl.gz` file, in its order.

    Raises:
        RunFileError: the file or one of its lines is not what it should be.
    """
    runs: dict[str, Run] = {}
    for number, line in _lines(path):
        try:
            run = _run(json.loads(line), f"{path}:{number}")
            if run.id in runs:
                raise RunFileError(f"there was a run with id {run.id!r} before")
        except ValueError as exc:
            raise RunFileError(f"{path}:{number}: {_reason(exc)}") from exc
        runs[run.id] = run
    return list(runs.values())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(_GZIP) else raw).decode()
    except (EOFError, UnicodeDecodeError, zlib.error, gzip.BadGzipFile) as exc:
        raise RunFileError(f"{path}: {exc}") from exc
    except OSError as exc:
        raise RunFileError(f"{path}: {exc.strerror or exc}") from exc
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _reason(exc: ValueError) -> str:
    return f"not JSON: {exc.msg} at column {exc.colno}" if isinstance(exc, json.JSONDecodeError) else str(exc)


def _run(raw: object, default_id: str) -> Run:
    if not isinstance(raw, dict):
        raise RunFileError(f"a run is an object, this is {_kind(raw)}")
    config = _mapping(raw, "config")
    return Run(
        id=str(raw.get("id") or default_id),
        train=[TrainPoint(*row) for row in _table(raw, "train", _TRAIN_COLUMNS)],
        evals=[EvalPoint(*row) for row in _table(raw, "eval", _EVAL_COLUMNS)],
        total_steps=_count(config, "total_steps"),
        method=None if config.get("method") is None else str(config["method"]),
        n_evals=_count(config, "n_evals"),
        project=str(raw.get("project") or ""),
        fields=_mapping(raw, "job"),
        fate=fate_from(_mapping(raw, "fate")),
    )


def _mapping(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RunFileError(f"{key} is an object, this is {_kind(value)}")
    return value


def _count(config: dict[str, Any], key: str) -> int | None:
    """A number of the plan; 0 says nothing, as in replay."""
    value = config.get(key)
    if value is None:
        return None
    if not _whole(value) or value < 0:
        raise RunFileError(f"config.{key} is a whole number, not {value!r}")
    return int(value) or None


def _whole(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value % 1 == 0


def _table(raw: dict[str, Any], key: str, columns: int) -> list[list[Any]]:
    rows = raw.get(key) or []
    if not isinstance(rows, list):
        raise RunFileError(f"{key} is a list of rows, this is {_kind(rows)}")
    return [_row(row, f"{key}[{index}]", columns) for index, row in enumerate(rows)]


def _row(row: object, where: str, columns: int) -> list[Any]:
    """The columns that count: those that are missing are None, further ones are left out."""
    if not isinstance(row, list) or not row:
        raise RunFileError(f"{where} is a list of {columns} values, this is {json.dumps(row)[:60]}")
    if not _whole(row[0]):
        raise RunFileError(f"{where} starts with its step, a whole number, not {row[0]!r}")
    values = [_number(value, where) for value in row[1:columns]]
    return [int(row[0]), *values, *[None] * (columns - 1 - len(values))]


def _number(value: object, where: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    raise RunFileError(f"{where} holds {value!r}; a number, null, or one of {', '.join(_NON_FINITE)} was expected")


def _kind(value: object) -> str:
    return {list: "a list", str: "a string", type(None): "null"}.get(type(value), f"{value!r}")
