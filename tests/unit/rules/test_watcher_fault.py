from tests.unit.rules.lifecycle import at, found
from watcher.domain.observations import Fault
from watcher.domain.rules.watcher_fault import WatcherFault
from watcher.domain.verdicts import Severity


def fault(kind: str, key: str = "", *, over: bool = False) -> Fault:
    return Fault(at=at(0), kind=kind, key=key, detail="no space left", over=over)


def test_without_a_fault_it_is_clear() -> None:
    assert found(WatcherFault(), [fault("store", over=True)], 0) == {}


def test_faults_are_told_apart_by_kind_and_key() -> None:
    findings = found(WatcherFault(), [fault("rule_crash", "a"), fault("rule_crash", "b"), fault("rule_crash", "a")], 0)

    assert list(findings) == ["rule_crash:a", "rule_crash:b"]
    assert all(f.severity is Severity.CRITICAL and not f.notice for f in findings.values())
    assert "no space left" in findings["rule_crash:a"].reason


def test_a_fault_ends_when_it_is_over_and_the_others_stay() -> None:
    assert list(found(WatcherFault(), [fault("store"), fault("clock"), fault("store", over=True)], 0)) == ["clock"]


def test_a_kind_that_is_not_known_is_told_too() -> None:
    assert "(gremlin)" in found(WatcherFault(), [fault("gremlin")], 0)["gremlin"].reason


def test_at_most_a_hundred_are_kept() -> None:
    assert len(found(WatcherFault(), [fault("dead_letter", str(i)) for i in range(150)], 0)) == 100
