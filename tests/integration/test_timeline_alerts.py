"""What is told, when, of a job that goes well or badly."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.timeline import CANCELLED, ENFORCE, NEVER, Scene, between, firing, scene
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.nan_loss import NanLoss


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, rules=(Divergence(), NanLoss())) as made:
        yield made


async def test_divergence_fires_and_is_delivered(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.expect(between("10m", "16m"), firing("divergence", kind="diverged"))
    await play.run("20m")

    (message,) = play.of(firing("divergence", kind="diverged"))
    assert message.subject == "ft-1"
    assert ("model", "") not in message.facts
    assert "6" in dict(message.facts)["began at step"]


async def test_a_spike_does_not_fire(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.at("10m30s", loss=2)
    play.expect(NEVER, firing("divergence", kind="diverged"))
    await play.run("25m")

    assert play.messages == []


async def test_nan_fires_and_is_cancelled_once_with_the_outcome_told(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Divergence(), NanLoss()), policy=ENFORCE) as play:
        play.job()
        play.at("10m", loss=math.nan)
        play.expect(between("10m", "11m"), firing("nan_loss"))
        play.expect(between("11m", "13m"), CANCELLED)
        await play.run("20m")

        assert [post.status for post in play.provider.posts] == [200]
        (outcome,) = play.of(CANCELLED)
        assert "Cancelled at step 6" in outcome.action
