"""Logging: structlog and the standard library through one chain, to stderr, without secrets.

A person at a terminal gets coloured lines; everybody else gets one JSON object a line, with journald's priority in
front when stderr is the journal. Tracebacks never show local variables: a key would be among them.
"""

import logging
import math
import os
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TextIO
from urllib.parse import quote

import structlog

MASK = "***"
SHORTEST_SECRET = 4
"""Shorter ones are not blanked: they would eat ordinary words."""

_QUIET = ("aiohttp", "alembic", "apprise", "apscheduler", "asyncio", "httpcore", "httpx", "uvicorn")
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}

_NAME = r"(?:api[_-]?key|apikey|authorization|password|passwd|secret|token|access[_-]?key|cookie)"
_SECRET_KEY = re.compile(rf"(?:^|[_.-]){_NAME}$", re.IGNORECASE)
_PATTERNS = (
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"',;]+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(rf"({_NAME}[\"']?\s*[=:]\s*[\"']?)(?!(?:Bearer|Basic)\s)[^\s\"',;&)}}]+", re.IGNORECASE), rf"\1{MASK}"),
)
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>[^\s\"'<>]*)", re.IGNORECASE)
_OPEN_SCHEMES = frozenset({"console", "file", "sqlite", "unix"})
_TOKEN_LENGTH = 16


class Redactor:
    """Blanks registered secrets and everything that looks like one, however deep it sits."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: str) -> None:
        """From now on this text is blanked, also as it looks inside a URL."""
        self._known |= {form for form in (secret, quote(secret, safe="")) if len(form) >= SHORTEST_SECRET}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, value: str) -> str:
        """The text without secrets."""
        if self._pattern is not None:
            value = self._pattern.sub(MASK, value)
        if "://" in value:
            value = _URL.sub(_blanked_url, value)
        for pattern, replacement in _PATTERNS:
            value = pattern.sub(replacement, value)
        return value

    def plain(self, value: object) -> Any:  # noqa: ANN401 - what JSON can hold
        """The value as JSON can hold it, without secrets."""
        if isinstance(value, bool | int | None):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)  # JSON has no NaN
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._entry(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.plain(item) for item in value]
        return self.text(value if isinstance(value, str) else str(value))

    def _entry(self, key: str, value: object) -> Any:  # noqa: ANN401 - what JSON can hold
        return MASK if _SECRET_KEY.search(key) and value is not None else self.plain(value)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """As a structlog processor."""
        plain: dict[str, Any] = self.plain(event)
        return plain


_redactor = Redactor()


def register_secret(secret: str) -> None:
    """This text never appears in a log line from now on."""
    _redactor.register(secret)


def redact(text: str) -> str:
    """A text without registered secrets and without what looks like one."""
    return _redactor.text(text)


def configure_logs(
    *, level: str = "info", style: str = "auto", stream: TextIO | None = None, environ: Mapping[str, str] | None = None
) -> None:
    """Send everything that is logged to one stream, stderr unless given.

    Args:
        level: debug, info, warning or error.
        style: auto, console or json.
        stream: where to write.
        environ: where to look for JOURNAL_STREAM and NO_COLOR; the process's own unless given.
    """
    out = sys.stderr if stream is None else stream
    names = os.environ if environ is None else environ
    person = out.isatty()
    console = style == "console" or (style == "auto" and person)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_chain(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a reload may change the level; tests capture what is logged
    )
    handler = _Handler(out)
    handler.setFormatter(_formatter(console=console, colors=person and not names.get("NO_COLOR")))
    handler.prefixed = _is_journal(out, names)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These tell every request, with its URL, at INFO.
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)


def _chain() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(*, console: bool, colors: bool) -> logging.Formatter:
    renderer: Any
    if console:
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        )
    else:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    order = [] if console else [_first_things_first]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_chain(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,  # before the redactor: a message of an exception may hold a secret
            _redactor,
            *order,
            renderer,
        ],
    )


def _first_things_first(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """JSON is read by people as well: when, how bad and what stand at the same place in every line."""
    return {key: event[key] for key in ("timestamp", "level", "event") if key in event} | dict(event)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; in front of each the priority that the journal understands, when it is the journal."""

    prefixed = False

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self.prefixed:
            return text
        priority = f"<{_PRIORITIES.get(record.levelname.lower(), 6)}>"
        return priority + text.replace("\n", f"\n{priority}")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """The library would print the record with its arguments, secrets among them."""
        kind = sys.exc_info()[0]
        try:
            self.stream.write(f"log line of {record.name} was lost: {kind.__name__ if kind else 'unknown'}\n")
        except (OSError, ValueError):
            return  # nobody reads stderr any more


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    # The variable alone proves nothing: a child with its own stderr inherits it.
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def _blanked_url(match: re.Match[str]) -> str:
    scheme, rest = match["scheme"], match["rest"]
    if scheme.lower() in _OPEN_SCHEMES:
        return match[0]
    if scheme.lower() not in {"http", "https"}:
        return f"{scheme}://{MASK}"  # in an Apprise URL any part may be the token
    place, mark, query = rest.partition("?")
    host, slash, path = place.rpartition("@")[2].partition("/")
    user = f"{MASK}@" if "@" in place else ""
    return f"{scheme}://{user}{host}{slash}{_blanked_path(path.split('/'))}{mark}{query}"


def _blanked_path(parts: Sequence[str]) -> str:
    return "/".join(MASK if _like_a_token(part) else part for part in parts)


def _like_a_token(part: str) -> bool:
    # A job's id is no secret, and a log line without it is of no use.
    mixed = any(map(str.isdigit, part)) and any(map(str.isalpha, part))
    return len(part) >= _TOKEN_LENGTH and mixed and not part.startswith("ft-")
