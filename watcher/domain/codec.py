"""Plain values to JSON values and back: how rule states, snapshots and messages are stored.

Dataclasses become objects, tuples and lists arrays, datetimes ISO-8601, enums their value, and the three floats that
JSON does not know become `"NaN"`, `"Infinity"` and `"-Infinity"`. Decoding is driven by type hints; a key that is
missing takes the field's default, a key that is not known is dropped, so that fields can be added and removed. A named
tuple is read from an array, whose end may be missing, and from an object.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from watcher.domain.packed import Floats, Ints, Packed

T = TypeVar("T")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """A JSON value (dict, list, str, number, bool, None) that `decode` reads back."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _special(value)
    if isinstance(value, list | tuple | Packed | Floats | Ints):
        return [encode(v) for v in value]
    return _encode_object(value)


def _encode_object(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(encode(k)): encode(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    raise TypeError(f"not a plain value: {type(value).__name__}")


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def decode(hint: type[T], value: Any) -> T:  # noqa: ANN401 - JSON in
    """The value of type `hint` that `encode` made this JSON value of.

    Raises:
        TypeError, ValueError, KeyError: the JSON value does not fit the type.
    """
    return typing.cast("T", _decoder(typing.cast("Any", hint))(value))


_Decoder = Callable[[Any], Any]


@functools.cache
def _decoder(hint: Any) -> _Decoder:  # noqa: ANN401
    """How values of a type are decoded: found out once, since a start decodes hundreds of values for each job."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union or origin is types.UnionType:
        return _optional([_decoder(o) for o in args if o is not types.NoneType])
    if origin in (list, tuple, dict):
        return _container(origin, args)
    if isinstance(hint, type) and issubclass(hint, Packed | Floats | Ints):
        return _packed(hint, _decoder(hint.ITEM))
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return _object(typing.cast("type", hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return _PLAIN.get(hint, _as_it_is)


def _as_it_is(value: Any) -> Any:  # noqa: ANN401
    return value


def _float(value: Any) -> Any:  # noqa: ANN401
    if type(value) is float or isinstance(value, bool):
        return value
    return _SPECIAL[value] if isinstance(value, str) else float(value)


def _timedelta(value: Any) -> timedelta:  # noqa: ANN401
    return timedelta(seconds=value)


_PLAIN: dict[Any, _Decoder] = {float: _float, datetime: datetime.fromisoformat, timedelta: _timedelta}


def _object(cls: type) -> _Decoder:
    fields = {name: _decoder(hint) for name, hint in typing.get_type_hints(cls).items()}
    in_order = list(fields.values())

    def decode_object(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return cls(**{name: fields[name](v) for name, v in value.items() if name in fields})
        if isinstance(value, list) and issubclass(cls, tuple):
            return cls(*[decoder(v) for decoder, v in zip(in_order, value, strict=False)])
        raise TypeError(f"an object was expected, not {type(value).__name__}")

    return decode_object


def _packed(hint: type, item: _Decoder) -> _Decoder:
    def decode_packed(value: Any) -> Any:  # noqa: ANN401
        try:
            return hint(value)  # nearly always: packing looks at each number
        except (TypeError, ValueError):
            return hint(map(item, value))

    return decode_packed


def _optional(options: list[_Decoder]) -> _Decoder:
    if len(options) != 1:
        return _as_it_is
    (some,) = options
    return lambda value: None if value is None else some(value)


def _container(origin: type, args: tuple[Any, ...]) -> _Decoder:
    if origin is dict:
        key, item = int if args[0] is int else _decoder(args[0]), _decoder(args[1])
        return lambda value: {key(k): item(v) for k, v in value.items()}
    if origin is list or args[1:] == (Ellipsis,):
        item = _decoder(args[0])
        return origin if item is _as_it_is else lambda value: origin(map(item, value))
    items = [_decoder(arg) for arg in args]
    return lambda value: tuple(item(v) for item, v in zip(items, value, strict=True))
