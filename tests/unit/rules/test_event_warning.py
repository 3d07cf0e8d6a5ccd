from tests.unit.rules.lifecycle import event, found
from watcher.domain.rules.event_warning import EventWarning
from watcher.domain.verdicts import Severity


def test_only_warnings_are_told() -> None:
    log = [event("job_start"), event("job_error", 1, "x", level="error"), event("refund", 2, "x", level="info")]

    assert found(EventWarning(), log, 3) == {}


def test_a_warning_is_known_by_type_or_by_level_in_any_form() -> None:
    log = [
        event("warning", 0, "a"),
        event("odd", 1, "b", level="legacy_iwarning"),
        event("odd", 2, "c", level="Warning"),
    ]

    findings = found(EventWarning(), log, 3)

    assert len(findings) == 3
    assert all(f.severity is Severity.INFO and f.notice for f in findings.values())


def test_the_same_warning_with_other_numbers_is_told_once() -> None:
    log = [event("warning", i, f"retrying shard {i} of 9", step=i) for i in range(9)]

    (finding,) = found(EventWarning(), log, 9).values()

    assert 'on 2026-07-01 09:00 UTC: "retrying shard 0 of 9".' in finding.reason
    assert finding.step is None


def test_a_warning_names_its_step() -> None:
    (finding,) = found(EventWarning(), [event("warning", 0, "slow", step=7)], 9).values()

    assert "at step 7" in finding.reason
    assert finding.step == 7


def test_a_warning_without_words_is_told_too() -> None:
    (finding,) = found(EventWarning(), [event("warning", 0, "")], 9).values()

    assert "without a message" in finding.reason


def test_at_most_twenty_are_kept() -> None:
    log = [event("warning", 0, "x" * i) for i in range(60)]

    assert len(found(EventWarning(), log, 9)) == 20
