"""A packed list against a plain one, whatever is done to both."""

import json
from collections.abc import Callable, MutableSequence
from struct import Struct
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.domain import codec
from watcher.domain.packed import Packed
from watcher.service.jsontext import text_of

Pair = tuple[int, float]


class Pairs(Packed[Pair]):
    __slots__ = ()
    ITEM: ClassVar = Pair
    FORM: ClassVar = Struct("<qd")


_number = st.integers(-(2**63), 2**63 - 1)
_pair = st.tuples(_number, st.floats(allow_nan=False, allow_infinity=False))
_pairs = st.lists(_pair, max_size=5)
_bound = st.one_of(st.none(), st.integers(-7, 7))
_part = st.builds(slice, _bound, _bound)


def _get(index: int | slice) -> Callable[[MutableSequence[Pair]], Any]:
    return lambda pairs: pairs[index] if isinstance(index, int) else list(pairs[index])


def _set(index: Any, value: Any) -> Callable[[MutableSequence[Pair]], Any]:
    return lambda pairs: pairs.__setitem__(index, value)


_acts = st.one_of(
    st.builds(lambda pair: lambda pairs: pairs.append(pair), _pair),
    st.builds(lambda more: lambda pairs: pairs.extend(more), _pairs),
    st.builds(lambda at, pair: lambda pairs: pairs.insert(at, pair), st.integers(-7, 7), _pair),
    st.builds(lambda at: lambda pairs: pairs.__delitem__(at), st.one_of(st.integers(-7, 7), _part)),
    st.builds(_get, st.one_of(st.integers(-7, 7), _part)),
    st.builds(_set, st.integers(-7, 7), _pair),
    st.builds(_set, _part, _pairs),
)


def _done(act: Callable[[MutableSequence[Pair]], Any], pairs: MutableSequence[Pair]) -> Any:
    try:
        return act(pairs)
    except IndexError:
        return IndexError


@given(begin=_pairs, acts=st.lists(_acts, max_size=12))
def test_it_is_as_a_list_is(begin: list[Pair], acts: list[Callable[[MutableSequence[Pair]], Any]]) -> None:
    packed, plain = Pairs(begin), list(begin)
    for act in acts:
        assert _done(act, packed) == _done(act, plain)
        assert (len(packed), list(packed)) == (len(plain), plain)
    assert json.loads(text_of(packed)) == json.loads(json.dumps(codec.encode(packed))) == list(map(list, plain))
    assert codec.decode(Pairs, codec.encode(packed)) == packed


def test_it_takes_eight_bytes_a_number_and_refuses_what_has_no_room_in_them() -> None:
    pairs = Pairs([(1, 2.0)] * 100)

    assert len(pairs._bytes) == 1600
    with pytest.raises(ValueError, match="neighbours"):
        pairs[::2]
    with pytest.raises(ValueError, match="64 bits"):
        codec.decode(Pairs, [[2**63, 1.0]])
