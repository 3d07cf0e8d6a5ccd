"""What a key sees of the simulated jobs, and when it is refused."""

from pathlib import Path

import pytest

from tests.simulated import Simulated, a_run, write_curves
from watcher.simulator.projects import Revocation


def _curves(tmp_path: Path) -> Path:
    return write_curves(
        tmp_path / "c.jsonl", a_run("mine", project="blue"), a_run("theirs", project="red"), a_run("old")
    )


def _key(sim: Simulated, key: str) -> None:
    sim.http.headers["Authorization"] = f"Bearer {key}"


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        pytest.param("blue/1", {"mine"}, id="its own project"),
        pytest.param("red/2", {"theirs"}, id="another one"),
        pytest.param("anything", {"mine", "theirs", "old"}, id="a key of no project sees all"),
        pytest.param("green/3", {"mine", "theirs", "old"}, id="a project that no run names is none"),
        pytest.param("blue", {"mine", "theirs", "old"}, id="a name without a slash is any key"),
    ],
)
async def test_a_key_sees_the_jobs_of_its_project(tmp_path: Path, key: str, seen: set[str]) -> None:
    sim = Simulated(_curves(tmp_path))
    _key(sim, key)

    assert set(await sim.jobs()) == seen


async def test_a_job_of_another_project_is_not_found_by_its_id_either(tmp_path: Path) -> None:
    sim = Simulated(_curves(tmp_path))
    theirs = await sim.id_of("theirs")
    _key(sim, "blue/1")

    assert (await sim.http.get(f"/v1/fine-tunes/{theirs}")).status_code == 404
    assert (await sim.cancel(theirs)).status_code == 404
    assert (await sim.http.get("/v1/finetune/download", params={"ft_id": theirs})).status_code == 404
    assert (await sim.ask("/whoami"))["project"]["name"] == "blue"


async def test_one_key_of_a_project_may_be_revoked(tmp_path: Path) -> None:
    sim = Simulated(_curves(tmp_path), revocations=[Revocation.parse("red/old:0:9")])
    answers = []
    for key in ("red/old", "red/new", "any"):
        _key(sim, key)
        answers.append((await sim.http.get("/v1/fine-tunes")).status_code)

    assert answers == [401, 200, 200]


async def test_a_revoked_key_is_refused_for_its_time_and_no_other(tmp_path: Path) -> None:
    sim = Simulated(_curves(tmp_path), revocations=[Revocation.parse("red:4:2")])
    await sim.jobs()
    seen = []
    for _ in range(4):
        sim.clock.advance(1.9)
        row = []
        for key in ("blue/1", "red/2", "any"):
            _key(sim, key)
            row.append((await sim.http.get("/v1/fine-tunes")).status_code)
        seen.append(row)

    assert seen == [[200, 200, 200], [200, 200, 200], [200, 401, 200], [200, 200, 200]]


@pytest.mark.parametrize("text", ["red", "red:1", "red:x:2", "red:1:2:3", ":1:2", "red:1..2:3"])
def test_a_revocation_that_is_none_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(ValueError, match="PROJECT:START:LENGTH in seconds"):
        Revocation.parse(text)
