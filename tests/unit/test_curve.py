import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.domain import codec
from watcher.domain.curve import CAPACITY, Curve, sparkline

LOSSES = st.lists(st.one_of(st.none(), st.floats()), max_size=300)


def curve(*values: float | None) -> Curve:
    series = Curve()
    for value in values:
        series.add(value)
    return series


def test_a_short_series_is_kept_as_it_is() -> None:
    assert curve(3.0, None, 1.0).values() == [3.0, None, 1.0]


def test_a_row_that_is_not_finite_stays_visible() -> None:
    (value,) = curve(math.inf).values()

    assert value is not None
    assert math.isnan(value)


def test_a_full_series_is_halved_by_means() -> None:
    series = curve(*[float(i) for i in range(CAPACITY + 2)])

    assert series.stride == 2
    assert series.values() == [2 * i + 0.5 for i in range(CAPACITY // 2 + 1)]


def test_gaps_do_not_pull_a_mean_down() -> None:
    series = curve(None, 4.0, *[2.0] * (CAPACITY - 2), 2.0)

    assert series.values()[0] == 4.0
    assert curve(4.0, None, *[2.0] * (CAPACITY - 1)).values()[0] == 4.0
    assert curve(*[None] * (CAPACITY + 1)).values() == [None] * (CAPACITY // 2 + 1)


def test_most_not_finite_makes_a_bucket_so() -> None:
    series = curve(math.nan, 4.0, math.nan, None, *[2.0] * (CAPACITY - 4), 2.0)

    assert [math.isnan(v) for v in series.values()[:3] if v is not None] == [True, True, False]


@given(LOSSES)
def test_any_series_stays_small_finite_and_storable(values: list[float | None]) -> None:
    series = curve(*values)

    stored = json.loads(json.dumps(codec.encode(series), allow_nan=False))
    assert codec.decode(Curve, stored) == series
    assert len(series.buckets) <= CAPACITY
    assert sum(bucket.rows for bucket in series.buckets) == len(values)
    assert all(math.isfinite(bucket.mean) for bucket in series.buckets)
    assert len(sparkline(series.values(), 20)) == min(20, len(series.buckets))


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        pytest.param([], 8, "", id="nothing"),
        pytest.param([1.0], 0, "", id="no room"),
        pytest.param([1.0, 2.0, 3.0], 8, "▁▅█", id="fewer values than room"),
        pytest.param([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 8, "█▇▆▅▄▃▂▁", id="falling"),
        pytest.param([2.0, 2.0], 8, "▄▄", id="flat"),
        pytest.param([1.0, None, math.nan, math.inf, 2.0], 8, "▁·××█", id="gaps and what is not finite"),
        pytest.param([None, math.nan], 8, "·×", id="nothing finite"),
        pytest.param([1.0, 1.0, 9.0, 9.0], 2, "▁█", id="means of neighbours"),
        pytest.param([1.0, None, 9.0, math.nan], 2, "▄×", id="neighbours of unlike kinds"),
        pytest.param([-1e308, 1e308], 2, "▁█", id="very large numbers"),
    ],
)
def test_sparkline(values: list[float | None], width: int, drawn: str) -> None:
    assert sparkline(values, width) == drawn
