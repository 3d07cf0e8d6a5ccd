import pytest

from tests.unit.rules.lifecycle import at, found
from watcher.domain.observations import Drift, SweepOutcome
from watcher.domain.rules.drift import DriftRule
from watcher.domain.verdicts import Severity


def drift(what: str, word: str, minutes: float = 0) -> Drift:
    return Drift(at=at(minutes), what=what, word=word, job_id="ft-1")


def test_without_an_unknown_word_it_is_clear() -> None:
    assert found(DriftRule(), [], 0) == {}


def test_each_word_is_told_once() -> None:
    findings = found(
        DriftRule(), [drift("status", "paused"), drift("event", "paused"), drift("status", "paused", 9)], 9
    )

    assert list(findings) == ["status:paused", "event:paused"]
    assert all(f.severity is Severity.INFO and f.notice for f in findings.values())
    assert '"paused"' in findings["status:paused"].reason


def test_a_word_of_any_form_makes_a_short_plain_kind() -> None:
    (kind,) = found(DriftRule(), [drift("metric", "train/é\n" + "x" * 300)], 0)

    assert kind == "metric:train/__" + "x" * 65


def test_at_most_fifty_words_are_kept() -> None:
    assert len(found(DriftRule(), [drift("event", f"e{i}") for i in range(80)], 0)) == 50


def sweeps(words: str, apart: float = 0.5) -> list[SweepOutcome]:
    """One letter a sweep: `r` had rows that could not be made out, `.` had none, `x` did not see the account."""
    unread = {"r": (("rows", 2, "ft-1"),)}
    return [
        SweepOutcome(at=at(i * apart), reason="timeout" if w == "x" else None, unreadable=unread.get(w, ()))
        for i, w in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("words", "apart", "told"),
    [
        pytest.param("rrrr", 0.5, False, id="a few"),
        pytest.param("rrrrr", 0.5, True, id="it goes on"),
        pytest.param("r.r..r.r.r", 0.5, True, id="not in each"),
        pytest.param("rrrr" + 30 * "." + "r", 0.5, False, id="quiet for a quarter of an hour between them"),
        pytest.param("rrrrr" + 29 * ".", 0.5, True, id="not quiet for long enough"),
        pytest.param("rrrrr" + 30 * ".", 0.5, False, id="over"),
        pytest.param("rrrrr" + 30 * "x", 0.5, True, id="nothing is known of it while nothing is seen"),
        pytest.param("rrrrr", 10, True, id="an account that is swept rarely"),
    ],
)
def test_what_cannot_be_made_out_is_told_when_it_goes_on(words: str, apart: float, *, told: bool) -> None:
    findings = found(DriftRule(), sweeps(words, apart), 99)

    assert list(findings) == (["unreadable:rows"] if told else [])


def test_it_says_how_much_and_where() -> None:
    finding = found(DriftRule(), [drift("status", "paused"), *sweeps("rrrrrr")], 99)["unreadable:rows"]

    assert (finding.severity, finding.notice) == (Severity.WARNING, False)
    assert finding.reason.startswith(
        "In 6 sweeps within 2 min some rows that the API gave could not be made out, 12 in"
    )
    assert dict(finding.evidence)["first seen in"] == "ft-1"
