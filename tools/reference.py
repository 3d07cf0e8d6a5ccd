"""The parts of the documentation that are written by the program itself: what `make docs` runs.

    python -m tools.reference [FOLDER]

Each is made from what runs: the metrics from their declarations, the commands and the man page from the command line.
A test compares the files with what is made here.
"""

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from tools.httpapi import http_api
from watcher import __version__
from watcher.cli.main import app_of
from watcher.web.families import FAMILIES, LABELS, MOST_VALUES, OTHER

ROOT = Path(__file__).parents[1]
_MADE = "<!-- Made by `make docs`; a test compares it with the program. -->"


def metrics() -> str:
    """`docs/reference/metrics.md`."""
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {family.text} |"
        for family in FAMILIES.values()
    ]
    return f"""# Metrics

{_MADE}

`/metrics` on the address of the page, for Prometheus. Counters begin at 0 with the process, and a
label's value with its first event; gauges are read at the moment of the scrape.
[How to scrape, alert and draw them](../how-to/prometheus.md).

| name | type | labels | meaning |
|---|---|---|---|
{_lines(rows)}

A histogram has `_bucket`, `_sum` and `_count`. Where there is a `/proc`, the client library adds the process's own
`process_start_time_seconds`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`,
`process_cpu_seconds_total`, `process_open_fds` and `process_max_fds`.

When the store can't be read, `watcher_store_readable` is 0 and what is read from it is missing: jobs, firing alerts,
proposals and the outbox.

## Labels

| label | says |
|---|---|
{_lines(f"| `{label}` | {text} |" for label, text in LABELS.items())}

No label names a job: the number of series follows the configuration, not the jobs. A counter's label takes at most
{MOST_VALUES} values; what comes beyond them is counted as `{OTHER}`.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """One command or group: its words after `watcher`, what it says of itself, and its parameters."""

    words: str
    usage: str
    help: str
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]


def tree() -> Iterator[Command]:
    """The program itself, then every command in the order of `--help`, groups before what is in them."""
    root = get_command(app_of())
    yield from _walk(root, root.make_context("watcher", [], resilient_parsing=True))


def _walk(command: Any, context: Any) -> Iterator[Command]:  # noqa: ANN401 - Typer's, which have no public names
    params = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    shown = [(param.param_type_name, param.get_help_record(context)) for param in params]
    yield Command(
        words=context.command_path.partition(" ")[2],
        usage=" ".join([context.command_path, *command.collect_usage_pieces(context)]),
        help=command.help or "",
        arguments=tuple(record for kind, record in shown if kind == "argument" and record),
        options=tuple(record for kind, record in shown if kind == "option" and record and "--help" not in record[0]),
    )
    for name, below in getattr(command, "commands", {}).items():
        yield from _walk(below, below.make_context(name, [], parent=context, resilient_parsing=True))


SHARED = ("--config", "--state-dir", "--format")
"""Options that most commands have: told once."""


def commands() -> str:
    """`docs/reference/commands.md`."""
    root, *others = tree()
    return f"""# Commands

{_MADE}

```
{root.usage}
```

{_escaped(root.help)}

{_table(root.options)}

{_EXIT} Listings take `--format json`: one document on stdout, all else on stderr. `-h` after any command shows
what stands here. [Completion for your shell](../how-to/operate.md#completion).

Most commands take these, and say so below:

{_table(_shared(others).values())}

{_paragraphs(_section(command) for command in others)}"""


_EXIT = (
    "Exit codes: 0 done, 1 failed, 2 bad input, 3 an account can't be seen, 4 refused (a newer schema, or a state "
    "directory that is in use)."
)


def _shared(found: Iterable[Command]) -> dict[str, tuple[str, str]]:
    options = [record for command in found for record in command.options]
    return {name: next(record for record in options if name in record[0]) for name in SHARED}


def _section(command: Command) -> str:
    parts = [f"## {command.words}", f"```\n{command.usage}\n```", _escaped(command.help)]
    own = [record for record in command.options if _is_own(record)]
    if command.arguments or own:
        parts.append(_table([*command.arguments, *own]))
    also = [name for name in SHARED if any(name in record[0] for record in command.options if not _is_own(record))]
    if also:
        parts.append(f"Also {', '.join(f'`{name}`' for name in also)}.")
    return _paragraphs(parts)


def _is_own(record: tuple[str, str]) -> bool:
    """Whether an option is not one of those that are told once; a format of more kinds is."""
    return not any(name in record[0] for name in SHARED) or "csv" in record[0]


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"| `{_in_cell(name)}` | {_in_cell(_escaped(text))} |" for name, text in rows)
    return _lines(("| | |", "|---|---|", *cells))


def _in_cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _escaped(text: str) -> str:
    """What Markdown would take for its own stays as it is typed, outside of code."""
    plain_and_code = text.split("`")
    plain_and_code[::2] = [re.sub(r"([<*])", r"\\\1", part) for part in plain_and_code[::2]]
    return "`".join(plain_and_code)


def manual() -> str:
    """`docs/man/watcher.1`, for `man`."""
    root, *others = tree()
    told = [
        f'.TH WATCHER 1 "" "watcher {__version__}" "User Commands"',
        ".SH NAME",
        "watcher \\- watches fine\\-tuning jobs on Together AI",
        ".SH SYNOPSIS",
        f".B {_roff(root.usage)}",
        ".SH DESCRIPTION",
        *list(_roff_paragraphs(root.help))[1:],
        ".SH OPTIONS",
        *_roff_options(root.options),
        ".SH COMMANDS",
        _roff("Most of them take these; what differs stands below."),
        *_roff_options(_shared(others).values()),
    ]
    for command in others:
        told += [f".SS {_roff(command.words)}", f".B {_roff(command.usage)}", *_roff_paragraphs(command.help)]
        told += _roff_options([*command.arguments, *(record for record in command.options if _is_own(record))])
    for title, entries in _SURROUNDINGS.items():
        told += [f".SH {title}", *_roff_options(entries)]
    told += [".SH EXIT STATUS", _roff(_EXIT.removeprefix("Exit codes: "))]
    return "\n".join(told) + "\n"


_SURROUNDINGS = {
    "ENVIRONMENT": (
        (
            "TOGETHER_API_KEY",
            "The API key, where the configuration names no other; TOGETHER_API_KEY_FILE a file that holds it.",
        ),
        ("TOGETHER_BASE_URL", "Another address of the API, with or without /v1."),
        ("WATCHER_STATE_DIR", "Where the database is, if --state-dir does not say it."),
        ("WATCHER_A__B", "Key b of section a of the configuration. WATCHER_A__B_FILE names a file that holds it."),
        ("HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE", "As other programs take them."),
    ),
    "FILES": (
        ("~/.local/state/watcher/watcher.db", "Everything that is known, unless the state directory is another."),
        ("no-cancel", "In the state directory: while this file is there, nothing is cancelled automatically."),
    ),
    "SIGNALS": (
        ("SIGTERM, SIGINT", "The daemon drains and ends; a second one ends it at once, with exit code 130."),
        ("SIGHUP", "The daemon reads its configuration again."),
    ),
}


def _roff_paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from (".PP", _roff(paragraph))


def _roff_options(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in rows:
        yield from (".TP", f".B {_roff(name)}", _roff(text))


def _roff(text: str) -> str:
    """As text: what roff would take for a request, an escape or a typographic hyphen stays as it is typed."""
    written = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "").replace("…", "...")
    lines = textwrap.wrap(written, 78, break_long_words=False, break_on_hyphens=False)
    return _lines("\\&" + line if line.startswith((".", "'")) else line for line in lines)


def _paragraphs(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


DOCUMENTS: dict[str, Callable[[], str]] = {
    "docs/man/watcher.1": manual,
    "docs/reference/commands.md": commands,
    "docs/reference/http-api.md": lambda: http_api(_MADE),
    "docs/reference/metrics.md": metrics,
}
"""What is made, by its place in the repository."""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    for name, make in DOCUMENTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make())
        print(name)


if __name__ == "__main__":
    main()
