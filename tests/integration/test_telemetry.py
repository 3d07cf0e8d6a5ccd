"""What the services count on the way, over the whole spine in fake time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import unseen
from tests.timeline import PROPOSE, Scene, scene
from tests.toys import High
from watcher.service.errors import FailureReason
from watcher.web.telemetry import PrometheusTelemetry, StoreGauges, Vitals


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, rules=(High(),), policy=PROPOSE, telemetry=PrometheusTelemetry()) as made:
        yield made


def counted(play: Scene, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a counter, by the values of its labels in the order of their names."""
    assert isinstance(play.telemetry, PrometheusTelemetry)
    families = text_string_to_metric_families(play.telemetry.exposition(Vitals(), StoreGauges()).decode())
    return {tuple(s.labels.values()): s.value for family in families for s in family.samples if s.name == name}


async def test_a_veto_is_one_of_the_ends_of_a_cancel(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.do("12m", play.veto)
    play.do("13m", play.veto)
    await play.run("14m")

    assert counted(play, "watcher_cancels_total") == {("proposed",): 1, ("vetoed",): 1}


async def test_alerts_are_counted_on_jobs_on_accounts_and_on_the_watcher(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.do("11m", lambda: play.provider.fail("list", unseen(FailureReason.AUTH, 401)))
    play.do("12m", lambda: play.faults.report("reload", "", "planted"))
    await play.run("15m")

    found = counted(play, "watcher_alerts_total")
    assert found["first", "high"] == found["first", "provider_unreachable"] == found["first", "watcher_fault"] == 1


async def test_the_time_of_rules_is_counted_by_their_names(play: Scene) -> None:
    play.job()
    await play.run("2m")

    assert set(counted(play, "watcher_rule_seconds_total")) == {("high",)}
