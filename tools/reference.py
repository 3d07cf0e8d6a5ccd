"""The parts of the documentation that are written by the program itself: what `make docs` runs.

    python -m tools.reference [FOLDER]

Each is made from what runs: the metrics from their declarations, the commands and the man page from the command line.
A test compares the files with what is made here.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

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


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


DOCUMENTS: dict[str, Callable[[], str]] = {"docs/reference/metrics.md": metrics}
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
