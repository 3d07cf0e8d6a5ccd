from tests.unit.rules.lifecycle import at, found, job
from watcher.domain.observations import Gone
from watcher.domain.rules.deleted import Deleted
from watcher.domain.verdicts import Severity


def test_a_job_that_is_there_is_not_deleted() -> None:
    assert found(Deleted(), [job("running")], 1) == {}


def test_a_running_job_that_is_gone_is_told_with_its_last_status() -> None:
    finding = found(Deleted(), [job("running", 0, steps_completed=7, total_steps=9), Gone(at(5)), Gone(at(6))], 6)[
        "deleted"
    ]

    assert finding.reason == (
        "The job was deleted before it had ended: it was running at step 7 of 9, and on 2026-07-01 09:05 UTC the API "
        "did not know it any more; its checkpoints and model are gone with it."
    )
    assert finding.severity is Severity.WARNING
    assert finding.notice


def test_a_finished_job_that_is_gone_says_so() -> None:
    finding = found(Deleted(), [job("completed", 0, output_name="me/model"), Gone(at(5))], 6)["deleted"]

    assert "after it had ended: it was completed, and" in finding.reason
    assert ("model", "me/model") in finding.evidence


def test_a_job_that_is_seen_again_was_not_deleted() -> None:
    assert found(Deleted(), [job("running"), Gone(at(5)), job("running", 6)], 6) == {}


def test_a_job_never_seen_has_an_unknown_status() -> None:
    assert "it was unknown, and" in found(Deleted(), [Gone(at(5))], 6)["deleted"].reason
