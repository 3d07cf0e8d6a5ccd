"""The picture of a run, judged by what is in the drawing; its look is in the snapshot beside this file."""

import math
import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from tests.samples import DIVERGENCE
from watcher.domain.alerts import Alert, AlertState, Subject
from watcher.domain.chart import HEIGHT, WIDTH, AlertMark, Chart, chart_of, draw
from watcher.domain.chart.data import LARGEST, gaps, series, smoothed
from watcher.domain.chart.frame import LEFT, RIGHT
from watcher.domain.chart.scale import Scale, short_label, step_label, value_label, value_scale
from watcher.domain.chart.svg import BLACK, PALE, SKY, VERMILION
from watcher.domain.chart.text import Flag, Placed, clean, fit, place, width
from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity

NAN = math.nan
LARGEST_DRAWING = 70_000
SVG = "{http://www.w3.org/2000/svg}"


def a_fall(first: int, last: int, *, every: int = 1) -> list[tuple[float, float | None]]:
    """A loss as it should be, with a ripple that looks like noise and is none."""
    return [(s, round(0.4 + 2 * math.exp(-s / 300) + 0.1 * math.sin(s * 1.7), 4)) for s in range(first, last, every)]


FULL = Chart(
    title="support_bot_v3 · ft-1a2b3c",
    subtitle="step 1,400 of 2,000",
    train=[
        *a_fall(1, 600, every=10),
        *((s, 3 + 0.3 * math.cos(s)) for s in range(600, 700, 10)),
        *a_fall(500, 1380, every=10),
        (1390, NAN),
        (1400, NAN),
    ],
    evals=[(100, 2.0), (400, 1.1), (800, 0.7), (1200, NAN)],
    learning_rate=[(s, round(1e-5 * (1 + math.cos(s / 640)), 9)) for s in range(1, 1400, 20)],
    grad_norm=[(s, round(1 + 0.5 * math.sin(s), 3)) for s in range(1, 1380, 20)],
    total_steps=2000,
    alerts=[
        AlertMark(rule="divergence", severity=Severity.CRITICAL, step=640, onset=600),
        AlertMark(rule="plateau (converged)", severity=Severity.WARNING, step=1350, onset=900),
        AlertMark(rule="nan_loss (train)", severity=Severity.CRITICAL, step=1400, onset=1390),
    ],
    cancel=1400,
    cancel_label="cancelled",
    checkpoints=(250, 500, 750, 1000, 1250),
)


class SvgFile(SingleFileSnapshotExtension):
    file_extension = "svg"
    _write_mode = WriteMode.TEXT


def parsed(chart: Chart) -> ET.Element:
    return ET.fromstring(draw(chart))  # noqa: S314 - our own drawing


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def boxes(root: ET.Element) -> Iterator[tuple[float, float, float, float]]:
    """Left, top, right and bottom of each text, at most."""
    for element in root.iter(f"{SVG}text"):
        size, x, y = (float(element.attrib[key]) for key in ("font-size", "x", "y"))
        wide = width(element.text or "", size)
        left = x - {"middle": wide / 2, "end": wide}.get(element.get("text-anchor", "start"), 0.0)
        if "transform" in element.attrib:
            yield x - size, y - wide / 2, x, y + wide / 2
        else:
            yield left, y - size, left + wide, y


def strokes(root: ET.Element, colour: str) -> list[str]:
    return [e.attrib["d"] for e in root.iter(f"{SVG}path") if e.get("stroke") == colour]


def numbers(path: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?[\d.]+", path)]


def test_looks_like_this(snapshot: SnapshotAssertion) -> None:
    assert draw(FULL) == snapshot(extension_class=SvgFile)


def test_is_the_same_each_time() -> None:
    assert draw(FULL) == draw(FULL)


# --- whatever comes in ---

readings = st.lists(st.tuples(st.floats() | st.integers(-5, 500), st.none() | st.floats()), max_size=40)
steps = st.floats() | st.integers(0, 10_000)
marks = st.builds(
    AlertMark,
    rule=st.text(max_size=60),
    severity=st.sampled_from(Severity),
    step=steps,
    onset=st.none() | steps,
)
charts = st.builds(
    Chart,
    title=st.text(max_size=120),
    subtitle=st.text(max_size=120),
    train=readings,
    evals=readings,
    learning_rate=readings,
    grad_norm=readings,
    total_steps=st.none() | steps,
    alerts=st.lists(marks, max_size=12),
    cancel=st.none() | steps,
    cancel_label=st.text(max_size=60),
    checkpoints=st.lists(steps, max_size=12),
)


@given(charts)
def test_any_run_is_a_drawing_with_everything_inside(chart: Chart) -> None:
    root = parsed(chart)

    assert (root.get("width"), root.get("height")) == (str(WIDTH), str(HEIGHT))
    for left, top, right, bottom in boxes(root):
        assert left >= 0
        assert top >= 0
        assert right <= WIDTH
        assert bottom <= HEIGHT
    for path in root.iter(f"{SVG}path"):
        assert all(0 <= n <= WIDTH for n in numbers(re.sub("[a-z][^A-Z]*", " ", path.attrib["d"])))


@given(readings)
def test_no_number_on_an_axis_is_written_twice(values: list[tuple[float, float | None]]) -> None:
    root = parsed(Chart(title="", train=values))
    ends = [e for e in root.iter(f"{SVG}text") if e.get("text-anchor") == "end"]

    assert len({e.text for e in ends}) == len(ends)


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("</text><script>alert(1)</script>", id="markup"),
        pytest.param('" onload="x', id="an attribute"),
        pytest.param("a\x00b\x1b[2J\x07", id="control characters"),
        pytest.param("\u202egnp\u200b", id="hidden formatting"),
        pytest.param("\ud800\ufffe\uffff", id="what XML can't hold"),
        pytest.param("<![CDATA[ ]]> &amp; <!-- -->", id="sections and entities"),
    ],
)
def test_hostile_text_stays_text(hostile: str) -> None:
    mark = AlertMark(rule=hostile, severity=Severity.WARNING, step=5)
    chart = Chart(title=hostile, subtitle=hostile, train=[(1, 1.0)], alerts=[mark], cancel=9, cancel_label=hostile)

    root = parsed(chart)

    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {"svg", "title", "rect", "text", "path"}
    assert all(
        set(e.attrib) <= {"font-size", "fill", "x", "y", "text-anchor", "transform"} for e in root.iter(f"{SVG}text")
    )
    assert not {"\x00", "\x1b", "\u202e", "\u200b"} & set(draw(chart))
    draw(chart).encode()


def test_the_longest_run_is_no_larger_than_a_mail_can_bear() -> None:
    count = 20_000
    wild: list[tuple[float, float | None]] = [
        (100_000 + s, NAN if s % 7 == 0 else math.exp(6 * math.sin(s * 1.3))) for s in range(count)
    ]
    chart = Chart(
        title="x" * 500,
        subtitle="y" * 500,
        train=wild + wild,
        evals=wild,
        learning_rate=wild,
        grad_norm=wild,
        total_steps=200_000,
        alerts=[
            AlertMark(rule="z" * 99, severity=Severity.CRITICAL, step=100_000 + 150 * s, onset=100_000 + 140 * s)
            for s in range(100)
        ],
        cancel=110_000,
        checkpoints=range(100_000, 120_000),
    )

    assert len(draw(chart)) < LARGEST_DRAWING


# --- where things are ---


def at_step(step: float) -> float:
    """The place of a step on an axis of 1,000."""
    return LEFT + step / 1000 * (RIGHT - LEFT)


def test_marks_stand_at_their_steps() -> None:
    mark = AlertMark(rule="divergence", severity=Severity.CRITICAL, step=500, onset=250)
    root = parsed(Chart(title="t", train=[(s, 1.0) for s in range(1001)], alerts=[mark], cancel=750, checkpoints=[100]))

    (pole,) = strokes(root, VERMILION)
    (shade,) = [e for e in root.iter(f"{SVG}rect") if "fill-opacity" in e.attrib]
    (cancel,) = strokes(root, BLACK)
    notch = next(e.attrib["d"] for e in root.iter(f"{SVG}path") if e.get("fill") == BLACK)

    assert numbers(pole)[0] == pytest.approx(at_step(500), abs=0.1)
    assert numbers(cancel)[0] == pytest.approx(at_step(750), abs=0.1)
    assert float(shade.attrib["x"]) == pytest.approx(at_step(250), abs=0.1)
    assert float(shade.attrib["x"]) + float(shade.attrib["width"]) == pytest.approx(at_step(500), abs=0.1)
    assert "divergence 500" in texts(root)
    assert "cancel 750" in texts(root)
    assert numbers(notch)[0] == pytest.approx(at_step(100), abs=0.1)


def test_what_was_planned_and_not_run_is_grey() -> None:
    root = parsed(Chart(title="t", train=[(s, 1.0) for s in range(501)], total_steps=1000))

    (grey,) = [e for e in root.iter(f"{SVG}rect") if e.get("fill") == PALE]
    assert float(grey.attrib["x"]) == pytest.approx((LEFT + RIGHT) / 2, abs=0.1)
    assert "plan: 1,000 steps" in texts(root)


def test_a_plan_hardly_begun_does_not_squeeze_the_run() -> None:
    root = parsed(Chart(title="t", train=[(s, 1.0) for s in range(10)], total_steps=10_000))

    assert "plan: 10,000 steps →" in texts(root)
    assert max(numbers(strokes(root, SKY)[0])) > LEFT + (RIGHT - LEFT) / 4


@pytest.mark.parametrize(
    ("chart", "note"),
    [
        pytest.param(Chart(title=""), "no rows yet", id="nothing at all"),
        pytest.param(Chart(title="", total_steps=9), "no rows yet", id="only a plan"),
        pytest.param(Chart(title="", train=[(1, NAN), (2, math.inf)]), "no finite loss", id="nothing finite"),
    ],
)
def test_a_run_without_a_curve_says_so(chart: Chart, note: str) -> None:
    assert note in texts(parsed(chart))
    assert "training run" in texts(parsed(chart))


@pytest.mark.parametrize(
    ("losses", "log"),
    [
        pytest.param([2.0, 1.0, 0.5], False, id="a usual fall"),
        pytest.param([2.0, 1.0, 45.0], True, id="a spike of forty times"),
        pytest.param([2.0] * 300 + [0.01], False, id="one lone small row"),
        pytest.param([5.0, -1.0, 900.0], False, id="negative losses"),
        pytest.param([0.0] * 20 + [1.0], False, id="mostly zero"),
    ],
)
def test_a_wide_range_is_drawn_on_a_logarithmic_axis(losses: list[float], *, log: bool) -> None:
    root = parsed(Chart(title="", train=list(enumerate(losses))))

    assert ("loss (nats, log)" in texts(root)) is log
    assert ("loss (nats)" in texts(root)) is not log


def test_the_legend_names_what_is_there_and_nothing_else() -> None:
    assert {"train", "smoothed", "eval", "earlier attempt", "not a number", "eval not a number", "checkpoint"} <= set(
        texts(parsed(FULL))
    )
    assert not {"smoothed", "eval", "checkpoint"} & set(texts(parsed(Chart(title="", train=[(1, 1.0)]))))


def test_alerts_without_room_for_a_flag_are_counted() -> None:
    crowd = [AlertMark(rule="divergence", severity=Severity.WARNING, step=50) for _ in range(40)]
    root = parsed(Chart(title="", train=[(s, 1.0) for s in range(100)], alerts=crowd))

    flags = [text for text in texts(root) if text == "divergence 50"]
    assert f"more alerts: {40 - len(flags)}" in texts(root)
    assert len(flags) > 1


# --- labels ---

flags = st.lists(st.builds(Flag, st.floats(LEFT, RIGHT), st.floats(20, 300)), max_size=12)


@given(flags)
def test_no_flag_lies_on_another_or_on_a_pole(wanted: list[Flag]) -> None:
    placed = [spot for spot in place(wanted, LEFT, WIDTH, 4) if spot is not None]

    assert placed or not wanted
    for one, other in combinations(placed, 2):
        assert one.row != other.row or one.right <= other.left or other.right <= one.left
        assert not _under(one, other)
        assert not _under(other, one)


def _under(label: Placed, pole: Placed) -> bool:
    return pole.row >= label.row and label.left < pole.pole < label.right


@given(st.text(max_size=80), st.floats(20, 400))
def test_text_is_cut_to_its_room(words: str, room: float) -> None:
    assert width(fit(words, 14, room), 14) <= room


def test_clean_text_is_one_line() -> None:
    assert clean("a\r\n b\u2028c\x00") == "a b c"


# --- numbers ---


@given(st.floats(-LARGEST, LARGEST), st.floats(-LARGEST, LARGEST))
def test_ticks_rise_inside_the_axis(one: float, other: float) -> None:
    scale = value_scale([one, other], 300, 0)
    ticks = scale.ticks(5)

    assert all(a < b for a, b in pairwise(ticks))
    assert len(ticks) <= 16
    assert all(-0.5 <= scale.at(tick) <= 300.5 for tick in ticks)
    assert all(0 <= scale.at(value) <= 300 for value in (one, other))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        pytest.param(Scale(0, 10, 0, 1), ["0", "2", "4", "6", "8", "10"], id="plain"),
        pytest.param(Scale(0.69, 0.695, 0, 1), ["0.69", "0.691", "0.692", "0.693", "0.694", "0.695"], id="near ln 2"),
        pytest.param(Scale(0, 1e-5, 0, 1), ["0", "2e-6", "4e-6", "6e-6", "8e-6", "1e-5"], id="tiny"),
        pytest.param(Scale(0, 2e6, 0, 1), ["0", "5e5", "1e6", "1.5e6", "2e6"], id="huge"),
    ],
)
def test_values_are_written_with_the_digits_that_tell_them_apart(scale: Scale, expected: list[str]) -> None:
    ticks = scale.ticks(5)

    assert expected == [value_label(tick, ticks[1] - ticks[0]) for tick in ticks]


@pytest.mark.parametrize(
    ("value", "largest", "expected"),
    [
        pytest.param(1200, None, "1,200", id="thousands"),
        pytest.param(250_000, None, "250k", id="hundreds of thousands"),
        pytest.param(2_500_000, None, "2.5M", id="millions"),
        pytest.param(0.25, None, "0.25", id="part of an epoch"),
        pytest.param(20_000, 120_000, "20k", id="as its neighbour is written"),
        pytest.param(0, 120_000, "0", id="zero has no unit"),
    ],
)
def test_steps_are_written_as_people_do(value: float, largest: float | None, expected: str) -> None:
    assert step_label(value, largest) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.000706, "0.000706"), (2091.4, "2090"), (3e8, "3e8"), (2e-5, "2e-5")]
)
def test_ends_of_a_lane_are_written_short(value: float, expected: str) -> None:
    assert short_label(value) == expected


# --- series ---


def test_a_lower_step_begins_a_new_attempt() -> None:
    found = series([(1, 1.0), (2, 2.0), (3, 3.0), (4, NAN), (2, 9.0), (5, 8.0)])

    assert list(found.points) == [(1, 1.0), (2, 9.0), (5, 8.0)]
    assert list(found.earlier) == [(2, 2.0), (3, 3.0)]
    assert list(found.bad) == []


def test_rows_that_are_no_number_interrupt_the_line() -> None:
    found = series([(1, 1.0), (2, NAN), (3, math.inf), (4, 2.0), (5, None), (6, 1e308), (NAN, 1.0)])

    assert list(found.points) == [(1, 1.0), (4, 2.0), (6, LARGEST)]
    assert found.breaks == frozenset({0, 1, 2})
    assert list(found.bad) == [2, 3]
    assert found.lone == found.points


def test_values_too_near_to_zero_are_zero() -> None:
    assert list(series([(1, 1e-200), (2, -5e-324)]).points) == [(1, 0.0), (2, 0.0)]


def test_a_spike_does_not_move_the_smoothed_line() -> None:
    points = [(float(s), 1e9 if s == 50 else 1.0) for s in range(100)]

    assert {value for _, value in smoothed(points)} == {1.0}
    assert smoothed(points[:5]) == ()


def test_the_smoothed_line_ends_where_the_rows_do_and_is_interrupted_where_they_are() -> None:
    points = [(float(s), 1.0) for s in range(1000) if not 400 <= s < 600]
    calm = smoothed(points)

    assert calm[0][0] == 0
    assert calm[-1][0] == 999
    (_, hole) = sorted(gaps(calm, [float(s) for s in range(400, 600)]))
    assert calm[hole - 1][0] < 400
    assert calm[hole][0] >= 600


# --- from rows ---


def test_a_chart_of_rows_shows_a_disguised_nan_as_one() -> None:
    rows: list[Row] = [TrainRow(1, 1, 2.0, 1.0, 1e-5), TrainRow(2, 2, 0.0, NAN), TrainRow(3, 3, 0.0, 1.0)]

    chart = chart_of("t", rows)

    assert [loss is not None and math.isnan(loss) for _, loss in chart.train] == [False, True, False]
    assert chart.learning_rate == [(1, 1e-5)]


def test_evaluations_of_an_earlier_attempt_are_void() -> None:
    rows: list[Row] = [
        TrainRow(5, 1, 1.0),
        EvalRow(5, 2, 7.0),
        EvalRow(9, 3, 8.0),
        TrainRow(6, 4, 1.0),
        TrainRow(5, 5, 1.0),
    ]

    assert chart_of("t", rows).evals == []
    assert chart_of("t", rows[:4]).evals == [(5, 7.0), (9, 8.0)]


def test_alerts_become_marks_where_they_have_a_step() -> None:
    alert = Alert(
        id="1",
        subject=Subject(kind=SubjectKind.JOB, account="a", job_id="ft-1"),
        rule="plateau",
        kind="stuck",
        severity=Severity.WARNING,
        state=AlertState.FIRING,
        episode=1,
        starts_at=DIVERGENCE.at,
        step=40,
        onset=10,
    )

    chart = chart_of("t", [], alerts=[alert])

    assert chart.alerts == [AlertMark(rule="plateau (stuck)", severity=Severity.WARNING, step=40, onset=10)]
