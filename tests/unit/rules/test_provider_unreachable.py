import pytest

from tests.unit.rules.lifecycle import at, found
from watcher.domain.observations import SweepOutcome
from watcher.domain.rules.provider_unreachable import ProviderUnreachable
from watcher.domain.verdicts import Severity


def sweeps(words: str) -> list[SweepOutcome]:
    return [SweepOutcome(at=at(i), reason=None if w == "ok" else w, detail="said") for i, w in enumerate(words.split())]


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        pytest.param("", [], id="no sweep yet"),
        pytest.param("ok", [], id="a good sweep"),
        pytest.param("auth", [], id="one refusal may be a slip"),
        pytest.param("auth auth", ["auth"], id="a refused key after two"),
        pytest.param("billing billing", ["billing"], id="no money after two"),
        pytest.param("forbidden forbidden", ["forbidden"], id="a key that may not, after two"),
        pytest.param("server server", [], id="two server errors pass"),
        pytest.param("server server server", ["server"], id="three server errors"),
        pytest.param("timeout network payload", ["payload"], id="three of different kinds, named by the last"),
        pytest.param("timeout timeout timeout network network", ["timeout"], id="one outage is one alert"),
        pytest.param("server server server auth", ["server"], id="one refusal in an outage changes nothing"),
        pytest.param("server server server auth auth", ["auth"], id="a refusal that lasts is told anew"),
        pytest.param("auth auth server server server", ["auth"], id="a refused key stays until the account is seen"),
        pytest.param("auth ok auth", [], id="a good sweep ends the row"),
        pytest.param("auth auth ok", [], id="recovers with the first good sweep"),
        pytest.param("auth auth ok server", [], id="counts anew after it"),
        pytest.param("odd odd odd", ["odd"], id="a reason that is not known"),
    ],
)
def test_fires_when_sweeps_fail_in_a_row(words: str, kinds: list[str]) -> None:
    assert list(found(ProviderUnreachable(), sweeps(words), 60)) == kinds


def test_the_message_says_that_nothing_is_concluded() -> None:
    finding = found(ProviderUnreachable(after=1), sweeps("rate_limited"), 1)["rate_limited"]

    assert "nothing is concluded" in finding.reason
    assert "1 sweep " in finding.reason
    assert finding.severity is Severity.CRITICAL
    assert not finding.notice
    assert ("detail", "said") in finding.evidence
