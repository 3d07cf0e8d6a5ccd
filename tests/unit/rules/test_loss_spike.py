"""When `loss_spike` tells of a spike that is over."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tests.unit.rules.curves import NAN, dice, falling, replayed, rows
from watcher.domain.replay import Replay
from watcher.domain.rules.loss_spike import LossSpike
from watcher.domain.verdicts import Severity, Unknown


def _judged(losses: Sequence[float | None], rule: LossSpike | None = None) -> Replay:
    return replayed(rows(losses), rule or LossSpike())


def test_it_tells_of_a_spike_when_it_is_over() -> None:
    (alert,) = _judged([2.0] * 40 + [5.0, 6.0, 4.0] + [2.0] * 40).alerts

    assert (alert.kind, alert.severity, alert.notice) == ("spike", Severity.INFO, True)
    assert (alert.onset, alert.step) == (41, 44)
    assert alert.reason == "The train loss rose from near 2 to 6 at step 42 and was back by step 44, after 3 rows."


def test_each_spike_is_told() -> None:
    losses = [2.0] * 40 + [6.0] + [2.0] * 40 + [7.0] + [2.0] * 40

    assert [a.onset for a in _judged(losses).alerts] == [41, 82]


SILENT = [
    pytest.param(falling(), id="an ordinary run"),
    pytest.param([2.0] * 40 + [6.0] * 100, id="it does not come back: that is for divergence"),
    pytest.param([2.0] * 40 + [2.6] + [2.0] * 40, id="a rise by a third"),
    pytest.param([max(0.0, dice(i).gauss(2.0, 0.6)) for i in range(200)], id="noise as large as that"),
    pytest.param([2.0, 9.0, 2.0, 2.0], id="too few rows to know a level"),
    pytest.param([NAN, None] * 30, id="no number"),
]


@pytest.mark.parametrize("losses", SILENT)
def test_it_is_silent(losses: Sequence[float | None]) -> None:
    assert _judged(losses).alerts == []


def test_sensitivity_sets_how_high_a_spike_is() -> None:
    losses = [2.0] * 40 + [3.5] + [2.0] * 40
    told = {s: len(_judged(losses, LossSpike(sensitivity=s)).alerts) for s in ("low", "normal", "high")}

    assert told == {"low": 0, "normal": 1, "high": 1}


def test_before_any_row_it_does_not_know() -> None:
    rule = LossSpike()

    assert isinstance(rule.judge(rule.start(), datetime(2026, 1, 1, tzinfo=UTC)), Unknown)
