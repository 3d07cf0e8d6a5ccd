"""`watcher replay` from its arguments to what stands on stdout, stderr and disk."""

import gzip
import json
import math
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from watcher.cli import main, plotting
from watcher.notify.picture import PNG, PictureError

KEYS = {"id", "total_steps", "alerts", "cancel"}
ALERT_KEYS = {"rule", "kind", "severity", "step", "onset", "reason"}


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Replay = Callable[..., Said]


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Replay:
    """Runs the command as a shell would, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["watcher", "replay", *map(str, arguments)])
        code = main._run()
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


def healthy(count: int = 60) -> list[list[Any]]:
    return [
        [s, round(0.5 + 2 * math.exp(-s / 20) + 0.05 * math.sin(s * 1.7), 4), 1.0, 1e-5] for s in range(1, count + 1)
    ]


def broken(count: int = 60, good: int = 20) -> list[list[Any]]:
    return [*healthy(good), *([s, "NaN", "NaN", 1e-5] for s in range(good + 1, count + 1))]


def jsonl(path: Path, *runs: dict[str, Any]) -> Path:
    text = "".join(f"{json.dumps(run)}\n" for run in runs)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def a_run(name: str | None, train: list[list[Any]], **config: Any) -> dict[str, Any]:
    return {**({"id": name} if name else {}), "train": train, "eval": [], "config": config}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return jsonl(
        tmp_path / "runs.jsonl.gz",
        a_run("fine", healthy(), total_steps=60),
        a_run("lost", broken(), total_steps=60),
        a_run("nothing", []),
    )


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """A dump of Together's metrics answer, oldest last, with literal NaN as the service writes it."""
    rows: list[dict[str, Any]] = [
        {
            "train/global_step": s,
            "timestamp": s,
            "train/loss": float(loss),
            "train/grad_norm": float(norm),
            "train/learning_rate": lr,
        }
        for s, loss, norm, lr in broken()
    ]
    rows.append({"train/global_step": 20, "timestamp": 20, "eval/loss": 1.0})
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"metrics": rows}))
    return path


@pytest.fixture
def trainer_state(tmp_path: Path) -> Path:
    """What the Trainer's own filter makes of a broken run: losses of 0.0 beside NaN gradient norms."""
    history = [
        {
            "step": s,
            "loss": 0.0 if loss == "NaN" else loss,
            "grad_norm": float(norm),
            "learning_rate": lr,
            "epoch": s / 60,
        }
        for s, loss, norm, lr in broken()
    ]
    history += [{"step": 30, "eval_loss": math.nan}, {"step": 60, "train_runtime": 1.0}]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": history, "max_steps": 60}))
    return path


# --- for programs ---


def test_json_is_one_object_a_run_in_order_and_nothing_else(replay: Replay, runs: Path) -> None:
    said = replay(runs, "--format", "json")

    assert said.code == 0
    assert said.err == ""
    assert [line["id"] for line in said.lines] == ["fine", "lost", "nothing"]
    assert all(set(line) == KEYS for line in said.lines)
    fine, lost, nothing = said.lines
    assert fine == {"id": "fine", "total_steps": 60, "alerts": [], "cancel": None}
    assert nothing == {"id": "nothing", "total_steps": None, "alerts": [], "cancel": None}
    assert all(set(alert) == ALERT_KEYS for alert in lost["alerts"])
    (alert,) = [alert for alert in lost["alerts"] if alert["rule"] == "nan_loss"]
    assert (alert["kind"], alert["severity"], alert["onset"]) == ("train", "critical", 21)
    assert 21 <= alert["step"] <= 23
    assert set(lost["cancel"]) == {"step", "rule", "reason"}
    assert lost["cancel"]["rule"] == "nan_loss"


@pytest.mark.parametrize("form", ["runs", "metrics", "trainer_state"])
def test_every_form_of_file_shows_the_same_break(form: str, replay: Replay, request: pytest.FixtureRequest) -> None:
    file: Path = request.getfixturevalue(form)
    (line,) = [line for line in replay(file, "-f", "json").lines if line["cancel"]]

    assert line["cancel"]["rule"] == "nan_loss"
    assert 21 <= line["cancel"]["step"] <= 23
    assert line["id"] == ("lost" if form == "runs" else str(file))


def test_several_files_come_in_the_order_given(replay: Replay, runs: Path, metrics: Path) -> None:
    said = replay(metrics, runs, "-f", "json")

    assert [line["id"] for line in said.lines] == [str(metrics), "fine", "lost", "nothing"]


def test_a_run_without_an_id_is_known_by_its_path(replay: Replay, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a b.jsonl", a_run(None, healthy(3)))

    assert [line["id"] for line in replay(file, "-f", "json").lines] == [str(file)]


def test_one_run_over_many_lines_is_read_too(replay: Replay, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(a_run("pretty", healthy(3)), indent=2))

    assert [line["id"] for line in replay(file, "-f", "json").lines] == ["pretty"]


def test_a_line_separator_inside_a_name_ends_no_line(replay: Replay, tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps(a_run("a\u2028b", healthy(3)), ensure_ascii=False) + "\r\n\n")

    # The answer is split by line feeds alone, as JSON lines are.
    assert [json.loads(line)["id"] for line in replay(file, "-f", "json").out.strip().split("\n")] == ["a\u2028b"]


def test_settings_change_what_is_found(replay: Replay, runs: Path, tmp_path: Path) -> None:
    config = tmp_path / "watcher.yaml"
    config.write_text("rules: {nan_loss: {rows_needed: 9}}\n")

    (alert,) = [a for a in replay(runs, "-c", config, "-f", "json").lines[1]["alerts"] if a["rule"] == "nan_loss"]
    assert alert["step"] == 29


# --- for people ---


def test_the_table_has_a_line_for_each_run_and_a_summary(replay: Replay, runs: Path) -> None:
    said = replay(runs)
    lines = {line.split()[0]: line for line in said.out.splitlines() if line}

    assert said.code == 0
    assert {"run", "fine", "lost", "nothing", "rule", "nan_loss", "divergence", "plateau"} <= set(lines)
    assert lines["fine"].split() == ["fine", "60", "60"]
    assert lines["nothing"].split() == ["nothing", "0", "?"]
    assert "nan_loss@2" in lines["lost"]
    step = int(lines["lost"].rpartition("nan_loss@")[2].split()[0])
    assert lines["lost"].rstrip().endswith(f"{60 - step} ({100 * (60 - step) / 60:.1f} %)")
    assert lines["3"].startswith("3 runs, 120 rows; 1 with alerts, 1 would be cancelled; ")
    assert lines["3"].endswith(f"{60 - step} of 120 steps saved ({100 * (60 - step) / 120:.1f} %)")
    assert lines["nan_loss"].split()[:4] == ["nan_loss", "1", "33.3", "%"]
    assert lines["plateau"].split()[1] == "0"


def test_hostile_names_do_not_reach_the_terminal(replay: Replay, tmp_path: Path) -> None:
    said = replay(jsonl(tmp_path / "r.jsonl", a_run("a\x1b[2J[red]b", healthy(3))))

    assert "\x1b" not in said.out
    assert "[red]b" in said.out


def test_files_without_runs_say_so(replay: Replay, tmp_path: Path) -> None:
    assert replay(jsonl(tmp_path / "none.jsonl")).out == "no runs in these files\n"


# --- pictures ---


def size(path: Path) -> tuple[int, int]:
    png = path.read_bytes()
    assert png.startswith(PNG)
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_each_run_of_each_form_is_drawn(
    replay: Replay, runs: Path, metrics: Path, trainer_state: Path, tmp_path: Path
) -> None:
    said = replay(runs, metrics, trainer_state, "--plot", tmp_path / "new" / "plots", "-f", "json")

    drawn = sorted((tmp_path / "new" / "plots").iterdir())
    assert said.code == 0
    assert len(said.lines) == 5
    assert {"fine.png", "lost.png", "nothing.png"} < {path.name for path in drawn}
    assert [size(path) for path in drawn] == [(800, 450)] * 5


def test_file_names_are_safe_and_no_run_takes_that_of_another(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plotting, "render_png", lambda _: PNG)
    names = ["../../etc/passwd", "a/b", "a:b", "..", "x" * 300, "same", "same", "SAME", "名前", "a\x00b"]
    file = jsonl(tmp_path / "r.jsonl", *(a_run(name, []) for name in names))

    replay(file, "--plot", tmp_path / "plots")

    drawn = [path.name for path in (tmp_path / "plots").iterdir()]
    assert len({name.lower() for name in drawn}) == len(names)
    assert all(len(name) < 120 and name.isascii() and not name.startswith(".") for name in drawn)
    assert {path.name for path in tmp_path.iterdir()} == {"r.jsonl", "plots"}


def test_a_picture_that_fails_is_told_and_the_rest_is_there(
    replay: Replay, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(svg: str) -> bytes:
        if "lost" in svg:
            raise PictureError("no")
        return PNG

    monkeypatch.setattr(plotting, "render_png", render)
    (tmp_path / "plots" / "nothing.png").mkdir(parents=True)

    said = replay(runs, "--plot", tmp_path / "plots", "-f", "json")

    assert said.code == 1
    assert len(said.lines) == 3
    assert said.err == (
        f"{tmp_path / 'plots' / 'lost.png'}: no\n{tmp_path / 'plots' / 'nothing.png'}: Is a directory\n"
    )
    assert (tmp_path / "plots" / "fine.png").read_bytes() == PNG


def test_a_directory_that_can_not_be_made_is_bad_input(replay: Replay, runs: Path) -> None:
    said = replay(runs, "--plot", runs / "plots")

    assert said.code == 2
    assert said.out == ""
    assert "expected a directory" in said.err


# --- bad input ---


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        pytest.param("r.jsonl", '{"id": "a", "train": []}\n{"id"', ":2: not JSON", id="a line cut short"),
        pytest.param("r.jsonl", "[1]\n", ":1: not a JSON object", id="a line that is a list"),
        pytest.param("r.jsonl", '\n{"train": [["x", 1]]}\n', ":2: step 'x' is not a number", id="a step in words"),
        pytest.param("r.jsonl", '{"train": [[1, "abc"]]}\n', ":1: 'abc' is not a number", id="a loss in words"),
        pytest.param("r.jsonl", '{"train": [[1, true]]}\n', ":1: True is not a number", id="a loss that is a truth"),
        pytest.param("r.jsonl", '{"train": [[NaN, 1]]}\n', ":1: step nan is not a number", id="a step of NaN"),
        pytest.param("r.jsonl", '{"train": 5}\n', ":1: ", id="rows that are a number"),
        pytest.param("r.jsonl", "[" * 100_000, ":1: ", id="nested beyond reason"),
        pytest.param("r.json", '{\n "log_history": [\n  {"step": }\n]}', ":3: not JSON", id="a state cut short"),
        pytest.param("r.json", '{"log_history": 7}', ": log_history is not a list", id="a history that is a number"),
        pytest.param(
            "r.json", '{"log_history": [{"loss": 1}]}', ": entry 1 of log_history", id="an entry without step"
        ),
        pytest.param("r.json", '{"metrics": [{"train/loss": 1}]}', ": row 1 of metrics", id="a metric without step"),
        pytest.param(
            "r.json",
            '{"metrics": [{"train/global_step": 1, "train/loss": "x"}]}',
            ": row 1 of metrics",
            id="a bad metric",
        ),
        pytest.param("r.jsonl.gz", "\x1f\u008b", "", id="no gzip"),
    ],
)
def test_bad_input_names_file_and_place(name: str, text: str, told: str, replay: Replay, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="latin-1")

    said = replay(file, "-f", "json")

    assert said.code == 2
    assert said.err.startswith(f"{file}{told}")
    assert len(said.err.splitlines()) == 1


def test_a_file_that_is_not_there_is_bad_input(replay: Replay, tmp_path: Path) -> None:
    said = replay(tmp_path / "none.jsonl")

    assert said.code == 2
    assert "No such file" in said.err


def test_a_plan_without_end_is_no_plan(replay: Replay, tmp_path: Path) -> None:
    file = tmp_path / "trainer_state.json"
    file.write_text('{"log_history": [{"step": 1, "loss": 1.0}], "max_steps": Infinity}')

    assert replay(file, "-f", "json").lines[0]["total_steps"] is None


def test_a_person_who_waits_sees_how_far_it_is(
    replay: Replay, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plotting, "render_png", lambda _: PNG)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")

    said = replay(runs, "-f", "json", "--plot", tmp_path / "plots")

    assert len(said.lines) == 3
    assert "replaying" in said.err
