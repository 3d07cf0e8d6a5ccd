"""Faults on purpose: how many, which, and the same again."""

import json
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import httpx
import pytest

from tests.simulated import Simulated, a_run, write_curves
from watcher.simulator.faults import FaultKind, Faults


def _drawn(faults: Faults, method: str, count: int) -> list[FaultKind | None]:
    draws = [faults.draw(method, "/v1/fine-tunes") for _ in range(count)]
    return [None if fault is None else fault.kind for fault in draws]


def test_the_same_seed_gives_the_same_faults_and_another_one_others() -> None:
    first, again, other = (_drawn(Faults(0.3, seed), "GET", 200) for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_paths_do_not_disturb_each_other() -> None:
    alone, mixed = Faults(0.3, 7), Faults(0.3, 7)
    expected = [alone.draw("GET", "/a") for _ in range(50)]
    found = [(mixed.draw("GET", "/b"), mixed.draw("GET", "/a"))[1] for _ in range(50)]

    assert found == expected


def test_the_rate_is_about_kept_and_every_kind_comes() -> None:
    kinds = Counter(_drawn(Faults(0.2, 1), "POST", 2000))

    assert 0.16 < 1 - kinds[None] / 2000 < 0.24
    assert set(kinds) == {None, *FaultKind}
    assert FaultKind.TOOK_THEN_ERROR not in _drawn(Faults(0.9, 1), "GET", 500)
    assert set(_drawn(Faults(0, 1), "GET", 100)) == {None}


async def _or_cut(asked: Awaitable[httpx.Response]) -> httpx.Response:
    """The answer; status 0 stands for a connection that was cut."""
    try:
        return await asked
    except ConnectionResetError:
        return httpx.Response(0)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Faults(rate, 0)


async def test_each_fault_looks_as_it_should_and_is_logged(tmp_path: Path) -> None:
    sim = Simulated(write_curves(tmp_path / "c.jsonl", a_run()), faults=1.0, seed=3)
    answers = [await _or_cut(sim.http.get("/v1/fine-tunes")) for _ in range(60)]
    by_kind = {line["fault"]: answer for line, answer in zip(sim.logged(), answers, strict=True)}
    limited = [a.headers for a, line in zip(answers, sim.logged(), strict=True) if line["fault"] == "rate_limited"]

    assert {kind: answer.status_code for kind, answer in by_kind.items()} == {
        "rate_limited": 429, "server_error": 500, "overloaded": 503, "html": 200, "cut": 0,
    }  # fmt: skip
    assert by_kind["html"].headers["content-type"].startswith("text/html")
    assert by_kind["overloaded"].json()["error"]["type"]
    hints = {name for headers in limited for name in headers}
    assert hints >= {"retry-after", "retry-after-ms", "x-ratelimit-reset"}


async def test_a_cancel_may_take_hold_and_still_answer_500(tmp_path: Path) -> None:
    curves = write_curves(tmp_path / "c.jsonl", *(a_run(f"run-{n}") for n in range(60)))
    listing = Simulated(curves)
    ids = [job["id"] for job in (await listing.ask("/fine-tunes"))["data"]]
    sim = Simulated(curves, faults=1.0, seed=1)
    for job_id in ids:
        await _or_cut(sim.cancel(job_id))
    lines = {(line["fault"], line["status"], line["took_effect"]) for line in sim.logged()}

    assert ("took_then_error", 500, True) in lines
    assert ("cut", 200, True) in lines
    assert ("rate_limited", 429, None) in lines


async def test_a_log_line_says_what_was_asked(tmp_path: Path) -> None:
    sim = Simulated(write_curves(tmp_path / "c.jsonl", a_run()))
    job_id = await sim.id_of("run")
    await sim.rows(job_id, global_step_from=3)

    assert json.loads(sim.log.getvalue().splitlines()[-1]) == {
        "time": "2026-11-18T11:06:40Z",
        "method": "GET",
        "path": f"/v1/fine-tunes/{job_id}/metrics",
        "query": "global_step_from=3",
        "status": 200,
        "fault": None,
        "job": job_id,
        "took_effect": None,
    }
