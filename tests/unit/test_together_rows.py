"""From recorded bodies to rows, checkpoints and identities: every trap of the API's description."""

import json
import math
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from watcher.domain.holes import Torn
from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.providers.together import mapping
from watcher.service.known import KnownRows

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "together-api-examples.json").read_text(encoding="utf-8")
)
AT = datetime(2026, 7, 2, 12, 0, tzinfo=UTC)
ID = "ft-0f1e2d3c-4b5a-4697-8877-665544332211"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
ROW_KEYS = st.sampled_from([*sorted(mapping.METRIC_KEYS), "eval/accuracy", "train/kl"])


def body(name: str) -> Any:
    return RECORDED[name]["body"]


def rows(*items: object) -> tuple[Row, ...]:
    return mapping.metrics(items, ID, AT).rows


# --- metrics


def test_the_documented_sample_has_three_train_rows_and_an_eval_row() -> None:
    found = mapping.metrics(body("metrics_docs_sample")["metrics"], ID, AT)

    assert found.rows == (
        TrainRow(1, 1779196193564587000, 2.43, 1.21, 1e-05),
        TrainRow(2, 1779196253564587000, 2.11, 0.94, 9e-06),
        TrainRow(3, 1779196313564587000, 1.98, 0.87, 8e-06),
        EvalRow(3, 1779196314564587000, 2.05),
    )
    assert (found.drift, found.torn) == ((), None)


def test_the_early_stopped_run_has_its_evals_at_every_twelfth_step() -> None:
    found = rows(*body("metrics_train_and_eval_early_stop")["metrics"])

    assert [(row.step, row.loss) for row in found if isinstance(row, EvalRow)] == [
        (12, 0.61), (24, 0.5), (36, 0.45), (48, 0.4213), (60, 0.4301), (72, 0.4388),
    ]  # fmt: skip


@pytest.mark.parametrize("index", range(4), ids=["bare tokens", "null", "strings", "missing"])
def test_every_way_to_write_no_number_is_a_row_without_a_usable_loss(index: int) -> None:
    value = from_json(RECORDED["metrics_nonfinite_variants_raw_text"]["bodies_as_text"][index])
    row = rows(*value["metrics"])[0]

    assert isinstance(row, TrainRow)
    assert (row.step, row.at_ns, row.lr) == (7, 1779196193564587000, 1e-05)
    assert row.loss is None or math.isnan(row.loss)
    assert row.grad_norm is None or math.isinf(row.grad_norm)


def test_numbers_as_strings_are_the_same_row() -> None:
    as_text = {
        "timestamp": "1779196193564587000", "train/global_step": "7", "train/loss": "0.5", "train/grad_norm": "1",
    }  # fmt: skip

    assert rows(as_text) == (TrainRow(7, 1779196193564587000, 0.5, 1.0),)


def test_numbers_as_floats_are_the_same_row() -> None:
    as_float = {"timestamp": 1.779196193564587e18, "train/global_step": 7.0, "train/loss": 1}

    assert rows(as_float) == (TrainRow(7, 1779196193564587000, 1.0),)


@pytest.mark.parametrize("step", [None, "x", 7.5, -1, math.nan, True, [], 2**70], ids=repr)
def test_a_row_without_a_usable_step_is_counted(step: object) -> None:
    found = mapping.metrics([{"train/global_step": step, "train/loss": 1.0}, {"train/global_step": 2}], ID, AT)

    assert ([row.step for row in found.rows], found.torn) == ([2], Torn(1))


@pytest.mark.parametrize("kind", ["train", "eval"])
@pytest.mark.parametrize(("loss", "told"), [("low", 1), ([], 1), ({"a": 1}, 1), (None, 0), ("NaN", 0)], ids=repr)
def test_a_loss_that_cannot_be_read_is_not_a_loss_that_is_missing(kind: str, loss: object, told: int) -> None:
    found = mapping.metrics([{"train/global_step": 2, f"{kind}/loss": loss}], ID, AT)

    assert (len(found.rows), found.torn is not None) == (1 - told, bool(told))


@pytest.mark.parametrize("item", [None, 3, "row", [], {}], ids=repr)
def test_what_is_no_row_is_counted(item: object) -> None:
    assert mapping.metrics([item], ID, AT).torn == Torn(1, trailing=1)


def test_a_row_without_a_time_has_the_same_key_at_every_look() -> None:
    assert rows({"train/global_step": 3, "train/loss": 1.0}) == (TrainRow(3, 0, 1.0),)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        pytest.param({"eval/loss": 0.5}, EvalRow, id="eval loss"),
        pytest.param({"eval/rewards": 0.5}, EvalRow, id="eval key without a loss"),
        pytest.param({"eval/loss": None}, EvalRow, id="eval loss null: it was not finite"),
        pytest.param({"eval/loss": 0.5, "train/loss": None}, EvalRow, id="eval row with a filler"),
        pytest.param({"eval/loss": 0.5, "train/learning_rate": 1e-5}, EvalRow, id="eval row with a learning rate"),
        pytest.param({"eval/loss": None, "train/loss": 0.5}, TrainRow, id="train row with a filler"),
        pytest.param({"train/loss": 0.5}, TrainRow, id="train loss"),
        pytest.param({"train/epoch": 0.5}, TrainRow, id="train row that lost its loss"),
    ],
)
def test_eval_rows_are_told_from_train_rows(row: dict[str, object], kind: type) -> None:
    assert isinstance(rows({"train/global_step": 3, **row})[0], kind)


def test_unpublished_keys_are_told_once_each() -> None:
    extra = {"train/global_step": 1, "train/rewards/chosen": 0.1, "eval/kl": 2, "other": 1}
    found = mapping.metrics([extra, extra], ID, AT)

    assert [(drift.what, drift.word) for drift in found.drift] == [
        ("metric", "eval/kl"), ("metric", "other"), ("metric", "train/rewards/chosen"),
    ]  # fmt: skip


def test_an_answer_full_of_new_words_is_told_up_to_a_bound() -> None:
    found = mapping.metrics([{"train/global_step": 1, **{f"{'k' * 300}{n}": n for n in range(500)}}], ID, AT)

    assert 0 < len(found.drift) <= 50
    assert all(len(drift.word) <= 100 for drift in found.drift)


# --- checkpoints and identity


def test_checkpoints_are_newest_first_with_what_from_checkpoint_takes() -> None:
    found = mapping.checkpoints(body("checkpoints_early_stopped")["data"][::-1], ID)

    assert [(entry.step, entry.final, entry.reference) for entry in found] == [
        (48, True, ID), (48, True, ID), (24, False, f"{ID}:24"),
    ]  # fmt: skip
    assert found[0].type == "Final Adapter"


def test_an_intermediate_checkpoint_without_a_step_is_left_out() -> None:
    items = [{"checkpoint_type": "INTERMEDIATE"}, {"checkpoint_type": "Final"}, None, {"step": 9}]
    found = mapping.checkpoints(items, ID)

    assert [(entry.step, entry.type) for entry in found] == [(None, "Final"), (9, "")]


@pytest.mark.parametrize(
    ("value", "project", "organization"),
    [
        ({"type": "project_api_key", "project": {"id": "p", "name": "n"}, "organization": {"id": "o"}}, "n", "o"),
        ({"type": "org_api_key", "organization": {"id": "o", "name": "Acme"}}, None, "Acme"),
        ({"project": {"id": "p", "slug": "s"}, "organization": "Acme"}, "s", "Acme"),
        ({}, None, None),
    ],
    ids=["project key", "organization key", "short forms", "nothing"],
)
def test_identities(value: dict[str, object], project: str | None, organization: str | None) -> None:
    found = mapping.identity(value)

    assert (found.project_name, found.organization) == (project, organization)


# --- any JSON at all


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.dictionaries(ROW_KEYS, ANY_JSON) | ANY_JSON, max_size=5))
def test_every_row_is_read_or_counted(items: list[object]) -> None:
    found = mapping.metrics(items, ID, AT)

    assert len(found.rows) + (found.torn.count if found.torn else 0) == len(items)


ODD: list[object] = [None, True, -3, 0, 1, 2, 2.0, "2", 10**9, 1e18, math.nan, math.inf, [], {}, 2**64]
KNOWN = KnownRows([*product((0, 1, 2, 3), (0, 1, 2, 10**9)), (~2, 1)])


@pytest.mark.parametrize("more", [{}, {"eval/loss": 1.0}, {"train/kl": 1.0}, {"train/loss": "?"}], ids=str)
def test_nothing_but_known_train_rows_is_left_out(more: dict[str, object]) -> None:
    """Whatever stands for a step and a time, beside ordinary rows: the same rows are new, counted and told of."""
    for step, at_ns in product(ODD, ODD):
        odd = {"train/global_step": step, "timestamp": at_ns, "train/loss": 1.0, **more}
        before = [
            {"train/global_step": 1, "timestamp": 1},
            {**odd, "timestamp": 3, "train/global_step": 3, "train/loss": 1.0},
        ]
        items = [*before, odd, {"train/global_step": 9, "timestamp": 9}, {"train/global_step": 8, "timestamp": 8}]
        whole, found = mapping.metrics(items, ID, AT), mapping.metrics(items, ID, AT, KNOWN)

        assert KNOWN.unseen(found.rows) == KNOWN.unseen(whole.rows), odd
        assert (found.drift, found.torn) == (whole.drift, whole.torn), odd


def test_a_row_is_the_same_after_ordinary_rows_as_alone() -> None:
    """What is usual in a train row is read at once; it must come to what is read by what may be anything."""
    usual = {"timestamp": 1, "train/global_step": 1, "train/loss": 1.0, "train/grad_norm": 1.0}
    for key, value in product(usual, [*ODD, 2**63 - 1, 2**63, 3.5e38, "NaN", -math.inf]):
        item = {**usual, key: value}

        assert repr(rows(usual, item)[1:]) == repr(rows(item)), item


def test_a_known_row_is_left_out() -> None:
    items = [{"timestamp": 10**9 + n, "train/global_step": n, "train/loss": 1.0} for n in range(4)]
    found = mapping.metrics(items, ID, AT, KnownRows((n, 10**9 + n) for n in range(3)))

    assert (found.rows, found.repeated) == ((TrainRow(3, 10**9 + 3, 1.0),), 3)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(ANY_JSON, max_size=5), st.dictionaries(st.sampled_from(["project", "organization"]), ANY_JSON))
def test_no_checkpoint_and_no_identity_raises(items: list[object], value: dict[str, object]) -> None:
    mapping.checkpoints(items, ID)
    mapping.identity(value)
