"""Plain values to JSON and back."""

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.domain import codec
from watcher.domain.curve import Bucket
from watcher.domain.observations import (
    Drift,
    EvalRow,
    Event,
    Fault,
    Gone,
    Observation,
    Snapshot,
    Status,
    SweepOutcome,
    TrainRow,
    Unreadable,
)
from watcher.domain.rules import RULES
from watcher.service.jsontext import text_of, value_of


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float | None = None


@dataclass(slots=True)
class Everything:
    number: float = 1.5
    count: int = 3
    word: str = "ü"
    flag: bool = True
    nothing: int | None = None
    at: datetime = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
    span: timedelta = timedelta(seconds=90.5)
    colour: Colour = Colour.RED
    points: list[Point] = field(default_factory=lambda: [Point(1.0), Point(2.0, 3.0)])
    pair: tuple[int, str] = (1, "a")
    many: tuple[Point, ...] = (Point(0.0),)
    names: dict[str, Point] = field(default_factory=lambda: {"a": Point(1.0)})
    steps: dict[int, float] = field(default_factory=lambda: {7: 1.0})
    triples: list[tuple[str, str, int]] = field(default_factory=lambda: [("a", "b", 3)])


AT = datetime(2026, 11, 23, tzinfo=UTC)
SEEN: list[Observation] = [
    Snapshot(job_id="ft-1", at=AT, status=Status.RUNNING, raw_status="running", created_at=AT, total_steps=500),
    *(TrainRow(step, step, 2.0 - step / 200, 0.5, 1e-5) for step in range(1, 200)),
    *(EvalRow(step, step, value) for step, value in ((50, 2.0), (100, 1.5), (150, math.nan))),
    TrainRow(200, 200, math.nan, math.inf, None),
    TrainRow(201, 201, -math.inf, None, 1e-320),
    Event(type="warning", at=AT, message="half \ud800 pair", step=201),
    Drift(at=AT, what="metric", word="ü", job_id="ft-1"),
    Fault(at=AT, kind="store", key="x", detail="ü"),
    SweepOutcome(at=AT, reason="timeout", unreadable=(("rows", 3, "ft-1"),)),
    Unreadable(AT),
    Gone(AT),
]


def round_trip(hint: Any, value: Any) -> Any:
    text = json.dumps(codec.encode(value), allow_nan=False)
    return codec.decode(hint, json.loads(text))


def test_everything_comes_back_as_it_was() -> None:
    assert round_trip(Everything, Everything()) == Everything()


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.0, -0.0, 1e-320, 0.1])
def test_numbers_come_back_exactly(value: float) -> None:
    assert repr(round_trip(Point, Point(value)).x) == repr(value)


def test_fast_text_says_the_same() -> None:
    values = [Everything(), Point(math.nan, -math.inf), Point(1e-320), Everything(word="half \ud800 pair")]
    for value in values:
        assert repr(codec.decode(type(value), json.loads(text_of(value)))) == repr(round_trip(type(value), value))
    assert json.loads(text_of(Point(1.0), gaps=False)) == {"x": 1.0}
    assert json.loads(text_of(Everything(word="\ud800"), gaps=False))["word"] == "\ud800"


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_fast_text_of_a_rules_state_says_the_same(kind: Any) -> None:
    rule = kind()
    state = rule.start()
    for seen in SEEN:
        if isinstance(seen, rule.sees):
            rule.observe(state, seen)

    assert repr(codec.decode(type(state), value_of(text_of(state)))) == repr(round_trip(type(state), state))


_plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec=None))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@settings(max_examples=40)
@given(_plain)
def test_fast_values_are_the_same(value: Any) -> None:
    text = json.dumps(value)

    assert repr(value_of(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", ["", "{", "[1,]", '{"a" 1}', "no JSON", '"\\x"'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        value_of(text)


def test_nan_comes_back_as_nan() -> None:
    assert math.isnan(round_trip(Point, Point(1.0, math.nan)).y)


def test_a_whole_number_where_a_float_is_meant_is_a_float() -> None:
    assert repr(codec.decode(Point, {"x": 1}).x) == "1.0"


def test_a_missing_key_takes_the_default_and_an_unknown_one_is_dropped() -> None:
    assert codec.decode(Point, {"x": 1.0, "later": 5}) == Point(1.0)


def test_a_named_tuple_is_an_array_and_was_an_object_before() -> None:
    bucket = Bucket(4, 3, 1, 2.5, 8)

    assert codec.encode(bucket) == [4, 3, 1, 2.5, 8]
    assert codec.decode(Bucket, [4, 3, 1, 2.5, 8]) == bucket
    assert codec.decode(Bucket, {"rows": 4, "finite": 3, "bad": 1, "mean": 2.5, "end": 8}) == bucket
    assert codec.decode(Bucket, [4, 3]) == Bucket(4, 3)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        pytest.param(Point, {}, id="a field without a default is missing"),
        pytest.param(Point, [1], id="a list for an object"),
        pytest.param(Point, {"x": "word"}, id="a word for a number"),
        pytest.param(Everything, {"colour": "blue"}, id="a word that is none of the enum"),
        pytest.param(Everything, {"pair": [1]}, id="a tuple that is too short"),
        pytest.param(Everything, {"at": "yesterday"}, id="no date"),
    ],
)
def test_what_does_not_fit_is_refused(hint: type[Any], value: object) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        codec.decode(hint, value)


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(TypeError, match="not a plain value: object"):
        codec.encode({"a": object()})
