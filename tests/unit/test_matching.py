"""Matchers on labels: what they take, and what is no matcher."""

import pytest

from watcher.domain.matching import all_match, parse_matcher

LABELS = {"rule": "divergence", "suffix": "prod-7", "severity": "critical"}


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        pytest.param("rule=divergence", True, id="the value itself"),
        pytest.param("rule=stall", False, id="another value"),
        pytest.param("suffix=prod-*", True, id="a glob"),
        pytest.param("suffix=test-*|prod-?", True, id="any of several globs"),
        pytest.param("suffix!=test-*", True, id="not that"),
        pytest.param("suffix!=test-*|prod-*", False, id="none of several"),
        pytest.param("owner=*", True, id="a label that is not there is empty, which any glob takes"),
        pytest.param("owner!=somebody", True, id="and it is not somebody"),
        pytest.param("owner=somebody", False, id="nor is it"),
        pytest.param("rule=Divergence", False, id="case counts"),
        pytest.param(" rule = divergence | stall ", True, id="spaces do not"),
    ],
)
def test_a_matcher_takes_what_any_of_its_globs_takes(text: str, hit: bool) -> None:  # noqa: FBT001
    assert parse_matcher(text).matches(LABELS) is hit


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("rule", "expected label=glob or label!=glob", id="no sign"),
        pytest.param("rule=", "expected label=glob or label!=glob", id="no glob"),
        pytest.param("colour=red", "no label 'colour'; expected one of account", id="no such label"),
        pytest.param("=x", "no label ''", id="no label"),
    ],
)
def test_what_is_no_matcher_is_told_with_what_was_expected(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parse_matcher(text)

    assert told in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["rule=a|b", "suffix!=x-*"])
def test_a_matcher_is_shown_as_it_is_read(text: str) -> None:
    assert str(parse_matcher(text)) == text


def test_all_must_match_and_none_takes_everything() -> None:
    both = [parse_matcher("rule=divergence"), parse_matcher("suffix=prod-*")]

    assert all_match(both, LABELS)
    assert not all_match([*both, parse_matcher("severity=info")], LABELS)
    assert all_match([], LABELS)
