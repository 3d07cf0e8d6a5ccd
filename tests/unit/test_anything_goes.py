"""Whatever bytes come as an answer, a configuration or a recording: an answer in words, and never a crash.

`make fuzz` runs the same targets under a coverage-guided fuzzer; here they get what Hypothesis thinks of, within the
formats.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fuzz.targets import PLANTED, TARGETS, seeds
from tests.leaks import CANARY
from watcher.settings.model import sections

KEYS = sorted(
    {*sections(), *(key for keys in sections().values() for key in keys), "name", "match", "urls", "match_re"}
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        [
            "30s",
            "-1h",
            "off",
            "propose",
            f"json://127.0.0.1/{CANARY}",
            "${HOME}",
            "${MISSING}",
            "${",
            "*",
            PLANTED,
            "on",
        ]
    )
)
TREES = st.dictionaries(
    st.sampled_from(KEYS) | st.text(max_size=8),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    max_size=5,
)
VALUES = st.recursive(
    SCALARS | st.just(10**400) | st.sampled_from(["NaN", "1e999", "\ud800", "ft-1", "ERROR", "2026-01-01T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "status", "data", "metrics", "events", "train/loss", "eval/loss", "train/global_step",
                         "timestamp", "total_price", "progress", "early_stopped", "type", "created_at", "step", "train",
                         "eval", "config", "total_steps", "log_history", "max_steps", "loss", "eval_loss"]),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_the_inputs_that_the_fuzzer_starts_from_are_taken(target: str) -> None:
    found = seeds(target)
    for seed in found:
        TARGETS[target](seed)

    assert len(found) >= 3


@settings(deadline=None)
@given(TREES)
def test_any_tree_is_a_configuration_or_is_refused_in_words(tree: object) -> None:
    TARGETS["configuration"](json.dumps(tree).encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(VALUES)
def test_any_json_is_an_answer_that_is_read_or_refused(value: object) -> None:
    TARGETS["wire"](json.dumps(value).encode("utf-8", "surrogatepass"))
    TARGETS["recording"](json.dumps(value).encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    for target in TARGETS.values():
        target(data)
