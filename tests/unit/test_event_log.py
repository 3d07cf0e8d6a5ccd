from datetime import UTC, datetime

import pytest

from watcher.domain.event_log import Said, earliest, highest, is_error, is_warning, job_id_in, later
from watcher.domain.observations import Event

T0 = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
T1 = datetime(2026, 7, 1, 9, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "level", "error", "warning"),
    [
        ("job_error", None, True, False),
        ("job_user_error", "", True, False),
        ("odd", "error", True, False),
        ("odd", "legacy_ierror", True, False),
        ("warning", None, False, True),
        ("odd", "Warning", False, True),
        ("odd", "legacy_iwarning", False, True),
        ("odd", "info", False, False),
    ],
)
def test_levels_in_every_form(kind: str, level: str | None, *, error: bool, warning: bool) -> None:
    entry = Event(type=kind, at=T0, level=level)

    assert (is_error(entry), is_warning(entry)) == (error, warning)


def test_later_prefers_words_then_time() -> None:
    assert later(None, Event(type="x", at=T0, message=" a ")) == Said(T0, "a")
    assert later(Said(T0, "a"), Event(type="x", at=T1, message="b")) == Said(T1, "b")
    assert later(Said(T0, "a"), Event(type="x", at=T1, message="")) == Said(T0, "a")
    assert later(Said(T1, "a"), Event(type="x", at=T0, message="b")) == Said(T1, "a")


def test_earliest_and_highest_take_what_is_known() -> None:
    assert earliest(None, None) is None
    assert earliest(T0, None) == earliest(None, T0) == earliest(T1, T0) == T0
    assert highest(None, 0) is None
    assert highest(3, None) == highest(0, 3) == highest(3, 2) == 3


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("Job restarted as ft-eeee-0000-5.", "ft-eeee-0000-5"),
        ("new id: ft-12ab", "ft-12ab"),
        ("restarted", None),
        ("draft-1", None),
    ],
)
def test_a_job_id_in_a_message(text: str, job: str | None) -> None:
    assert job_id_in(text) == job
