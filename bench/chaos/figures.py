"""The figures of a run as a table, one line a scenario."""

import statistics
from collections.abc import Sequence

from bench.chaos.judge import Verdict

COLUMNS = ("scenario", "runs", "faults", "alerts", "lost", "again", "cancels", "probes", "recovery p50", "max", "peak")
_WIDE = 2
"""Spaces between two columns."""


def table(verdicts: Sequence[Verdict]) -> str:
    """For people and for a document.

    Faults are kills, broken answers and times of trouble; `again` are deliveries that came once more under the same key
    after a death or a lost answer; recovery is in seconds from a kill, or the end of a trouble, to the first 200 of
    /readyz; peak is the most memory of a daemon.
    """
    names = list(dict.fromkeys(verdict.name for verdict in verdicts))
    lines = [_line(name, [verdict for verdict in verdicts if verdict.name == name]) for name in sorted(names)]
    return _aligned([COLUMNS, *lines, _line("all", verdicts)])


def _line(name: str, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    recoveries = [seconds for verdict in verdicts for seconds in verdict.recoveries]
    faults = sum(sum(verdict.injected.values()) for verdict in verdicts)
    p50, most = (statistics.median(recoveries), max(recoveries)) if recoveries else (0.0, 0.0)
    return (
        name,
        str(sum(verdict.seconds > 0 for verdict in verdicts)),
        str(faults),
        *(
            str(sum(getattr(verdict, what) for verdict in verdicts))
            for what in ("expected", "lost", "twice", "cancels")
        ),
        str(sum(verdict.probes for verdict in verdicts)),
        f"{p50:.1f} s",
        f"{most:.1f} s",
        f"{max(verdict.peak_mb for verdict in verdicts)} MB",
    )


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    rows = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + _WIDE) for width in widths) + "|", *rows[1:]])
