"""Recorded runs from files: JSON lines of runs, a Together metrics dump, or a Hugging Face `trainer_state.json`."""

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from watcher.domain.observations import EvalRow, TrainRow
from watcher.domain.replay import Recording, merge
from watcher.service.errors import ConfigError

_SPECIAL = {"NaN", "Infinity", "-Infinity", "inf", "-inf", "nan"}
_EARLIEST_NS = 10**18
"""Timestamps are Unix nanoseconds: a lower one is from before September 2001, and no time but a number."""
_BAD_ROW = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


def read_recordings(path: Path) -> Iterator[Recording]:
    """The runs of one file, in order.

    Raises:
        ConfigError: the file can't be read; the message names file and line.
    """
    text = _text(path)
    whole = _whole(path, text) if not path.name.removesuffix(".gz").endswith(".jsonl") else None
    if whole is not None and "metrics" in whole:
        yield _from_metrics(path, whole)
    elif whole is not None and "log_history" in whole:
        yield _from_trainer_state(path, whole)
    else:
        yield from _from_lines(path, [text] if whole is not None else text.split("\n"))


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"not readable text ({error})"
        raise ConfigError(f"{path}: {reason}; expected a recorded run (.jsonl, .jsonl.gz or .json)") from error


def _whole(path: Path, text: str) -> dict[str, Any] | None:
    """The file as one JSON object; None where it is lines of JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and not _is_json(text.lstrip().partition("\n")[0]):
            raise ConfigError(f"{path}:{error.lineno}: {_why(error)}; expected a recorded run") from error
        return None
    return value if isinstance(value, dict) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _from_lines(path: Path, lines: Iterable[str]) -> Iterator[Recording]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            recording = _from_line(str(path), json.loads(line))
        except _BAD_ROW as error:
            raise ConfigError(
                f"{path}:{number}: {_why(error)}; expected one JSON object a line with "
                '"train": [[step, loss, grad_norm, lr], …] and "eval": [[step, loss], …]'
            ) from error
        yield recording


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg} at column {error.colno})"
    return str(error) or type(error).__name__


def _from_line(where: str, value: Any) -> Recording:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    config = value.get("config") or {}
    train = [_train(i, *row) for i, row in enumerate(value.get("train") or [], 1)]
    evals = [_eval(i, *row) for i, row in enumerate(value.get("eval") or [], 1)]
    return Recording(
        id=str(value.get("id") or where),
        rows=merge(train, evals),
        total_steps=_count(config.get("total_steps")),
        method=config.get("method") if isinstance(config.get("method"), str) else None,
        n_evals=_count(config.get("n_evals")),
    )


def _train(order: int, step: Any, loss: Any = None, norm: Any = None, lr: Any = None, *_: Any) -> TrainRow:  # noqa: ANN401
    return TrainRow(_step(step), order, _number(loss), _number(norm), _number(lr))


def _eval(order: int, step: Any, loss: Any = None, *_: Any) -> EvalRow:  # noqa: ANN401
    return EvalRow(_step(step), order, _number(loss))


def _step(value: Any) -> int:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"step {value!r} is not a number")
    # Some logs count in epochs or hours: rules only compare and subtract steps, so such a step is kept as it is.
    return cast("int", value) if value != int(value) else int(value)


def _number(value: Any) -> float | None:  # noqa: ANN401
    if value is None:
        return None
    if isinstance(value, str) and value not in _SPECIAL:
        raise TypeError(f"{value!r} is not a number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _count(value: Any) -> int | None:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value < math.inf else None


def _numbered(path: Path, value: dict[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    rows = value[key] or []
    if not isinstance(rows, list):
        raise ConfigError(f"{path}: {key} is not a list")
    return enumerate(rows, 1)


def _from_metrics(path: Path, value: dict[str, Any]) -> Recording:
    """A dump of Together's metrics answer: flat rows, an `eval/` key makes an eval row, `timestamp` orders them."""
    train, evals, timed = list[TrainRow](), list[EvalRow](), True
    for number, row in _numbered(path, value, "metrics"):
        if not isinstance(row, dict) or "train/global_step" not in row:
            raise ConfigError(f"{path}: row {number} of metrics has no train/global_step")
        try:
            step, at = _step(row["train/global_step"]), int(row.get("timestamp") or number)
            timed = timed and at >= _EARLIEST_NS
            if any(key.startswith("eval/") for key in row):
                evals.append(EvalRow(step, at, _number(row.get("eval/loss"))))
            else:
                norm, lr = row.get("train/grad_norm"), row.get("train/learning_rate")
                train.append(TrainRow(step, at, _number(row.get("train/loss")), _number(norm), _number(lr)))
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{path}: row {number} of metrics: {error}") from error
    return Recording(
        id=str(value.get("id") or path),
        rows=merge(train, evals),
        total_steps=_count(value.get("total_steps")),
        n_evals=_count(value.get("n_evals")),
        timed=timed,
    )


def _from_trainer_state(path: Path, value: dict[str, Any]) -> Recording:
    """A Hugging Face trainer state: `log_history` holds train rows (`loss`), eval rows (`eval_loss`) and a summary.

    Its own filter of non-finite values logs a broken step as loss 0.0 with a NaN gradient norm; rows are taken as they
    stand, since the rules know that form.
    """
    train, evals = list[TrainRow](), list[EvalRow]()
    for number, row in _numbered(path, value, "log_history"):
        if not isinstance(row, dict) or "step" not in row:
            raise ConfigError(f"{path}: entry {number} of log_history has no step")
        try:
            if "loss" in row:
                train.append(_train(number, row["step"], row["loss"], row.get("grad_norm"), row.get("learning_rate")))
            if "eval_loss" in row:
                evals.append(_eval(number, row["step"], row["eval_loss"]))
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{path}: entry {number} of log_history: {error}") from error
    return Recording(id=str(path), rows=merge(train, evals), total_steps=_count(value.get("max_steps")))
