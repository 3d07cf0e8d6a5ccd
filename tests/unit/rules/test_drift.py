from tests.unit.rules.lifecycle import at, found
from watcher.domain.observations import Drift
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
