"""A process may die at any store write, API call or send: nothing is lost, and a cancel is never doubled."""

import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from tests.crashes import ENFORCE, Deaths, live
from tests.outside import RECEIVERS, Script, World, falls, fresh, jumps_at, nan_from, told
from watcher.service.errors import DeliveryError, FailureReason, ProviderError, StoreError

SCRIPTS = (
    Script("broken", nan_from(8)),
    Script("protected-diverged", jumps_at(15), 50),
    Script("good", falls, 30),
)
TURNS = (0, *range(90, 520, 30), 1200, 1900, 1930)
"""Sweeps, in seconds; the last ones are there for what is told when a job is not followed any more."""
LASTING = ("after a write", "after a send", "after cancel")
"""What changes the world: whatever the process did since then dies with it."""
SHARES = 4
"""So many tests share the points between them."""


@pytest.fixture(autouse=True)
def _no_internal_error() -> Iterator[None]:
    """The dispatcher tries again whatever happens to it: a mistake in it would only cost time here."""
    before, errors = structlog.get_config(), LogCapture()
    structlog.configure(processors=[errors], wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)
    assert [entry for entry in errors.entries if entry["event"] in ("outbox.effect_crashed", "rule.crashed")] == []


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template") / "empty.db"


async def undisturbed(template: Path, tmp_path: Path) -> tuple[World, list[str]]:
    world, deaths = fresh(template, tmp_path / "undisturbed.db", SCRIPTS), Deaths()
    await live(world, deaths, ENFORCE, TURNS)
    return world, deaths.points


async def disturbed(template: Path, tmp_path: Path, at: list[int]) -> World:
    world = fresh(template, tmp_path / f"{'-'.join(map(str, at))}.db", SCRIPTS)
    await live(world, Deaths(at=list(at)), ENFORCE, TURNS)
    return world


def wrongs(world: World, reference: World) -> list[str]:
    """Every broken promise that can be seen from outside."""
    return [*_delivery_wrongs(world, reference), *_cancel_wrongs(world, reference), *_stuck(world)]


def _delivery_wrongs(world: World, reference: World) -> list[str]:
    found = []
    for receiver, expected in told(reference).items():
        got = told(world)[receiver]
        found += [f"{receiver} was never told {lost}" for lost in expected - got]
        found += [f"{receiver} was told under another key, or for nothing, {more}" for more in got - expected]
    bodies: dict[str, set[str]] = {}
    for delivery in world.delivered:
        bodies.setdefault(delivery.key, set()).add(delivery.body)
        recorded = set[str]().union(*world.recorded[: delivery.life])
        if delivery.key in recorded:
            found.append(f"{delivery.tells} was sent again although it was recorded")
    found += [f"{key} came with different bodies" for key, forms in bodies.items() if len(forms) > 1]
    in_one_life = Counter((d.receiver, d.life, d.key) for d in world.delivered)
    found += [f"{again} was sent twice by one process" for again, count in in_one_life.items() if count > 1]
    return found


def _cancel_wrongs(world: World, reference: World) -> list[str]:
    taken = Counter(post.job_id for post in world.posts if post.taken)
    wanted = Counter(post.job_id for post in reference.posts if post.taken)
    found = [f"{post.job_id} was posted without an intent" for post in world.posts if not post.intended]
    if taken != wanted:
        found.append(f"cancelled {dict(taken)}, not {dict(wanted)}")
    return found


def _stuck(world: World) -> list[str]:
    left = world.ask_file("SELECT key, state, error FROM outbox WHERE state <> 'done'")
    left += world.ask_file("SELECT 'transition', reason, alert_id FROM transitions WHERE consumed_at IS NULL")
    left += world.ask_file("SELECT 'proposal', id, state FROM proposals WHERE state IN ('proposed', 'requested')")
    return [f"left over: {row}" for row in left]


async def test_the_undisturbed_run_is_worth_disturbing(template: Path, tmp_path: Path) -> None:
    world, _ = await undisturbed(template, tmp_path)

    assert wrongs(world, world) == []
    assert [post.job_id for post in world.posts] == ["ft-broken"]
    for receiver in RECEIVERS:
        about = {(job, rule, why) for job, rule, _, why, _ in told(world)[receiver]}
        assert about >= {
            ("ft-broken", "nan_loss", "first"),
            ("ft-broken", "nan_loss", "cancelled"),
            ("ft-protected-diverged", "divergence", "first"),
            ("ft-protected-diverged", "divergence", "cancel_refused"),
            ("ft-good", "completion", "first"),
        }


@pytest.mark.parametrize("share", range(SHARES))
async def test_no_death_costs_an_alert_or_doubles_a_cancel(template: Path, tmp_path: Path, share: int) -> None:
    reference, points = await undisturbed(template, tmp_path)
    numbers = [number for number, name in enumerate(points) if name in LASTING][share::SHARES]

    broken = {
        (number, points[number]): found
        for number in numbers
        if (found := wrongs(await disturbed(template, tmp_path, [number]), reference))
    }

    assert len(numbers) > 20
    assert broken == {}


@pytest.mark.parametrize("seed", range(6))
async def test_a_second_death_soon_after_the_first_costs_nothing_either(
    template: Path, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - repeatable
    reference, points = await undisturbed(template, tmp_path)
    at = [dice.randrange(len(points)), dice.randrange(40), dice.randrange(40)]

    assert wrongs(await disturbed(template, tmp_path, at), reference) == [], f"died after {at} points"


def error_at(name: str) -> Exception:
    """What may go wrong at a point without the process dying of it."""
    when, what = name.split(" ", 1)
    if what == "a write":
        return StoreError("no room")
    if what == "a send":
        return DeliveryError(FailureReason.TIMEOUT)
    return ProviderError(FailureReason.TIMEOUT, retryable=True, maybe_done=when == "after")


@pytest.mark.parametrize("share", range(SHARES))
async def test_no_single_failure_costs_an_alert_or_doubles_a_cancel(template: Path, tmp_path: Path, share: int) -> None:
    reference, points = await undisturbed(template, tmp_path)
    started = points.index("before list")  # a store that fails before is a process that does not start
    # A write that failed was not committed, and what a receiver took but denied is sent again by the same process.
    failing = [n for n, name in enumerate(points) if n >= started and name not in ("after a write", "after a send")]
    broken = {}
    for number in failing[share :: 5 * SHARES]:
        world = fresh(template, tmp_path / f"{number}.db", SCRIPTS)
        await live(world, Deaths(errors={number: error_at(points[number])}), ENFORCE, TURNS)
        if found := wrongs(plain(world), plain(reference)):
            broken[number, points[number]] = found

    assert broken == {}


def plain(world: World) -> World:
    """The end of a job is told even when its last rows can't be read at that moment: it may lack their numbers."""
    world.delivered = [
        replace(d, message=replace(d.message, what="")) if d.message.rule == "completion" else d
        for d in world.delivered
    ]
    return world


@pytest.mark.parametrize("when", ["before cancel", "after cancel"])
async def test_a_cancel_that_was_under_way_is_brought_to_its_end_after_a_long_outage(
    template: Path, tmp_path: Path, when: str
) -> None:
    scripts = (Script("broken", nan_from(100), 2000, plan=2000),)
    turns = [0, *range(990, 1200, 30), *range(4500, 4800, 30), 6000]
    reference, deaths = fresh(template, tmp_path / "reference.db", scripts), Deaths()
    await live(reference, deaths, ENFORCE, turns)
    died_at = deaths.points.index(when)

    world = fresh(template, tmp_path / "disturbed.db", scripts)
    await live(world, Deaths(at=[died_at]), ENFORCE, turns, outage=3000)

    assert [post.taken for post in reference.posts] == [True]
    assert wrongs(world, reference) == []


async def test_the_hourly_limit_holds_for_jobs_that_break_at_the_same_moment(template: Path, tmp_path: Path) -> None:
    world = fresh(template, tmp_path / "limit.db", [Script(f"broken-{number}", nan_from(8)) for number in range(5)])
    policy = replace(ENFORCE, max_per_hour=2)
    await live(world, Deaths(), policy, TURNS)

    assert [post.taken for post in world.posts] == [True, True]
    why = Counter(tells[3] for tells in told(world)["team"] if tells[1] == "nan_loss")
    assert (why["cancelled"], why["cancel_withdrawn"]) == (2, 3)
    assert [tells[2] for tells in told(world)["team"] if tells[1] == "watcher_fault"] == ["cancel_rate:main"]
