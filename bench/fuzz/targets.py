"""What is fuzzed: each target takes any bytes, and may neither crash, hang, nor take memory without bound.

An error that is part of the contract is an answer: a body that is no JSON, a configuration that is refused in words, a
recording that can't be read. Anything else that is raised is a finding.
"""

import contextlib
import json
import math
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from watcher.cli.recordings import read_recordings
from watcher.domain.observations import Observation
from watcher.providers.together import mapping, wire
from watcher.providers.together.bodies import decoded
from watcher.service.errors import ConfigError, ProviderError
from watcher.settings import load_settings
from watcher.store.series import to_row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLANTED = "planted-canary-7b19f3c2-key"
"""Has in it what the tests look for in all they print (`tests/leaks.py`)."""
ROOT = Path(__file__).parents[2]
_INT64 = 2**63
_OK = httpx.Response(200, headers={"content-type": "application/json"})
_FILE = Path(tempfile.mkdtemp())


def wire_reader(data: bytes) -> None:
    """An answer of the API, read as every call reads it; all that comes out must fit the database."""
    try:
        body = decoded("fuzz", _OK, bytearray(data), effect=False)
    except ProviderError:
        return
    items = [*wire.entries(body.get("data")), *wire.entries(body.get("metrics")), body]
    mapping.identity(body)
    listing = mapping.listing(items, NOW)
    metrics = mapping.metrics(items, "ft-1", NOW)
    checkpoints = mapping.checkpoints(items, "ft-1")
    detail = mapping.detail({**body, "id": "ft-1"}, "ft-1", NOW)
    logs = mapping.with_events(detail, items, NOW).events if detail else ()
    _storable([*listing.jobs, *metrics.rows, *logs, *listing.drift])
    assert len(checkpoints) <= len(items)
    assert len(listing.drift) + len(metrics.drift) < 1000


def _storable(seen: Iterable[Observation]) -> None:
    for number, observation in enumerate(seen):
        row = to_row(1, number, observation)
        for value in row:
            assert not isinstance(value, int) or abs(value) < _INT64
            assert not isinstance(value, float) or math.isfinite(value)
            assert not isinstance(value, str) or value.encode()


def configuration(data: bytes) -> None:
    """A settings file: it loads, or is refused in words that hold no secret."""
    path = _FILE / "watcher.yaml"
    path.write_bytes(data)
    try:
        load_settings(path, {"TOGETHER_API_KEY": PLANTED}, docker_secrets=_FILE / "none")
    except ConfigError as error:
        told = str(error)
    else:
        told = ""
    assert PLANTED not in told
    assert len(told) < 1_000_000


def recording(data: bytes) -> None:
    """A file that `watcher replay` is given; the last byte chooses its kind."""
    path = _FILE / ("run.json" if data[-1:] == b"}" else "run.jsonl")
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        for run in read_recordings(path):
            assert run.id


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wire": wire_reader,
    "configuration": configuration,
    "recording": recording,
}


def seeds(target: str) -> list[bytes]:
    """Inputs to start from: real answers and files, so that the search begins inside the formats."""
    if target == "configuration":
        return [path.read_bytes() for path in sorted((ROOT / "config").glob("*.yaml"))]
    if target == "recording":
        train = {"train/loss": 2.0, "train/global_step": 1, "timestamp": 1, "train/grad_norm": None}
        steps = [{"step": 1, "loss": 2.0, "grad_norm": "nan"}, {"step": 1, "eval_loss": 2.0}]
        runs: list[object] = [
            {"id": "a", "train": [[1, 2.0, 1.0, 1e-5], [2, "NaN", None]], "eval": [[2, 2.5]], "config": {"n_evals": 1}},
            {"metrics": [train, {"eval/loss": math.nan, "train/global_step": 1}]},
            {"log_history": steps, "max_steps": 9},
        ]
        return [json.dumps(run).encode() for run in runs]
    examples = json.loads((ROOT / "tests" / "data" / "together-api-examples.json").read_text())
    bodies = [example.get("body", example) for example in examples.values() if isinstance(example, dict)]
    return [json.dumps(body).encode() for body in bodies]
