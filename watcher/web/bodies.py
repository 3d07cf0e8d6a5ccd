"""What clients send: bodies of bounded size, the fields of forms and of JSON objects, and text fit to be kept."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

LONGEST_BODY = 16 * 1024
"""Bytes."""
PATIENCE = 10.0
"""Seconds that a body may take: who sends one slowly holds a connection, and those are bounded."""
LONGEST_NAME, LONGEST_TEXT = 100, 500
"""Characters of who acts, and of why."""
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
# Control characters, halves of characters, and marks that turn the direction of text: a name made of those would show
# as another one, in a log or on a page.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


async def read_body(request: Request, most: int = LONGEST_BODY) -> bytes:
    """The body.

    Raises:
        HTTPException: it is longer than `most` bytes (413), takes too long (408), or was cut off (400).
    """
    body = b""
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise HTTPException(413, "That is too much")
    except TimeoutError as error:
        raise HTTPException(408, "The request took too long") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The request was cut off") from error
    return body


async def read_form(request: Request, most: int = LONGEST_BODY) -> dict[str, str]:
    """The fields of a form, of each the first value; none of a body that is no form."""
    body = await read_body(request, most)
    if _kind(request) != _FORM:
        return {}
    try:
        found = parse_qs(body.decode(), max_num_fields=100, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise HTTPException(400, "That is no form") from error
    return {name: values[0] for name, values in found.items()}


async def read_json(request: Request) -> dict[str, Any]:
    """A JSON object; an empty body is an empty one.

    Raises:
        HTTPException: it is something else.
    """
    body = await read_body(request)
    if not body:
        return {}
    # Also what keeps other sites out: no form of theirs can send this type.
    if _kind(request) != _JSON:
        raise HTTPException(415, f"expected a body of type {_JSON}")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is no JSON") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    return found


def text_of(fields: Mapping[str, str | None], name: str, longest: int, *, needed: bool = False) -> str:
    """A field as one line of text, empty where it is not given.

    Raises:
        HTTPException: it is too long, holds control characters, or is missing though it is needed.
    """
    value = (fields.get(name) or "").strip(" ")
    if len(value) > longest:
        raise HTTPException(400, f"{name}: expected at most {longest} characters")
    if unfit(value):
        raise HTTPException(400, f"{name}: expected text without line breaks and control characters")
    if needed and not value:
        raise HTTPException(400, f"{name}: expected a value")
    return value


def unfit(value: str) -> bool:
    """Whether the text holds what no name and no reason needs, and what would show as something else."""
    return _UNFIT.search(value) is not None


def local_path(value: str, default: str = "/") -> str:
    """The path of a page of ours to go on to; the default for anything that a browser could take for another site."""
    # `//host` and `/\\host` are other hosts to a browser, and it drops tabs and line breaks before it looks.
    fit = value.startswith("/") and not value.startswith("//") and "\\" not in value and not unfit(value)
    return value if fit and value.isascii() else default


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
