"""Rule tests: the short notation, what they ask of the rules, and how a bad file is told."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.commands import restored_logs, run
from tests.leaks import CANARY
from tests.toys import High
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.observations import TrainRow
from watcher.domain.ruletest import (
    CancelExpected,
    Expected,
    RuleTest,
    Series,
    Steps,
    Value,
    failures,
    parse_series,
    recording_of,
)
from watcher.service.errors import ConfigError
from watcher.settings.ruletests import load_rule_tests

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "rule-tests.example.yaml"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("2", [2.0], id="one value"),
        pytest.param("2.0x3", [2.0] * 3, id="a value several times"),
        pytest.param("1.5-0.1x3", [1.5, 1.4, 1.3], id="down"),
        pytest.param("1+.5x3 9", [1.0, 1.5, 2.0, 9.0], id="up, and more after it"),
        pytest.param("-1e-3+1e-3x2", [-0.001, 0.0], id="exponents"),
        pytest.param("inf -infx2", [math.inf, -math.inf, -math.inf], id="infinities"),
        pytest.param("null nullx2", [None] * 3, id="rows without a value"),
        pytest.param("2.0x0 1", [1.0], id="no times"),
    ],
)
def test_a_series_is_read(text: str, numbers: list[float | None]) -> None:
    assert [value.number for value in parse_series(text)] == numbers


def test_what_is_no_number_is_not_a_number_and_a_gap_is_no_row() -> None:
    nan, gap = parse_series("NaN _")

    assert nan.number is not None
    assert math.isnan(nan.number)
    assert gap == Value(None, row=False)


@pytest.mark.parametrize(
    "text", ["", "two", "2x", "2.0×10", "1-0.1", "NaN+1", "1x-3", "2.0 x10", "1x2000000", "1x600000 1x600000"]
)
def test_what_is_no_series_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_series(text)


@given(st.text(alphabet="0123456789.+-xeNaninful_ ", max_size=20))
def test_any_text_is_a_series_or_refused(text: str) -> None:
    try:
        found = parse_series(text)
    except ValueError:
        return

    assert found


def test_rows_have_their_steps_and_gaps_leave_theirs_out() -> None:
    series = Series(
        train=parse_series("1 _ 3"),
        grad_norm=parse_series("7"),
        lr=parse_series("1 2 3"),
        evals=parse_series("5 6"),
        eval_every=2,
    )
    rows = recording_of("x", series).rows

    assert [(type(row).__name__, row.step, row.loss) for row in rows] == [
        ("TrainRow", 1, 1.0),
        ("EvalRow", 2, 5.0),
        ("TrainRow", 3, 3.0),
        ("EvalRow", 4, 6.0),
    ]
    assert [(row.grad_norm, row.lr) for row in rows if isinstance(row, TrainRow)] == [(7.0, 1.0), (7.0, 3.0)]


def a_test(*expect: Expected, cancel: CancelExpected | None = None, train: str = "2x5 9x5") -> RuleTest:
    recording = recording_of("x", Series(train=parse_series(train)), total_steps=10)
    return RuleTest(name="x", recording=recording, rules=(High(),), expect=expect, cancel=cancel)


@pytest.mark.parametrize(
    ("expected", "missed"),
    [
        pytest.param(Expected(rule="high"), "", id="a rule alone"),
        pytest.param(Expected(rule="high", kind="over", steps=Steps(first=6, last=6), reason="loss 9"), "", id="all"),
        pytest.param(
            Expected(rule="high", steps=Steps(first=7, last=9)), "a step from 7 to 9; got over at step 6", id="later"
        ),
        pytest.param(Expected(rule="high", kind="under"), "high (under); got over at step 6", id="another kind"),
        pytest.param(Expected(rule="high", reason="NaN"), "because of 'NaN'; got over at step 6", id="another reason"),
        pytest.param(Expected(rule="low"), "expected low; it did not fire", id="another rule"),
    ],
)
def test_an_expectation_is_met_or_says_what_came_instead(expected: Expected, missed: str) -> None:
    found = failures(a_test(expected), CancelPolicy())

    assert bool(found) is bool(missed)
    assert missed in " ".join(found)


def test_what_fires_beside_it_is_a_failure_too() -> None:
    assert failures(a_test(), CancelPolicy())[0].startswith("expected nothing more of high; got over at step 6")


def test_an_exact_expectation_is_not_robbed_by_a_vague_one() -> None:
    expect = (Expected(rule="high"), Expected(rule="high", steps=Steps(first=3, last=3)))

    assert failures(a_test(*expect, train="2x2 9 2x5 9"), CancelPolicy()) == []


@pytest.mark.parametrize(
    ("cancel", "missed"),
    [
        pytest.param(None, [], id="not looked at"),
        pytest.param(CancelExpected(none=True), [], id="none"),
        pytest.param(CancelExpected(), ["expected a cancel; got none"], id="any"),
        pytest.param(
            CancelExpected(steps=Steps(first=6, last=6), rule="high"),
            ["expected a cancel by high at step 6; got none"],
            id="by a rule at a step",
        ),
    ],
)
def test_the_cancel_is_looked_at_where_it_is_given(cancel: CancelExpected | None, missed: list[str]) -> None:
    assert failures(a_test(Expected(rule="high"), cancel=cancel), CancelPolicy()) == missed


# --- files ---


def test_the_example_passes() -> None:
    with restored_logs():
        done = run("check", "--rules", EXAMPLE)

    assert done.code == 0, done.out
    assert done.out.count("ok  ") == 3


def test_the_example_of_the_guide_passes(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "how-to" / "test-rules.md").read_text()
    path = tmp_path / "guide.yaml"
    path.write_text(guide.partition("```yaml\n")[2].partition("```")[0])
    with restored_logs():
        done = run("check", "--rules", path)

    assert done.code == 0, done.out


HEAD = "tests:\n  - name: x\n"
SERIES = "    series: {train: 2.0x30}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            HEAD + "    series: {train: two}\n    expect: []\n", ":3: tests[0].series.train: 'two'", id="notation"
        ),
        pytest.param(HEAD + SERIES, "tests[0].expect: expected a value", id="nothing expected"),
        pytest.param(HEAD + SERIES + "    expected: []\n", 'did you mean "expect"', id="misspelt"),
        pytest.param(
            HEAD + "    rule: divergance\n" + SERIES + "    expect: []\n", 'did you mean "divergence"', id="rule"
        ),
        pytest.param(
            HEAD + "    rule: stall\n" + SERIES + "    expect: [{rule: stall}]\n",
            "expected one of its rules on rows",
            id="clock",
        ),
        pytest.param(
            HEAD + "    rule: divergence\n    rules: {}\n" + SERIES + "    expect: []\n",
            "either rule or rules",
            id="both",
        ),
        pytest.param(
            HEAD + SERIES + "    expect: [{rule: divergence, step: 3, between: [1, 2]}]\n",
            "either step or between",
            id="when",
        ),
        pytest.param(
            HEAD + SERIES + "    expect: [{rule: divergence, between: [9, 2]}]\n", "[first, last]", id="order"
        ),
        pytest.param(
            HEAD + "    series: {train: 2.0x30, grad_norm: 1x3}\n    expect: []\n",
            "grad_norm to have one value, or 30",
            id="uneven",
        ),
        pytest.param("tests: []\n", "at least one entry", id="empty"),
    ],
)
def test_a_bad_file_is_told_with_place_key_and_what_was_expected(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with restored_logs():
        done = run("check", "--rules", path)

    assert done.code == 2
    assert told in done.err
    assert f"{path}:" in done.err


def test_a_failing_expectation_is_exit_1_and_says_what_came(tmp_path: Path) -> None:
    path = tmp_path / "failing.yaml"
    path.write_text(HEAD + SERIES + "    expect: [{rule: divergence, step: 3}]\n")
    with restored_logs():
        done = run("check", "--rules", EXAMPLE, path)

    assert done.code == 1
    assert "expected divergence at step 3; it did not fire" in done.out
    assert "1 of 4 rule tests failed" in done.err


def test_check_runs_the_rule_tests_that_the_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", CANARY)
    (tmp_path / "mine.yaml").write_text(HEAD + SERIES + "    expect: [{rule: divergence}]\n")
    (tmp_path / "watcher.yaml").write_text("rule_tests: [mine.yaml]\n")
    with restored_logs():
        done = run("check", "--config", tmp_path / "watcher.yaml")

    assert done.code == 1
    assert "FAILED" in done.err


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a readable settings file"):
        load_rule_tests(tmp_path / "none.yaml", {}, ())
