"""Reading curves files: what is taken, and how what is not is refused."""

import gzip
import math
from pathlib import Path

import pytest

from tests.simulated import a_run, write_curves
from watcher.simulator.main import run_simulator
from watcher.simulator.runs import PACKAGED, RunFileError, read_runs


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_a_run_is_read_plain_and_packed(tmp_path: Path, name: str) -> None:
    row = [1, "NaN", "-Infinity", None]
    runs = read_runs(
        write_curves(tmp_path / name, a_run("a", train=[row, [2, 1.5]]), a_run("b", config={"total_steps": 0}))
    )

    assert [run.id for run in runs] == ["a", "b"]
    first, second = runs[0].train
    assert first.loss is not None
    assert math.isnan(first.loss)
    assert (first.grad_norm, first.lr) == (-math.inf, None)
    assert (second.step, second.loss, second.grad_norm, second.lr) == (2, 1.5, None, None)
    assert (runs[0].total_steps, runs[1].total_steps) == (20, None)


def test_blank_lines_bare_tokens_and_a_missing_id_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('\n{"train": [[1.0, NaN, null, null, 9], [2]], "label": {"verdict": "healthy"}}\n\n')

    assert [run.id for run in read_runs(path)] == [f"{path}:2"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param("{", "not JSON", id="broken JSON"),
        pytest.param("[]", "a run is an object, this is a list", id="a list"),
        pytest.param('{"id": "a"}', "before", id="an id again"),
        pytest.param('{"train": 3}', "train is a list of rows", id="no list of rows"),
        pytest.param('{"train": [[]]}', r"train\[0\] is a list of 4 values", id="an empty row"),
        pytest.param('{"eval": [[1, 2], 3]}', r"eval\[1\] is a list of 2 values", id="no row"),
        pytest.param('{"train": [["x", 1]]}', "its step, a whole number", id="a step that is none"),
        pytest.param('{"train": [[1.5, 1]]}', "its step, a whole number", id="half a step"),
        pytest.param('{"train": [[1, "nan"]]}', "NaN, Infinity, -Infinity was expected", id="another NaN"),
        pytest.param('{"config": []}', "config is an object", id="config is a list"),
        pytest.param('{"config": {"total_steps": "9"}}', "config.total_steps is a whole number", id="steps as text"),
        pytest.param('{"fate": {"kind": "explode"}}', "explode", id="an unknown fate"),
        pytest.param('{"fate": {"knd": "stall"}}', "fate does not know knd", id="a misspelt key"),
        pytest.param('{"fate": {"kind": "stall"}}', "needs at_step", id="a fate without its step"),
        pytest.param('{"fate": {"early_stopping": {"x": 1}}}', "early_stopping", id="an unknown knob"),
    ],
)
def test_a_bad_line_is_refused_with_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(f'{{"id": "a"}}\n{line}\n')

    with pytest.raises(RunFileError, match=rf"c\.jsonl:2: .*{says}"):
        read_runs(path)


def test_a_missing_a_cut_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    cut, binary, broken = tmp_path / "cut.jsonl.gz", tmp_path / "b.jsonl", tmp_path / "n.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"id": "a"}\n' * 999)[:-12])
    binary.write_bytes(b"\xff\xfe\n")
    broken.write_bytes(b"\x1f\x8b{}")

    for path in (tmp_path / "none.jsonl", cut, binary, broken, tmp_path):
        with pytest.raises(RunFileError, match=path.name):
            read_runs(path)


def test_the_command_exits_with_2_on_bad_input_and_1_when_it_cannot_listen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("{\n")

    assert run_simulator(curves=path) == 2
    assert capsys.readouterr().err.startswith(f"{path}:1: not JSON")
    assert run_simulator(speed=0) == 2
    assert run_simulator(faults=2) == 2
    assert run_simulator(log=tmp_path / "no" / "dir") == 1
    assert run_simulator(host="192.0.2.1") == 1  # an address for documentation, which is nobody's
    assert capsys.readouterr().out == ""


def test_the_packaged_runs_are_small_and_many() -> None:
    runs = read_runs(PACKAGED)

    assert PACKAGED.stat().st_size < 1_000_000
    assert len(runs) >= 12
    assert all(100 <= run.last_step <= 400 for run in runs)
    assert all(run.total_steps and run.fields for run in runs)
