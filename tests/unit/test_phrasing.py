from datetime import UTC, datetime, timedelta

import pytest

from watcher.domain import phrasing


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-9, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (29 * 60, "29 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (277200, "3 d 5 h"),
    ],
)
def test_span(seconds: float, said: str) -> None:
    assert phrasing.span(timedelta(seconds=seconds)) == said


def test_clock() -> None:
    assert phrasing.clock(datetime(2026, 7, 1, 9, 5, tzinfo=UTC)) == "2026-07-01 09:05 UTC"


@pytest.mark.parametrize(
    ("done", "planned", "said"),
    [(72, 120, "72 of 120"), (72, None, "72 (plan unknown)"), (None, 120, "")],
)
def test_steps(done: int | None, planned: int | None, said: str) -> None:
    assert phrasing.steps(done, planned) == said


def test_quote_makes_one_short_line() -> None:
    assert phrasing.quote(" a\n\tb ") == "a b"
    assert phrasing.quote("x" * 300) == "x" * 199 + "…"


def test_slug_keeps_plain_characters() -> None:
    assert phrasing.slug("event:Ö b/c_1") == "event:__b/c_1"


def test_pairs_leave_out_what_is_not_known() -> None:
    assert phrasing.pairs(("a", "1"), ("b", None), ("c", "")) == (("a", "1"),)
