import math
from typing import Any

import pytest

from tests.unit.rules.lifecycle import event, found, job, judged, ns
from watcher.domain.early_stopping import EarlyStopping
from watcher.domain.observations import EvalRow, Observation
from watcher.domain.rules.early_stop import EarlyStop
from watcher.domain.verdicts import CLEAR, Severity, Unknown


def evals(*losses: float | None) -> list[Observation]:
    """One evaluation every 12 steps."""
    return [EvalRow(12 * i, ns(i), loss) for i, loss in enumerate(losses, start=1)]


DOCUMENTED = evals(0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388)
HALT = event("early_stopped", 10, step=72, best_step=48, best_metric=0.4213, total_steps=120)
NULL = event("early_stopped", 10, step=24, best_step=24)


def ended(status: str = "completed", **fields: Any) -> Observation:
    return job(status, 12, early_stopped=True, total_steps=120, **fields)


def test_the_documented_example_is_explained() -> None:
    finding = found(EarlyStop(), [*DOCUMENTED, HALT, ended(best_step=48, total_price_nano=9_840_000_000)], 12)[
        "stopped"
    ]

    assert finding.reason == (
        "The provider stopped the run early at step 72 of 120: patience was used up by 2 evals without enough "
        "improvement (0.4301 at step 60, 0.4388 at step 72); the best eval loss is 0.4213; step 48 ships."
    )
    assert finding.severity is Severity.INFO
    assert finding.notice
    assert (finding.step, finding.onset) == (72, 48)
    assert dict(finding.evidence) == {
        "best eval loss": "0.4213 at step 48",
        "ships step": "48",
        "evals that used up patience": "0.4301 at step 60, 0.4388 at step 72",
        "settings": "consistent with patience 2, min_delta 0, warm-up 1, the documented defaults; the API does not "
        "tell them",
    }


@pytest.mark.parametrize(
    ("observations", "minutes", "kinds"),
    [
        pytest.param([], 0, [], id="nothing seen"),
        pytest.param([job("completed", early_stopped=False), *DOCUMENTED], 60, [], id="a run to the end"),
        pytest.param([job("completed"), *DOCUMENTED], 60, [], id="an old job without the field"),
        pytest.param([HALT, *DOCUMENTED[:4]], 11, [], id="waits for the evaluation at the halt"),
        pytest.param([HALT, *DOCUMENTED[:4]], 12, ["stopped"], id="but only two minutes"),
        pytest.param([HALT, *reversed(DOCUMENTED)], 10, ["stopped"], id="rows after the entry, in any order"),
        pytest.param([ended(best_step=48, best_metric=0.42)], 14, ["stopped"], id="told by the job alone"),
        pytest.param([NULL, *evals(0.5, math.nan)], 11, [], id="a null metric in the log alone waits for the job"),
        pytest.param([NULL, ended(), *evals(0.5, math.nan)], 10, ["no_best"], id="null in both is a broken model"),
        pytest.param([ended(best_metric=math.nan)], 14, ["no_best"], id="a metric that is not finite is none"),
        pytest.param([ended(), HALT], 14, ["stopped"], id="the log has the metric, the job has not"),
        pytest.param([event("early_stopped", 10)], 14, ["no_best"], id="an empty entry, and nothing else ever"),
    ],
)
def test_tells_an_early_stop_once_it_can_be_explained(
    observations: list[Observation], minutes: float, kinds: list[str]
) -> None:
    assert list(found(EarlyStop(), observations, minutes)) == kinds


def test_it_says_that_it_waits() -> None:
    assert isinstance(judged(EarlyStop(), [HALT], 10), Unknown)
    assert judged(EarlyStop(), [job("running")], 1) is CLEAR


def test_no_best_is_critical_and_shows_the_evaluations() -> None:
    finding = found(EarlyStop(), [NULL, ended(), *evals(None, math.inf)], 10)["no_best"]

    assert finding.severity is Severity.CRITICAL
    assert "not finite at step 12, not finite at step 24" in finding.reason
    assert "step 24 ships, and may be a broken model" in finding.reason


def test_no_best_beside_finite_evaluations_says_both() -> None:
    finding = found(EarlyStop(), [NULL, ended(), *evals(0.5, math.nan)], 10)["no_best"]

    assert finding.severity is Severity.CRITICAL
    assert "no finite best loss, though there were finite ones (the last evals: 0.5 at step 12" in finding.reason
    assert "a non-finite stop; step 24 ships, and may be a broken model" in finding.reason
    assert ("lowest eval seen", "0.5 at step 12") in finding.evidence


def test_no_best_with_finite_evaluations_only_does_not_claim_a_cause() -> None:
    finding = found(EarlyStop(), [NULL, ended(), *evals(0.5, 0.4)], 10)["no_best"]

    assert "why it stopped is not known" in finding.reason


def test_evaluations_that_the_service_counts_and_were_not_seen_leave_the_settings_unknown() -> None:
    finding = found(EarlyStop(), [*DOCUMENTED, HALT, ended(evals_completed=7)], 14)["stopped"]

    assert "patience was used up by 2 evals" in finding.reason
    assert "settings" not in dict(finding.evidence)


def test_the_configured_settings_are_held_against_the_halt() -> None:
    rule = EarlyStop(early_stopping=EarlyStopping(patience=3))
    told = dict(found(rule, [*DOCUMENTED, HALT, ended()], 12)["stopped"].evidence)["settings"]

    assert told.startswith("those configured (patience 3, min_delta 0, warm-up 1) do not lead to this halt; consistent")


def test_no_best_without_anything_known() -> None:
    finding = found(EarlyStop(), [event("early_stopped", 10)], 14)["no_best"]

    assert "early: no evaluation gave a finite best loss" in finding.reason
    assert "the step that ships is not known" in finding.reason


def test_a_non_finite_last_evaluation_is_told_from_patience() -> None:
    halt = event("early_stopped", 10, step=60, best_step=48, best_metric=0.4213)

    finding = found(EarlyStop(), [halt, *evals(0.61, 0.50, 0.45, 0.4213, math.nan)], 10)["stopped"]

    assert "the eval loss at step 60 was not finite" in finding.reason


def test_evaluations_that_were_not_seen_are_not_made_up() -> None:
    finding = found(EarlyStop(), [HALT, *DOCUMENTED[:4]], 14)["stopped"]

    assert "whether patience was used up or a loss was not finite is not known" in finding.reason
    assert "settings" not in dict(finding.evidence)


def test_a_corrected_evaluation_replaces_the_first() -> None:
    fixed = EvalRow(72, ns(6), 0.5555)

    assert "0.5555 at step 72" in found(EarlyStop(), [HALT, *DOCUMENTED, fixed], 14)["stopped"].reason


@pytest.mark.parametrize(
    ("knobs", "losses", "status", "told"),
    [
        pytest.param(None, (0.5, 0.6), "running", False, id="without the knobs there is no forecast"),
        pytest.param(EarlyStopping(patience=2), (0.5, 0.6), "running", True, id="one of two used up"),
        pytest.param(EarlyStopping(patience=2), (0.5, 0.4), "running", False, id="improving"),
        pytest.param(EarlyStopping(patience=2), (0.5, 0.6, 0.4), "running", False, id="an improvement takes it back"),
        pytest.param(EarlyStopping(patience=2), (0.5, 0.6), "completed", False, id="over"),
        pytest.param(EarlyStopping(patience=1), (0.5,), "running", False, id="patience 1 would always hold"),
        pytest.param(EarlyStopping(patience=3), (0.5, 0.6), "running", False, id="two of three left"),
        pytest.param(EarlyStopping(patience=2, warmup=2), (0.5, 0.6), "running", False, id="warm-up is not counted"),
        pytest.param(EarlyStopping(patience=2, min_delta=0.1), (0.5, 0.45), "running", True, id="too small a gain"),
        pytest.param(EarlyStopping(patience=2), (None, None), "running", False, id="nothing finite to compare with"),
        pytest.param(EarlyStopping(patience=3, min_delta=0.05), (0.5, 0.45, 0.46), "running", True, id="one reading"),
        pytest.param(EarlyStopping(patience=2, min_delta=0.05), (0.5, 0.45, 0.46), "running", True,
                     id="the other reading would have halted it, so it is not the service's"),
        pytest.param(EarlyStopping(patience=2), (0.5, None), "running", False, id="it should have halted, and did not"),
        pytest.param(EarlyStopping(patience=2), tuple(range(250, 0, -1)), "running", False, id="many, all improving"),
        pytest.param(EarlyStopping(patience=2), (1, *range(2, 299)), "running", False, id="long past patience"),
        pytest.param(EarlyStopping(patience=2), (*range(300, 1, -1), 9), "running", True, id="after very many evals"),
    ],
)  # fmt: skip
def test_forecast(knobs: EarlyStopping | None, losses: tuple[float | None, ...], status: str, *, told: bool) -> None:
    rule = EarlyStop(early_stopping=knobs)

    findings = found(rule, [*evals(*losses), job(status)], 60)

    assert list(findings) == (["forecast"] if told else [])
    assert all(f.severity is Severity.INFO and not f.notice for f in findings.values())


def test_the_forecast_names_what_is_used_up() -> None:
    rule = EarlyStop(early_stopping=EarlyStopping(patience=2))

    finding = found(rule, [job("running"), *evals(0.5, 0.6)], 9)["forecast"]

    assert "1 of 2 are used up (0.6 at step 24) since the best, 0.5 at step 12" in finding.reason


def test_the_forecast_says_where_the_documentation_leaves_it_open() -> None:
    rule = EarlyStop(early_stopping=EarlyStopping(patience=3, min_delta=0.05))

    reason = found(rule, [job("running"), *evals(0.5, 0.45, 0.46)], 9)["forecast"].reason

    # A decrease of exactly min_delta: either two are used up since 0.5, or one since 0.45.
    assert reason.startswith("One more evaluation without improvement may end the run: 2 of 3 are used up")
    assert reason.endswith("or 2 more, since how the service reads min_delta is not documented.")


def test_after_the_last_planned_evaluation_nothing_is_forecast() -> None:
    rule = EarlyStop(early_stopping=EarlyStopping(patience=2))

    assert list(found(rule, [job("running", n_evals=3), *evals(0.5, 0.6)], 9)) == ["forecast"]
    assert list(found(rule, [job("running", n_evals=2), *evals(0.5, 0.6)], 9)) == []
