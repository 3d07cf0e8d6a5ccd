"""A process may die at any point while a cancel is announced: no window is lost, and nothing is cancelled twice."""

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.crashes import Deaths, live
from tests.outside import RECEIVERS, Delivered, Post, Script, World, fresh, nan_from, told
from watcher.domain.alerts import TransitionReason
from watcher.domain.cancel_policy import CancelMode, CancelPolicy

WINDOW = timedelta(seconds=120)
PROPOSE = CancelPolicy(mode=CancelMode.PROPOSE, veto_window=WINDOW)
SCRIPTS = (Script("broken", nan_from(8)),)
TURNS = (0, *range(90, 720, 30), 1200, 1230)
"""Sweeps, in seconds; the job ends at 1,000, and its cancel is announced at 120."""
LASTING = ("after a write", "after a send", "after cancel")
SHARES = 2


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template") / "empty.db"


async def played(template: Path, database: Path, deaths: Deaths) -> World:
    world = fresh(template, database, SCRIPTS)
    await live(world, deaths, PROPOSE, TURNS)
    return world


def wrongs(world: World) -> list[str]:
    """Every broken promise that can be seen from outside."""
    taken = [post for post in world.posts if post.taken]
    found = [f"{post} came without an intent" for post in world.posts if not post.intended]
    found += [f"cancelled {len(taken)} times"] if len(taken) != 1 else []
    found += [f"{post} robbed people of their window" for post in taken if not _had_its_window(world, post)]
    for receiver, tells in told(world).items():
        about = Counter((rule, why) for _, rule, _, why, _ in tells.elements())
        found += [f"{receiver} was told {about}"] if about["nan_loss", "first"] != 1 else []
        found += [f"{receiver} was told {about}"] if about["nan_loss", "cancelled"] != 1 else []
    twice = Counter((d.receiver, d.life, d.key) for d in world.delivered)
    found += [f"{again} was sent twice by one process" for again, count in twice.items() if count > 1]
    return [*found, *_left_over(world)]


def _had_its_window(world: World, post: Post) -> bool:
    """Whether somebody had been told a whole window before, by a process that then lived until the intent stood.

    Once an intent is stored, a death takes no window away: the next process finishes what was begun.
    """
    begins = [at for at, intended in world.deaths if at <= post.at and not intended]
    since = max(begins, default=None)
    return any(
        told.at + WINDOW <= post.at and (since is None or told.at >= since)
        for told in world.delivered
        if _announces(told)
    )


def _announces(told: Delivered) -> bool:
    return told.message.reason is TransitionReason.CANCEL_PROPOSED


def _left_over(world: World) -> list[str]:
    left = world.ask_file("SELECT key, state, error FROM outbox WHERE state <> 'done'")
    left += world.ask_file("SELECT 'proposal', id, state FROM proposals WHERE state IN ('proposed', 'requested')")
    return [f"left over: {row}" for row in left]


async def test_the_undisturbed_run_announces_waits_and_cancels(template: Path, tmp_path: Path) -> None:
    world = await played(template, tmp_path / "undisturbed.db", Deaths())

    assert wrongs(world) == []
    assert len([d for d in world.delivered if _announces(d)]) == len(RECEIVERS)


@pytest.mark.parametrize("share", range(SHARES))
async def test_no_death_costs_a_window_or_doubles_a_cancel(template: Path, tmp_path: Path, share: int) -> None:
    deaths = Deaths()
    await played(template, tmp_path / "undisturbed.db", deaths)
    numbers = [number for number, name in enumerate(deaths.points) if name in LASTING][share::SHARES]

    broken = {
        (number, deaths.points[number]): found
        for number in numbers
        if (found := wrongs(await played(template, tmp_path / f"{number}.db", Deaths(at=[number]))))
    }

    assert len(numbers) > 10
    assert broken == {}


@pytest.mark.parametrize("seed", range(4))
async def test_deaths_one_after_another_cost_none_either(template: Path, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - repeatable
    deaths = Deaths()
    await played(template, tmp_path / "undisturbed.db", deaths)
    at = [dice.randrange(len(deaths.points)), *(dice.randrange(60) for _ in range(3))]

    assert wrongs(await played(template, tmp_path / "disturbed.db", Deaths(at=at))) == [], f"died after {at} points"
