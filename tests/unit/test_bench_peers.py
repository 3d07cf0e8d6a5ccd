"""The re-stated rules of the bench's peers, on rows small enough to check by hand."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.compare import Line, _outcome, markdown, write
from bench.detection_score import score
from bench.peers.base import Peer, Row, Run, follow
from bench.peers.restated import (
    EvalPatience,
    KillLossSpike,
    LossNotDecreasing,
    LossWatchdog,
    MegatronSpiky,
    PageHinkley,
    PatientPruner,
    SageMakerOverfit,
    StartThreshold,
    TerminateOnNaN,
    TransformersPatience,
    all_restated,
)

NAN, INF = math.nan, math.inf


def stops(peer: Peer, *, train: Sequence[float] = (), evals: Sequence[float] = (), run: Run | None = None) -> list[int]:
    """The places, from 1, of the rows at which the peer spoke; all train rows come before the evaluations."""
    rows: list[Row] = [("train", step, loss) for step, loss in enumerate(train, 1)]
    rows += [("eval", len(train) + step, loss) for step, loss in enumerate(evals, 1)]
    return [int(event.step) for event in follow(peer, run or Run(), rows)]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [([2.0, 1.0, NAN, 1.0], [3]), ([2.0, INF], [2]), ([2.0, 1.0, 0.0], [])],
)
def test_terminate_on_nan_stops_at_the_first_row_that_is_not_finite(losses: list[float], expected: list[int]) -> None:
    assert stops(TerminateOnNaN(), train=losses) == expected


def test_a_threshold_of_twice_the_start_is_passed_by_one_row() -> None:
    peer = StartThreshold("x")
    assert stops(peer, train=[1.0, 2.0, 2.01]) == [3]
    assert stops(peer, train=[NAN, 1.0]) == [1]
    assert stops(StartThreshold("x", nan=False, infinite=False), train=[NAN, 1.0, 2.5]) == [3]


def test_patience_counts_evaluations_without_a_new_best() -> None:
    peer = EvalPatience("x", patience=3, finite=True)
    assert stops(peer, evals=[2.0, 1.0, 1.0, 1.1, 1.2, 0.5]) == [5]
    assert stops(peer, evals=[2.0, 2.1, 2.2, 1.0, 1.1]) == []
    assert stops(peer, evals=[2.0, INF]) == [2]


def test_a_first_nan_can_become_a_best_that_nothing_beats() -> None:
    peer = EvalPatience("x", patience=0, nan_is_best=True, never_first=True)
    assert stops(peer, evals=[NAN, 1.0]) == [2]
    assert stops(peer, evals=[2.0, 1.0, 1.0]) == [3]


def test_warmup_evaluations_are_never_bad() -> None:
    peer = EvalPatience("x", patience=2, finite=True, warmup=3)
    assert stops(peer, evals=[1.0, 1.1, 1.2, 1.3, 1.4]) == [5]


def test_transformers_stops_at_the_first_evaluation_that_is_no_better() -> None:
    assert stops(TransformersPatience(), evals=[2.0, 1.0, 1.0]) == [3]
    assert stops(TransformersPatience(), evals=[NAN, 5.0, NAN]) == [3]


def test_patient_pruner_never_prunes_a_run_that_is_nan_to_its_end() -> None:
    assert stops(PatientPruner(patience=1), evals=[1.0, 2.0, 2.0]) == [3]
    assert stops(PatientPruner(patience=1), evals=[1.0, NAN, NAN, NAN]) == []


def test_kill_loss_spike_needs_five_outliers_in_a_row_after_a_full_window() -> None:
    assert stops(KillLossSpike(window=10), train=[1.0] * 10 + [9.0] * 4 + [1.0] * 10) == []
    assert stops(KillLossSpike(window=10), train=[1.0] * 10 + [50.0, 50.0]) == []
    # The outliers raise the mean that they are measured against: 3.0 is soon below twice the mean.
    assert stops(KillLossSpike(window=10), train=[1.0] * 10 + [3.0] * 9) == []
    assert stops(KillLossSpike(window=20), train=[1.0] * 20 + [9.0, 9.0, 9.0, 9.0, 9.0]) == [25]


def test_kill_loss_spike_reports_half_a_window_above_the_cap_once() -> None:
    assert stops(KillLossSpike(window=4), train=[1.0] * 8 + [11.0] * 8) == [11]
    assert stops(KillLossSpike(window=4), train=[12.0] * 4 + [11.0] * 12) == []


def test_kill_loss_spike_says_nothing_in_a_run_shorter_than_its_window() -> None:
    assert stops(KillLossSpike(), train=[1.0] * 50 + [9.0] * 50) == []
    assert stops(KillLossSpike(), train=[1.0] * 120 + [9.0] * 20, run=Run(planned_rows=4000)) == []


def test_megatron_compares_with_the_largest_of_the_first_hundred() -> None:
    assert stops(MegatronSpiky(), train=[1.2] * 100 + [11.9, 12.0]) == [102]
    assert stops(MegatronSpiky(), train=[1.2, NAN]) == [2]


def test_a_watchdog_wants_three_high_rows_in_a_row() -> None:
    assert stops(LossWatchdog(), train=[1.0, 3.0, 3.0, 1.0, 3.0, 3.0, 3.0]) == [7]


def test_loss_not_decreasing_compares_single_rows_ten_steps_apart() -> None:
    assert stops(LossNotDecreasing(), train=[2.0] + [9.0] * 9 + [1.9] + [1.0] * 9 + [1.95]) == [21]


def test_overfit_reports_the_second_evaluation_that_is_a_tenth_above_train() -> None:
    rows: list[Row] = []
    for at, loss in enumerate([1.05, 1.2, 1.3, 1.4, 1.0, 1.2, 1.2]):
        rows += [("train", 10 * at + 1, 1.0), ("eval", 10 * at + 2, loss)]
    assert [event.step for event in follow(SageMakerOverfit(), Run(), rows)] == [22, 62]


def test_page_hinkley_ignores_what_is_no_number_and_begins_anew_after_a_report() -> None:
    assert stops(PageHinkley(), train=[1.0] * 40 + [NAN] * 100) == []
    first, second, *_ = stops(PageHinkley(), train=[1.0] * 40 + [6.0] * 40 + [60.0] * 40)
    assert 40 < first < 80 < second


def test_no_peer_stumbles_over_numbers_that_are_none() -> None:
    for peer in all_restated():
        for strange in ([NAN] * 300, [INF] * 300, [0.0] * 300, [-1.0, NAN, INF, -INF] * 80):
            stops(peer, train=strange, evals=strange)


def test_a_detector_that_makes_no_claim_has_no_figure_for_the_rule() -> None:
    label = {"verdict": "nonfinite", "cancel_ok": True, "cancel_ok_from": 3, "onset": 3, "flags": []}
    run = {"id": "a", "train": [[s, 1.0, None, None] for s in range(1, 11)], "eval": [], "label": label}
    scores = score([run], [_outcome("a", [(4, ["nan_loss"])])], ids=False)
    line = Line("it", "x", reports=True, scores=scores, claims=frozenset({"nan_loss"}))
    assert list(markdown([line]))[-1] == "| it \\* | 0 (0) of 0 | 0.86 | 1 of 1 | - | 1/1, 0/0, 10.0/10.0 | - | - |"


def test_a_table_replaces_the_one_between_the_marks_of_its_file(tmp_path: Path) -> None:
    document = tmp_path / "x.md"
    document.write_text("a\n<!-- table b.gz -->\nold\n<!-- end -->\nc\n<!-- table d.gz -->\nkept\n<!-- end -->\n")
    write(document, "b.gz", ["new", "er"])
    assert document.read_text() == (
        "a\n<!-- table b.gz -->\nnew\ner\n<!-- end -->\nc\n<!-- table d.gz -->\nkept\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="no marks"):
        write(document, "e.gz", [])
