"""A rule that behaves differently has a new version: stored states are rebuilt by it."""

import json

import pytest

from tests.unit.rules.curves import CURVE_RULES
from tests.unit.rules.golden import GOLDEN, outputs
from watcher.domain.rule import Rule


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.name) for rule in CURVE_RULES])
def test_it_behaves_as_its_version_did(rule: Rule) -> None:
    kept = json.loads(GOLDEN.read_text())[rule.name]
    same = outputs(rule) == kept["outputs"]

    assert same or rule.version != kept["version"], f"{rule.name} behaves differently: raise its version"
    assert rule.version == kept["version"], "write the golden file anew: python -m tests.unit.rules.golden"


def test_the_golden_runs_are_not_silent() -> None:
    kept = json.loads(GOLDEN.read_text())

    assert all(any(rule["outputs"].values()) for rule in kept.values())
