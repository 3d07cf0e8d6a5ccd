import pytest

from tests.unit.rules.lifecycle import found, job
from watcher.domain.observations import Observation
from watcher.domain.rules.budget import Budget
from watcher.domain.verdicts import Severity

DEAR = job("running", total_price_nano=9_840_000_000, total_steps=120, steps_completed=60)


@pytest.mark.parametrize(
    ("limit", "observations", "told"),
    [
        pytest.param(None, [DEAR], False, id="off without a limit"),
        pytest.param(9.0, [], False, id="nothing seen"),
        pytest.param(9.0, [job("queued", total_price_nano=0)], False, id="no price before tokenisation"),
        pytest.param(9.84, [DEAR], False, id="exactly the limit"),
        pytest.param(9.83, [DEAR], True, id="over the limit"),
        pytest.param(9.0, [DEAR, job("running")], True, id="a short form does not take the price back"),
        pytest.param(9.0, [DEAR, job("running", total_price_nano=10**9)], False, id="a lower price recovers"),
    ],
)
def test_fires_over_the_limit(limit: float | None, observations: list[Observation], *, told: bool) -> None:
    assert list(found(Budget(limit_dollars=limit), observations, 1)) == (["price"] if told else [])


def test_the_message_holds_price_and_limit() -> None:
    finding = found(Budget(limit_dollars=9), [DEAR], 1)["price"]

    assert finding.reason == ("The whole job costs $9.84 as the API gives it, $0.84 more than the limit of $9.00.")
    assert dict(finding.evidence) == {"limit": "$9.00", "steps done": "60 of 120"}
    assert finding.severity is Severity.WARNING
    assert not finding.notice


def test_what_is_not_known_is_not_made_up() -> None:
    finding = found(Budget(limit_dollars=1), [job("running", total_price_nano=9 * 10**9)], 1)["price"]

    assert dict(finding.evidence) == {"limit": "$1.00"}
