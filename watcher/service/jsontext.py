"""Plain values as JSON text, fast: what `codec.encode` and a JSON encoder give, for what is written at every poll."""

import json

from pydantic_core import to_json

from watcher.domain import codec


def text_of(value: object, *, gaps: bool = True) -> str:
    """A dataclass as JSON text that `codec.decode` reads back.

    Without `gaps`, fields that are None are left out: `codec.decode` fills in their default.
    """
    try:
        return to_json(value, inf_nan_mode="strings", timedelta_mode="float", exclude_none=not gaps).decode()
    except ValueError:  # half a surrogate pair, which JSON can hold and UTF-8 can't
        encoded = codec.encode(value)
        kept = encoded if gaps else {name: part for name, part in encoded.items() if part is not None}
        return json.dumps(kept, separators=(",", ":"))
