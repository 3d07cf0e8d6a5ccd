import pytest

from tests.unit.rules.lifecycle import event, found, job, judged
from watcher.domain.observations import Observation
from watcher.domain.rules.cancellation import Cancellation
from watcher.domain.verdicts import CLEAR, Severity, Unknown


@pytest.mark.parametrize(
    ("observations", "minutes", "told"),
    [
        pytest.param([], 0, False, id="nothing seen"),
        pytest.param([job("cancel_requested")], 30, False, id="asked for, and not yet cancelled"),
        pytest.param([job("error")], 30, False, id="an error is no cancel"),
        pytest.param([job("cancelled"), event("cancel_requested", -1)], 0, True, id="the log says that somebody asked"),
        pytest.param([event("cancel_requested", -1), job("cancelled")], 0, True, id="the same, read before the end"),
        pytest.param([job("cancelled"), event("job_stopped", 1)], 1, True, id="an entry after the end and no billing"),
        pytest.param([job("cancelled"), event("job_start", -9)], 1, False, id="an old entry proves nothing"),
        pytest.param([job("cancelled")], 9, False, id="no entry yet: a billing entry may still come"),
        pytest.param([job("cancelled")], 10, True, id="no entry for ten minutes"),
        pytest.param([job("cancelled"), event("billing_limit", -1)], 20, False, id="billing is another rule's"),
        pytest.param([job("cancelled"), event("watcher_cancelled", -1)], 20, False, id="our own cancel"),
        pytest.param([event("watcher_cancelled", -1), job("cancelled")], 20, False, id="our own cancel, known before"),
        pytest.param(
            [event("watcher_cancelled", -2), event("cancel_requested", -1), job("cancelled")],
            20,
            False,
            id="our own cancel is logged by the service as well",
        ),
    ],
)
def test_tells_a_cancel_by_somebody_else(observations: list[Observation], minutes: float, *, told: bool) -> None:
    assert list(found(Cancellation(), observations, minutes)) == (["cancelled"] if told else [])


def test_it_says_that_it_waits() -> None:
    assert isinstance(judged(Cancellation(), [job("cancelled")], 1), Unknown)
    assert judged(Cancellation(), [job("running")], 1) is CLEAR


def test_the_message_holds_the_numbers() -> None:
    ended = job("cancelled", 3, total_price_nano=10_000_000_000, total_steps=120, steps_completed=60)

    finding = found(Cancellation(), [ended, event("cancel_requested", 2)], 4)["cancelled"]

    assert "60 of 120" in finding.reason
    assert finding.severity is Severity.WARNING
    assert finding.notice
    assert "completed steps stay billed" in finding.reason


def test_nothing_is_made_up_when_nothing_is_known() -> None:
    finding = found(Cancellation(), [job("cancelled")], 11)["cancelled"]

    assert dict(finding.evidence) == {"cancel requested": "not in the event log"}
