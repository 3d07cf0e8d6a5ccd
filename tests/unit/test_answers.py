"""What answers say of a send, without a network."""

import threading

import pytest

from watcher.notify.answers import Answer, failure, http_answer, recorded, smtp_answer, wait_seconds
from watcher.service.errors import FailureReason

DATE = "Mon, 23 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("header", "date", "expected"),
    [
        pytest.param(None, None, None, id="none"),
        pytest.param("", None, None, id="empty"),
        pytest.param("7", None, 7, id="seconds"),
        pytest.param("0.65", None, 0.65, id="a fraction, as Discord sends"),
        pytest.param("-5", None, 0, id="negative"),
        pytest.param("nan", None, None, id="not a number"),
        pytest.param("inf", None, None, id="infinite"),
        pytest.param("99999999", None, 86_400, id="longer than a day"),
        pytest.param("soon", DATE, None, id="a word"),
        pytest.param("Mon, 23 Nov 2026 10:02:00 GMT", DATE, 120, id="a date, against the server's own clock"),
        pytest.param("Mon, 23 Nov 2026 10:02:00 GMT", None, None, id="a date without a clock to compare"),
        pytest.param("Mon, 23 Nov 2026 10:02:00", DATE, None, id="a date without a zone"),
    ],
)
def test_retry_after_is_read_in_all_its_forms(header: str | None, date: str | None, expected: float | None) -> None:
    assert wait_seconds(header, date) == expected


@pytest.mark.parametrize("status", range(300, 600))
def test_only_refusals_that_no_retry_can_change_are_permanent(status: int) -> None:
    answer = http_answer(status, "3")
    may_pass = status >= 500 or status in {302, 303, 307, 408, 409, 421, 423, 425, 429}

    assert answer.permanent == (not may_pass)
    assert answer.retry_after == (3 if may_pass else None)


@pytest.mark.parametrize("code", [220, 250, 334, 354])
def test_smtp_goes_on(code: int) -> None:
    assert smtp_answer(code).reason is None


GONE = http_answer(404)
DOWN = http_answer(503, "9")
FINE = http_answer(200)


@pytest.mark.parametrize(
    ("answers", "reason", "permanent", "retry_after"),
    [
        pytest.param([], FailureReason.NETWORK, False, None, id="nothing was seen"),
        pytest.param([FINE], FailureReason.PAYLOAD, False, None, id="200, but the plug-in did not like the body"),
        pytest.param([FINE, GONE], FailureReason.NOT_FOUND, True, None, id="one of two is gone"),
        pytest.param([DOWN, GONE], FailureReason.SERVER, False, 9, id="one of two may take it later"),
        pytest.param(
            [Answer(reason=FailureReason.TIMEOUT)], FailureReason.TIMEOUT, False, None, id="an error without a status"
        ),
    ],
)
def test_a_failure_is_permanent_only_when_every_refusal_was(
    answers: list[Answer], reason: FailureReason, *, permanent: bool, retry_after: float | None
) -> None:
    error = failure("slack", answers)

    assert (error.reason, error.permanent, error.retry_after) == (reason, permanent, retry_after)
    assert str(error).startswith("slack: ")


def test_each_thread_records_its_own() -> None:
    seen: list[list[Answer]] = []

    def elsewhere() -> None:
        with recorded() as answers:
            seen.append(answers)

    with recorded() as mine:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    assert seen[0] is not mine
