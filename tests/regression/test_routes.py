"""Failure mode 16 of other watchers: a tag or route matches nobody."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import Place, a_place
from tests.processes import watcher


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("route", "told"),
    [
        pytest.param({"receiver": "teem"}, "unknown receiver", id="default receiver"),
        pytest.param({"routes": [{"receivers": ["teem"]}]}, "unknown receiver", id="receiver"),
        pytest.param({"routes": [{"match": {"rule": "divergance"}, "receivers": ["team"]}]}, "no rule", id="rule"),
        pytest.param({"routes": [{"match": {"severity": "fatal"}, "receivers": ["team"]}]}, "no severity", id="label"),
    ],
)
def test_16_a_route_that_matches_nobody_is_an_error_before_it_matters(
    place: Place, route: dict[str, Any], told: str
) -> None:
    place.settings["route"] = route
    place.write()
    refused = watcher("check", "--config", place.config, env=place.env)

    assert refused.returncode == 2
    assert told in refused.stderr
    assert "team" in refused.stderr or "did you mean" in refused.stderr or "expected one of" in refused.stderr


def test_16_a_drill_reaches_receivers_that_no_route_names(place: Place) -> None:
    place.settings["receivers"].append({"name": "spare", "urls": [f"json://{place.second.place}/"]})
    place.settings["route"] = {"receiver": "team"}
    place.write()
    done = watcher("drill", "--format", "json", *place.words, env=place.env)

    assert {r["receiver"]: r["ok"] for r in json.loads(done.stdout)["targets"]} == {"team": True, "spare": True}
    assert len(place.second.requests) == 1
