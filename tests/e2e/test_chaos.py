"""The harness of `make chaos` on a recording of seconds: it kills, looks from outside, and sees what is wrong."""

from pathlib import Path

from bench.chaos import points
from bench.chaos.judge import judge
from bench.chaos.place import HOOK, a_place
from bench.chaos.receiver import Taken
from bench.chaos.scenarios import begin, one_kill, settle
from tests.simulated import a_run, write_curves

STEPS = 40


def test_killed_around_a_message_it_tells_all_and_the_harness_sees_what_would_be_wrong(tmp_path: Path) -> None:
    rows = [[step, "NaN" if step >= 20 else 3.0 / step, 1.0, 1e-5] for step in range(1, STEPS + 1)]
    curves = write_curves(tmp_path / "curves.jsonl", a_run("broken", STEPS, train=rows, eval=[]))
    with a_place(tmp_path, 1, {"curves": curves, "speed": 30, "queued": 0.0}) as place:
        begin(place)
        one_kill(place, points.MESSAGE, 1)
        settle(place)
        verdict = judge(place, "smoke")
        _spoil(place.receiver.taken, place.folder)
        spoilt = judge(place, "spoilt").wrongs

    assert verdict.wrongs == []
    assert (verdict.expected, verdict.lost, verdict.kills) == (2, 0, 1)
    assert verdict.twice >= 1
    assert verdict.recoveries
    assert {wrong.partition(":")[0] for wrong in spoilt} == {"lost", "a secret stands in leak.txt"}


def _spoil(taken: list[Taken], folder: Path) -> None:
    """One message is lost, and a secret gets out."""
    taken.pop()
    (folder / "leak.txt").write_text(HOOK)
