"""`jobs`, `alerts` and `status` on a store that was filled through its API, as programs and people read them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stored import NOW, a_job, a_proposal, a_snapshot, an_alert, an_effect, at
from watcher.cli import main
from watcher.domain.alerts import AlertState, Subject
from watcher.domain.observations import Status, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity
from watcher.service.bookstate import BookState, packed
from watcher.service.ports import Writes
from watcher.service.records import JobKey, JobRecord, ProposalState
from watcher.store.sqlite import open_store

HOSTILE = "evil\x1b[2J\x1b]0;owned\x07[red]bold[/red]\u202e\r\nnext"

Fill = Callable[[Callable[[Writes], object]], None]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: exit code, stdout and stderr."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def _run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["watcher", *arguments, "--state-dir", str(tmp_path)])
        code = main._run()
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return _run


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    def _fill(work: Callable[[Writes], object]) -> None:
        with open_store(tmp_path / "watcher.db") as store:
            store.write_now(work)

    return _fill


def a_running_job(name: str = "ft-1", suffix: str = "first", **changes: Any) -> JobRecord:
    """Half of 100 steps done, the loss on its way down."""
    state = BookState(last_loss=1.5, best_eval=1.25, best_eval_step=40)
    for step in range(1, 51):
        row = TrainRow(step=step, at_ns=step * 10**9, loss=3.0 - step / 50)
        state.curve.add(row.loss)
        state.pace.take([row], NOW)
    snapshot = a_snapshot(name, suffix=suffix, total_steps=100, model="some/model", total_price_nano=4_000_000_000)
    record = a_job(JobKey("main", name), snapshot=snapshot, feed=packed(state), health="converging")
    return replace(record, **changes)


def a_story(tx: Writes) -> None:
    """One job that diverges and is about to be cancelled, one that completed, and an account that can't be seen."""
    tx.save_job(a_running_job(health="diverging"))
    done = a_snapshot("ft-2", status=Status.COMPLETED, raw_status="completed", suffix="second", created_at=at(-5))
    tx.save_job(a_job(JobKey("main", "ft-2"), snapshot=done, health="done", ended_at=at(1)))
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    second = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-2")
    for alert in (
        an_alert(step=47, onset=40, reason="The loss left its past."),
        an_alert("plateau", "stuck", subject=second, severity=Severity.WARNING, state=AlertState.RESOLVED),
        an_alert("completion", "completed", subject=second, severity=Severity.INFO, notice=True, starts_at=at(1)),
        an_alert("provider_unreachable", "server", subject=account, starts_at=at(2), reason="Nobody answers."),
    ):
        tx.save_alert(alert)
    tx.add_proposal(a_proposal("p1", JobKey("main", "ft-1"), mode="enforce", step=47, reason="The loss left its past."))
    tx.enqueue([an_effect("k1")], NOW)


def test_before_the_first_run_it_says_what_to_do(run: Run) -> None:
    code, out, err = run("jobs")

    assert (code, out) == (1, "")
    assert "nothing is known yet" in err
    assert "watcher run" in err


@pytest.mark.parametrize("command", ["jobs", "alerts", "status"])
def test_a_store_without_jobs_is_shown_as_such(run: Run, fill: Fill, command: str) -> None:
    fill(lambda tx: tx.set_meta("x", "y"))
    code, out, err = run(command)

    assert (code, err) == (0, "")
    assert re.search(r"no jobs yet|no alerts|jobs +0", out)


def test_jobs_as_json_is_the_document_of_the_contract(run: Run, fill: Fill) -> None:
    fill(a_story)
    code, out, err = run("jobs", "--format", "json")

    document = json.loads(out)
    first, second = document["jobs"]
    assert (code, err) == (0, "")
    assert set(document) == {"jobs"}
    named = ("id", "account", "status", "step", "total_steps", "health")
    assert [first[key] for key in named] == ["ft-1", "main", "running", 50, 100, "diverging"]
    assert [alert["rule"] for alert in first["alerts"]] == ["divergence"]
    assert (second["id"], second["status"]) == ("ft-2", "completed")
    assert first["progress"] == 0.5
    assert "proposals" not in first


def test_alerts_as_json_are_the_document_of_the_contract_newest_first(run: Run, fill: Fill) -> None:
    fill(a_story)
    code, out, _ = run("alerts", "--format", "json")

    document = json.loads(out)
    keys = {"id", "rule", "kind", "subject", "account", "severity", "state", "starts_at", "ends_at", "step", "reason"}
    assert code == 0
    assert set(document) == {"alerts"}
    assert all(set(alert) >= keys for alert in document["alerts"])
    assert [alert["rule"] for alert in document["alerts"]][:2] == ["provider_unreachable", "completion"]


@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        pytest.param(["--firing"], {"provider_unreachable", "divergence"}, id="what fires, without notices"),
        pytest.param(["--job", "ft-2"], {"completion", "plateau"}, id="of a job by id"),
        pytest.param(["--job", "second"], {"completion", "plateau"}, id="of a job by suffix"),
        pytest.param(["--firing", "--job", "ft-1"], {"divergence"}, id="both"),
    ],
)
def test_alerts_are_filtered(run: Run, fill: Fill, arguments: list[str], rules: set[str]) -> None:
    fill(a_story)
    _, out, _ = run("alerts", "--format", "json", *arguments)

    assert {alert["rule"] for alert in json.loads(out)["alerts"]} == rules


def test_status_as_json_tells_delivery_and_cancels(run: Run, fill: Fill) -> None:
    fill(a_story)
    code, out, _ = run("status", "--format", "json")

    document = json.loads(out)
    assert (code, document["jobs"], document["open_jobs"], document["firing"]) == (0, 2, 2, 2)
    assert document["outbox"]["due"] + document["outbox"]["waiting"] == 1
    assert [proposal["job"] for proposal in document["proposals"]] == ["ft-1"]
    assert [alert["rule"] for alert in document["alerts"]] == ["provider_unreachable"]


def test_a_person_sees_a_line_a_job_and_nothing_is_cut_off_in_a_pipe(run: Run, fill: Fill) -> None:
    fill(a_story)
    _, out, _ = run("jobs")

    head, first, second = out.splitlines()
    assert head.split() == ["job", "status", "progress", "%", "step", "loss", "curve", "health", "firing"]
    assert re.fullmatch(
        r"first +running +━{6}─{6} +50 +50/100 +1\.5 +[▁-█]{24} +diverging +divergence \(diverged\)", first
    )
    assert re.fullmatch(r"second +completed +done", second)


def test_one_job_is_shown_whole(run: Run, fill: Fill) -> None:
    fill(a_story)
    by_id, by_suffix = run("jobs", "ft-1"), run("jobs", "first")

    assert by_id == by_suffix
    assert re.search(r"^step +50/100 \(50 %\)$", by_id[1], flags=re.MULTILINE)
    assert re.search(r"^price +\$4\.00 ", by_id[1], flags=re.MULTILINE)
    assert "The loss left its past." in by_id[1]
    assert re.search(r"^cancel$", by_id[1], flags=re.MULTILINE)


def test_one_job_as_json_has_its_cancels(run: Run, fill: Fill) -> None:
    fill(a_story)
    fill(lambda tx: tx.add_proposal(a_proposal("p2", JobKey("main", "ft-2"), state=ProposalState.CONFIRMED)))
    _, out, _ = run("jobs", "second", "--format", "json")

    (job,) = json.loads(out)["jobs"]
    assert [(proposal["id"], proposal["state"]) for proposal in job["proposals"]] == [("p2", "confirmed")]


def test_jobs_that_share_a_suffix_are_all_shown(run: Run, fill: Fill) -> None:
    def twins(tx: Writes) -> None:
        for name in ("ft-7", "ft-8"):
            tx.save_job(a_running_job(name, "twin"))

    fill(twins)
    _, out, _ = run("jobs", "twin", "--format", "json")

    assert {job["id"] for job in json.loads(out)["jobs"]} == {"ft-7", "ft-8"}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        pytest.param("ft-", "did you mean ft-1 or ft-2?", id="the beginning of ids"),
        pytest.param("secondd", "did you mean second?", id="a slip"),
        pytest.param("zzz", "known are first, ft-1, ft-2 and more", id="nothing like it"),
    ],
)
@pytest.mark.parametrize("command", [("jobs",), ("alerts", "--job")])
def test_an_unknown_job_is_bad_input_and_the_nearest_are_named(
    run: Run, fill: Fill, command: tuple[str, ...], wanted: str, told: str
) -> None:
    fill(a_story)
    code, out, err = run(*command, wanted)

    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.parametrize("command", [("jobs",), ("jobs", "ft-1"), ("alerts",)])
def test_text_from_the_api_can_do_nothing_to_a_terminal(run: Run, fill: Fill, command: tuple[str, ...]) -> None:
    def hostile(tx: Writes) -> None:
        job = a_running_job(suffix=HOSTILE)
        job.snapshot = replace(job.snapshot, raw_status=HOSTILE, status=Status.UNRECOGNISED, model=HOSTILE)
        tx.save_job(job)
        tx.save_alert(an_alert(reason=HOSTILE, kind="x[/]"))

    fill(hostile)
    code, out, err = run(*command)

    assert (code, err) == (0, "")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    assert "[red]bold[/red] next" in out


def test_text_from_the_api_stays_as_it_was_for_programs(run: Run, fill: Fill) -> None:
    fill(lambda tx: tx.save_job(a_running_job(suffix=HOSTILE)))
    _, out, _ = run("jobs", "--format", "json")

    assert json.loads(out)["jobs"][0]["suffix"] == HOSTILE


@pytest.mark.parametrize("width", [40, 80, 120])
def test_narrow_terminals_are_kept_to(run: Run, fill: Fill, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    fill(a_story)
    monkeypatch.setenv("COLUMNS", str(width))
    shown = [run("jobs"), run("jobs", "ft-1"), run("alerts"), run("status")]

    assert [code for code, _, _ in shown] == [0] * 4
    assert max(len(line) for _, out, _ in shown for line in out.splitlines()) <= width


@pytest.mark.parametrize("width", [80, 100, 120, 140])
def test_share_health_and_what_fires_are_never_cut(
    run: Run, fill: Fill, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    def story(tx: Writes) -> None:
        a_story(tx)
        tx.save_job(a_running_job("ft-long", suffix="a-rather-long-name-of-a-run-of-somebody"))

    fill(story)
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run("jobs")

    assert "…" not in re.sub(r"(?m)^\S+", "", out)  # only names are cut
    _, document, _ = run("jobs", "--format", "json")
    for job in json.loads(document)["jobs"]:
        assert job["health"] in out
    assert "divergence" in out


def test_looking_changes_nothing(run: Run, fill: Fill, tmp_path: Path) -> None:
    fill(a_story)
    before = (tmp_path / "watcher.db").read_bytes()
    for command in ("jobs", "alerts", "status"):
        run(command)

    assert (tmp_path / "watcher.db").read_bytes() == before
