"""Readers of single JSON values: each takes anything and gives a clean value or None, and never raises.

The API's numbers may come as strings or floats, its times with and without a zone, its words in any case, and a
field may be null, missing or of a new type. Reading field by field loses one field where reading whole objects would
lose the job, and with it the list.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeGuard

INT64_MAX = 2**63 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_FLOAT32_MAX = 3.4028234e38  # no loss or norm is that large: a serializer wrote the largest number it had for infinity
_EXACT_FLOAT_INT = 2**53
_NS_PER_US = 1000
_ID = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)
_LEVEL_PREFIX = "legacy_"
_TYPE_ALIASES = {"compressing_model": "model_compressing"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAGS = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}


def record(value: object) -> Mapping[str, object]:
    """A JSON object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def entries(value: object) -> Sequence[object]:
    """A JSON array, or an empty one in place of anything else."""
    return value if isinstance(value, list) else ()


def text(value: object) -> str | None:
    """A string that is not blank. What no database takes (NUL, half a surrogate pair) is replaced."""
    if not isinstance(value, str) or not value.strip():
        return None
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def integer(value: object) -> int | None:
    """A whole number of 64 bits, also from a string or a float without a fraction."""
    if type(value) is int and -INT64_MAX <= value <= INT64_MAX:  # nearly always, and there are many
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _integer_of_text(value.strip())
    if isinstance(value, float):
        return _in_64_bits(int(value)) if value.is_integer() else None
    return _in_64_bits(value) if isinstance(value, int) else None


def _integer_of_text(value: str) -> int | None:
    if _INTEGER.fullmatch(value):
        return _in_64_bits(int(value))
    if value.isalpha():  # "max" of every entry of a list: no word is a whole number, and to fail at it takes a while
        return None
    as_number = number(value)
    return None if as_number is None else integer(as_number)


def _in_64_bits(value: int) -> int | None:
    return value if -INT64_MAX <= value <= INT64_MAX else None


def count(value: object) -> int | None:
    """A whole number that is not negative."""
    result = integer(value)
    return result if result is not None and result >= 0 else None


def positive(value: object) -> int | None:
    """A whole number above zero: where the API writes 0 for "not known yet" or "does not apply"."""
    result = integer(value)
    return result if result is not None and result > 0 else None


def number(value: object) -> float | None:
    """A float, perhaps NaN or infinite, also from a string; a stand-in for infinity becomes infinity."""
    if type(value) is float and -_FLOAT32_MAX < value < _FLOAT32_MAX:  # nearly always, and there are many
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and "_" in value:  # Python would read 1_0 as 10
        return None
    try:
        result = float(value)
    except OverflowError:  # an int beyond any float
        return math.inf if isinstance(value, int) and value > 0 else -math.inf
    except ValueError:
        return None
    return math.copysign(math.inf, result) if abs(result) >= _FLOAT32_MAX else result


def finite(value: object) -> float | None:
    """A finite float. For what a snapshot holds: a NaN there would make it unequal to itself at every look."""
    result = number(value)
    return result if result is not None and math.isfinite(result) else None


def flag(value: object) -> bool | None:
    """A truth value, also from 0, 1 and the words."""
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    return _FLAGS.get(value) if isinstance(value, int) else None


def moment(value: object) -> datetime | None:
    """An ISO-8601 time as aware UTC; without a zone it is UTC. Year 1 is an unset time, not a moment."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value.strip())
        aware = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return aware if aware.year > 1 else None


def nanoseconds(value: object) -> int:
    """Unix time in nanoseconds, exact; 0 when there is none.

    A float of this size is a multiple of 256 ns, so its low digits are noise: it is rounded to the microsecond, which
    gives back what was logged in microseconds. 0 keeps a row without a time comparable to itself, and makes it older
    than every real attempt, so that it never looks like a restart.
    """
    if isinstance(value, float):
        return _nanoseconds_of_float(value)
    if type(value) is int and 0 <= value <= INT64_MAX:
        return value
    exact = integer(value) if isinstance(value, int) or _is_integer_text(value) else None
    if exact is not None:
        return max(exact, 0)
    as_float = number(value)
    if as_float is not None:
        return _nanoseconds_of_float(as_float)
    at = moment(value)
    return 0 if at is None else max(_microseconds(at) * _NS_PER_US, 0)


def _is_integer_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _INTEGER.fullmatch(value.strip()) is not None


def _nanoseconds_of_float(value: float) -> int:
    if not 0 < value < INT64_MAX:  # NaN too
        return 0
    return int(value) if value < _EXACT_FLOAT_INT else round(int(value) / _NS_PER_US) * _NS_PER_US


def _microseconds(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def level(value: object) -> str | None:
    """`info`, `warning` or `error`, or a new word in lower case; None for an empty one.

    The API writes `Info`, `legacy_info`, `legacy_iwarning` and `legacy_ierror` for the same three.
    """
    raw = text(value)
    if raw is None:
        return None
    word = raw.strip().lower().removeprefix(_LEVEL_PREFIX)
    return word[1:] if word in ("iwarning", "ierror") else word or None


def event_type(value: object) -> str | None:
    """The event's type in lower case and without aliases: the wire has `JOB_PENDING`, the reference `job_pending`."""
    raw = text(value)
    if raw is None:
        return None
    word = raw.strip().lower()
    return _TYPE_ALIASES.get(word, word)


def job_id(value: object) -> str | None:
    """An id that can stand in a path. Unknown forms pass, but not what would change the path itself (`.`, `..`)."""
    if not isinstance(value, str) or not _ID.fullmatch(value) or not value.strip("."):
        return None
    return value
