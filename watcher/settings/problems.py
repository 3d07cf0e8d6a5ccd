"""What is wrong with a configuration, told without showing a secret: origin, key, value, expectation."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from watcher.service.errors import ConfigError

KeyPath = tuple[str | int, ...]

SECRET_KEYS = frozenset({"api_key", "token", "url", "urls"})
"""Nothing at or below a key of this name is ever shown."""

_CONTAINERS = ("model_type", "model_attributes_type", "dict_type", "tuple_type", "list_type", "mapping_type")
_HIDDEN = "(hidden)"
_SHOWN_LENGTH = 80
_SHORTEST_SECRET = 6
_URL_SECRETS = re.compile(r"(://)[^/@\s]*(@)|(\?).*$")
_EXPECTED = {
    "missing": "expected a value: this key is required",
    "model_type": "expected a mapping of keys",
    "dict_type": "expected a mapping of keys",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_type": "expected text (quote what looks like a number)",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
}

_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. `shown` is the value as it may be printed; `origin` overrides what the key's path says."""

    path: KeyPath
    expected: str
    shown: str | None = None
    origin: str | None = None


@dataclass(slots=True)
class Origins:
    """Where each value of the merged settings came from, the text before `${…}` was filled in, and what is secret."""

    default: str
    by_path: dict[KeyPath, str] = field(default_factory=dict)
    templates: dict[KeyPath, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def of(self, path: KeyPath) -> str:
        """The file and line, variable or secret file that set this key, or the nearest key above it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.by_path:
                return self.by_path[path[:end]]
        below = (origin for known, origin in self.by_path.items() if known[: len(path)] == path)
        return next(below, self.default) if path else self.default

    def override(self, path: KeyPath, origin: str) -> None:
        """A later source replaced the value at this path and everything below."""
        for known in (self.by_path, self.templates):
            for old in [p for p in known if p[: len(path)] == path]:
                del known[old]
        self.by_path[path] = origin


def raise_problems(problems: Sequence[Problem], origins: Origins) -> None:
    """All of them in one error; nothing when there are none.

    Raises:
        ConfigError: its text is the report to print.
    """
    if not problems:
        return
    lines = list(dict.fromkeys(_hide(_line(problem, origins), origins.secrets) for problem in problems))
    head = "1 problem in the configuration" if len(lines) == 1 else f"{len(lines)} problems in the configuration"
    raise ConfigError("\n".join([f"{head}:", *(f"  {line}" for line in lines)]))


def _line(problem: Problem, origins: Origins) -> str:
    shown = problem.shown
    if shown is not None and problem.path in origins.templates:
        shown = repr(origins.templates[problem.path])  # what a variable held may be a secret, its name is not
    parts = [problem.origin or origins.of(problem.path), show_path(problem.path), shown, problem.expected]
    return ": ".join(part for part in parts if part)


def _hide(line: str, secrets: set[str]) -> str:
    # A key pasted into the wrong place as well: shorter secrets would eat ordinary words.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            line = line.replace(secret, _HIDDEN)
    return line


def secrets_in(tree: object, *, below: bool = False) -> Iterator[str]:
    """Every text at or below a key that holds secrets."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from secrets_in(value, below=below or key in SECRET_KEYS)
    elif isinstance(tree, list):
        for value in tree:
            yield from secrets_in(value, below=below)
    elif below and isinstance(tree, str):
        yield tree


def show_path(path: KeyPath) -> str:
    """`accounts[0].interval`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def show_value(path: KeyPath, value: object, *, container_expected: bool = False) -> str | None:
    """The value as it may be printed: never a secret, never the inside of something that has keys."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if any(part in SECRET_KEYS for part in path):
        return _HIDDEN
    # Text where keys were expected may be anything, a key pasted into the wrong place among it.
    if isinstance(value, str) and container_expected:
        return "text"
    if not isinstance(value, str | int | float | bool | None):
        return None
    text = _URL_SECRETS.sub(r"\1\3…\2", value) if isinstance(value, str) and "://" in value else value
    shown = repr(text) if text is not None else "nothing"
    return shown if len(shown) <= _SHOWN_LENGTH else f"{shown[:_SHOWN_LENGTH]}…"


def suggest(word: str, known: Iterable[str], prefix: str = "", also: Iterable[str] = ()) -> str:
    """`did you mean …?`, or what there is; `prefix` stands before each name, `also` are too many to list."""
    names = sorted(known)
    if not names:
        return "there is none at all"
    close = difflib.get_close_matches(word, [*names, *also], n=1, cutoff=0.6)
    return f'did you mean "{prefix}{close[0]}"?' if close else f"expected one of {prefix}{f', {prefix}'.join(names)}"


def translate(error: ValidationError, model: type[BaseModel], prefix: KeyPath = ()) -> list[Problem]:
    """Pydantic's findings in our words."""
    return [_problem(detail, model, prefix) for detail in error.errors(include_url=False)]


def _problem(detail: Any, model: type[BaseModel], prefix: KeyPath) -> Problem:  # noqa: ANN401 - pydantic's ErrorDetails
    loc: KeyPath = tuple(detail["loc"])
    path, kind = prefix + loc, detail["type"]
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key; {suggest(str(loc[-1]), _keys_beside(model, loc))}")
    if kind == "missing":
        return Problem(path, _EXPECTED[kind])
    shown = show_value(path, detail["input"], container_expected=kind in _CONTAINERS)
    return Problem(path, _EXPECTED.get(kind) or _bound(detail) or _reworded(detail["msg"]), shown)


def _bound(detail: Any) -> str | None:  # noqa: ANN401 - pydantic's ErrorDetails
    if detail["type"] not in _BOUNDS:
        return None
    words, name = _BOUNDS[detail["type"]]
    return f"expected {words} {detail['ctx'][name]}"


def _reworded(message: str) -> str:
    text = message.removeprefix("Value error, ").replace("Input should be", "expected")
    return text[:1].lower() + text[1:]


def _keys_beside(model: type[BaseModel], loc: KeyPath) -> list[str]:
    for part in loc[:-1]:
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        if isinstance(part, str) and part in fields:
            model = _model_in(fields[part].annotation) or model
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type expression
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
