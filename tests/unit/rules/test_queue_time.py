import pytest

from tests.unit.rules.lifecycle import T0, found, job
from watcher.domain.observations import Observation
from watcher.domain.rules.queue_time import QueueTime
from watcher.domain.verdicts import Severity


@pytest.mark.parametrize(
    ("observations", "minutes", "told"),
    [
        pytest.param([], 999, False, id="nothing seen"),
        pytest.param([job("queued")], 120, False, id="two hours are given"),
        pytest.param([job("queued")], 121, True, id="longer than two hours"),
        pytest.param([job("pending"), job("queued", 100)], 121, True, id="pending and queued count together"),
        pytest.param([job("queued", 90, created_at=T0)], 121, True, id="counts from creation"),
        pytest.param([job("queued"), job("running", 130)], 500, False, id="recovers when it leaves the queue"),
        pytest.param([job("queued"), job("completed", 130)], 500, False, id="queued to completed"),
        pytest.param(
            [job("running", 1, created_at=T0), job("queued", 300, created_at=T0)],
            400,
            False,
            id="back to the queue: new",
        ),
        pytest.param([job("running", 1), job("queued", 300)], 421, True, id="and too long there"),
        pytest.param([job("queued", usual_wait_seconds=600.0)], 40, False, id="four times the usual wait are given"),
        pytest.param([job("queued", usual_wait_seconds=600.0)], 41, True, id="longer than four times the usual wait"),
        pytest.param([job("queued", usual_wait_seconds=1.0)], 20, False, id="a short usual wait proves little"),
        pytest.param([job("queued", usual_wait_seconds=1.0)], 21, True, id="but twenty minutes are enough then"),
        pytest.param([job("queued", usual_wait_seconds=90000.0)], 121, True, id="the limit holds all the same"),
    ],
)
def test_fires_while_it_waits_too_long(observations: list[Observation], minutes: float, *, told: bool) -> None:
    findings = found(QueueTime(), observations, minutes)

    assert list(findings) == (["queued"] if told else [])
    assert all(f.severity is Severity.WARNING and not f.notice for f in findings.values())


def test_the_message_names_the_place() -> None:
    finding = found(QueueTime(), [job("queued", queue_depth=3)], 150)["queued"]

    assert finding.reason == ("The job has been queued for 2 h 30 min, longer than 2 h; place in the queue: 3.")
    assert "place in the queue: unknown" in found(QueueTime(), [job("queued")], 150)["queued"].reason


def test_the_message_says_what_is_usual() -> None:
    finding = found(QueueTime(), [job("queued", usual_wait_seconds=600.0)], 50)["queued"]

    assert "longer than 40 min, and this account's jobs usually wait 10 min" in finding.reason
    assert ("usual wait", "10 min") in finding.evidence
