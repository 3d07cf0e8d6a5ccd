"""Plain values as JSON text, fast: what `codec.encode` and a JSON encoder give, for what is written at every poll."""

import json
from typing import Any

from pydantic_core import to_json

from watcher.domain import codec


def text_of(value: Any, *, gaps: bool = True) -> str:  # noqa: ANN401 - a dataclass
    """A dataclass as JSON text that `codec.decode` reads back.

    Without `gaps`, fields that are None are left out: `codec.decode` fills in their default.
    """
    if not gaps:
        parts = ((name, getattr(value, name)) for name in type(value).__dataclass_fields__)
        value = {name: part for name, part in parts if part is not None}
    try:
        return to_json(value, inf_nan_mode="strings", timedelta_mode="float", fallback=list).decode()
    except ValueError:  # half a surrogate pair, which JSON can hold and UTF-8 can't
        return json.dumps(codec.encode(value), separators=(",", ":"))
