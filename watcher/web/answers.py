"""JSON answers that every parser takes: no NaN, no halves of characters."""

import json
import math
import re
from typing import Any

from starlette.responses import Response

_HALVES = re.compile("[\ud800-\udfff]")


def dump(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """The value as JSON in UTF-8; a number that is not finite becomes null."""
    return json.dumps(_plain(value), allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(body: bytes, status: int = 200) -> Response:
    """An answer whose body `dump` made."""
    return Response(body, status, media_type="application/json")


def error_answer(status: int, text: str, **more: object) -> Response:
    """`{"error": text}`."""
    return json_answer(dump({"error": text, **more}), status)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
