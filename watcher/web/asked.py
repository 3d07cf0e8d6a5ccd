"""The bodies of orders, as programs send them: strict about their keys, and text fit to be kept."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from watcher.web.bodies import LONGEST_NAME, LONGEST_TEXT, read_json, unfit
from watcher.web.desk import MOST_MATCHERS

_LONGEST_DURATION = 40


def _fit(value: str) -> str:
    if unfit(value):
        raise ValueError("expected text without line breaks and control characters")
    return value


Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT, strict=True), AfterValidator(_fit)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, strict=True), AfterValidator(_fit)]
Name = Annotated[str, StringConstraints(max_length=LONGEST_NAME, strict=True), AfterValidator(_fit)]
Span = Annotated[str, StringConstraints(max_length=_LONGEST_DURATION, strict=True), AfterValidator(_fit)]


class Order(BaseModel):
    """What every order says: who gives it, unless the header `Watcher-Name` does."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    name: Name = Field("", description="Who gives the order, for the audit; else the header Watcher-Name.")


class AckOrder(Order):
    """Somebody takes care of an alert."""

    note: Text = Field("", description="What is done about it.")
    until: Span = Field("", description="For so long (2h), or until a moment with its offset; else for good.")


class SilenceOrder(Order):
    """Tell nobody of alerts that match, for a while."""

    matchers: Annotated[list[Words], Field(min_length=1, max_length=MOST_MATCHERS)] = Field(
        description="label=glob|glob or label!=glob; all of them must match."
    )
    duration: Span | Annotated[float, Field(strict=True)] = Field(
        description="30m, 2h, 1d, or seconds; at most 366 days."
    )
    comment: Words = Field(description="Why, for those who wonder.")


class EndOrder(Order):
    """End a silence now."""

    comment: Text = Field("", description="Why.")


class WordOrder(Order):
    """A word on a proposed cancel."""

    why: Text = Field("", description="Why.")


class DrillOrder(WordOrder):
    """A marked message through the whole path."""

    receiver: Name = Field("", description="Only this receiver; else all of them.")


_TOLD = {"missing": "expected a value: this key is needed", "extra_forbidden": "unknown key"}

AnyOrder = TypeVar("AnyOrder", bound=Order)


async def read_order(request: Request, kind: type[AnyOrder]) -> AnyOrder:
    """The order that the body holds.

    Raises:
        HTTPException: it holds none; the text names the first key that is wrong.
    """
    body = await read_json(request)
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"] if not _is_type(part))
        words = first["msg"].removeprefix("Value error, ").replace("Input should", "expected it to")
        raise HTTPException(400, f"{key}: {_TOLD.get(first['type'], words)}") from None


def _is_type(part: str | int) -> bool:
    """Pydantic names the branch of a union in the path as well."""
    return isinstance(part, str) and ("[" in part or part in {"float", "str"})
