"""The readers of single JSON values: what each takes, and that none ever raises."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.providers.together import wire

READERS: tuple[Callable[[object], object], ...] = (
    wire.record,
    wire.entries,
    wire.text,
    wire.integer,
    wire.count,
    wire.positive,
    wire.number,
    wire.finite,
    wire.flag,
    wire.moment,
    wire.nanoseconds,
    wire.level,
    wire.event_type,
    wire.job_id,
)
ODD_TEXTS = st.sampled_from(
    [
        "NaN",
        "-Infinity",
        "1e999",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "1_000",
        "9" * 5000,
        "٣",
        "\ud800",
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text() | ODD_TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)  # the machine may be busy
@given(ANY_JSON)
def test_no_reader_raises_on_any_json(value: object) -> None:
    for read in READERS:
        read(value)


@settings(deadline=None)  # the machine may be busy
@given(ANY_JSON)
def test_what_is_read_fits_a_database(value: object) -> None:
    whole, text, at = wire.integer(value), wire.text(value), wire.moment(value)

    assert whole is None or -(2**63) < whole < 2**63
    assert 0 <= wire.nanoseconds(value) < 2**63
    assert text is None or ("\x00" not in text and text.encode("utf-8"))
    assert at is None or at.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, 12),
        (12.0, 12),
        ("12", 12),
        (" 12 ", 12),
        ("12.0", 12),
        ("1e3", 1000),
        (-3, -3),
        (12.5, None),
        ("12.5", None),
        ("max", None),
        ("", None),
        (True, None),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        ("1_000", None),
        (2**63, None),
        (4_000_000_000, 4_000_000_000),
        ([1], None),
    ],
    ids=repr,
)
def test_whole_numbers(value: object, expected: int | None) -> None:
    assert wire.integer(value) == expected


def test_zero_and_negative_numbers_are_told_apart() -> None:
    assert (wire.count(0), wire.count(-1), wire.positive(0), wire.positive("7")) == (0, None, None, 7)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (1, 1.0),
        ("1.5e-05", 1.5e-05),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("inf", math.inf),
        (1.7976931348623157e308, math.inf),
        (-3.4028234663852886e38, -math.inf),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        ("", None),
        ("n/a", None),
        (False, None),
        (None, None),
        ({}, None),
    ],
    ids=repr,
)
def test_floats(value: object, expected: float | None) -> None:
    assert wire.number(value) == expected


@pytest.mark.parametrize("value", [math.nan, "NaN", "nan", " NaN "], ids=repr)
def test_nan_in_all_its_forms(value: object) -> None:
    read = wire.number(value)

    assert read is not None
    assert math.isnan(read)
    assert wire.finite(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "2026-07-01T09:00:00.120Z",
        "2026-07-01T09:00:00.12Z",
        "2026-07-01T09:00:00.120000000Z",
        "2026-07-01T09:00:00.120+00:00",
        "2026-07-01T11:00:00.120+02:00",
        "2026-07-01T09:00:00.120",
        "2026-07-01T09:00:00.120000",
        "2026-07-01 09:00:00.120Z",
        " 2026-07-01T09:00:00.120Z\n",
    ],
    ids=repr,
)
def test_a_time_in_every_form_is_the_same_aware_moment(value: str) -> None:
    assert wire.moment(value) == datetime(2026, 7, 1, 9, 0, 0, 120_000, tzinfo=UTC)


@pytest.mark.parametrize("value", ["", "yesterday", "0001-01-01T00:00:00Z", "Tue Oct  3 15:06:01 PDT 2023", 17, None])
def test_what_is_no_time_is_none(value: object) -> None:
    assert wire.moment(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1779196193564587001, 1779196193564587001, id="int: exact to the last digit"),
        pytest.param("1779196193564587001", 1779196193564587001, id="string: exact too"),
        pytest.param(1.779196193564587e18, 1779196193564587000, id="float: the microseconds that were logged"),
        pytest.param("1.779196193564587e+18", 1779196193564587000, id="float in a string"),
        pytest.param("2026-05-19T13:09:53.564587Z", 1779196193564587000, id="ISO time"),
        pytest.param(None, 0, id="missing"),
        pytest.param(math.nan, 0, id="NaN"),
        pytest.param(-5, 0, id="negative"),
        pytest.param(10**30, 0, id="beyond 64 bits"),
        pytest.param(True, 0, id="bool"),
    ],
)
def test_nanoseconds(value: object, expected: int) -> None:
    assert wire.nanoseconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        (None, None),
        ("info", "info"),
        ("Info", "info"),
        ("Warning", "warning"),
        ("Error", "error"),
        ("legacy_info", "info"),
        ("legacy_iwarning", "warning"),
        ("legacy_ierror", "error"),
        ("iWarning", "warning"),
        ("Fatal", "fatal"),
        (3, None),
    ],
    ids=repr,
)
def test_levels(value: object, expected: str | None) -> None:
    assert wire.level(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("JOB_PENDING", "job_pending"),
        ("job_pending", "job_pending"),
        ("COMPRESSING_MODEL", "model_compressing"),
        ("MODEL_COMPRESSING", "model_compressing"),
        ("Brand_New", "brand_new"),
        ("", None),
    ],
    ids=repr,
)
def test_event_types(value: object, expected: str | None) -> None:
    assert wire.event_type(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("false", False), ("True", True), (1, True), (0, False), ("no", None), (2, None)],
    ids=repr,
)
def test_flags(value: object, expected: bool | None) -> None:  # noqa: FBT001 - a table of values
    assert wire.flag(value) is expected


def test_half_a_surrogate_pair_and_a_nul_become_what_a_database_takes() -> None:
    assert wire.text("a\ud800b\x00c") == "a?b\ufffdc"


@pytest.mark.parametrize("value", ["", ".", "..", "a b", "a\n", "x" * 201, 7, None, "é"])
def test_ids_that_would_change_the_path_are_refused(value: object) -> None:
    assert wire.job_id(value) is None


@pytest.mark.parametrize("value", ["ft-0f1e2d3c-4b5a-4697-8877-665544332211", "ft-01234567890123456789", "a/../b"])
def test_ids_of_other_forms_pass(value: str) -> None:
    assert wire.job_id(value) == value
