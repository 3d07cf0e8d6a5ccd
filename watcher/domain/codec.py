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
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

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
    if isinstance(value, list | tuple):
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
    return typing.cast("T", _decode(hint, value))


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _decode(hint: Any, value: Any) -> Any:  # noqa: ANN401
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        return _decode_union(typing.get_args(hint), value)
    if origin in (list, tuple, dict):
        return _decode_container(origin, typing.get_args(hint), value)
    if hint is float and not isinstance(value, bool):
        return _SPECIAL[value] if isinstance(value, str) else float(value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is timedelta:
        return timedelta(seconds=value)
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return _decode_object(typing.cast("type", hint), value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value


def _decode_object(cls: type, value: Any) -> Any:  # noqa: ANN401
    hints = _hints(cls)
    if isinstance(value, list) and issubclass(cls, tuple):
        value = dict(zip(hints, value, strict=False))
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return cls(**{k: _decode(hints[k], v) for k, v in value.items() if k in hints})


def _decode_union(options: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401
    if value is None:
        return None
    some = [o for o in options if o is not types.NoneType]
    return _decode(some[0], value) if len(some) == 1 else value


def _decode_container(origin: type, args: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401
    if origin is dict:
        return {_decode(args[0], k) if args[0] is not int else int(k): _decode(args[1], v) for k, v in value.items()}
    if origin is list:
        return [_decode(args[0], v) for v in value]
    if len(args) == 2 and args[1] is Ellipsis:  # noqa: PLR2004 - tuple[X, ...]
        return tuple(_decode(args[0], v) for v in value)
    return tuple(_decode(a, v) for a, v in zip(args, value, strict=True))
