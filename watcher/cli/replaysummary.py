"""What people read of a replay: a line for each run, and what each rule would have done over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing, tables
from watcher.domain.alerts import Alert
from watcher.domain.replay import Replay, WouldCancel


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One run without its rows, of which there may be too many to keep. `steps` is where the recording ends."""

    id: str
    rows: int
    plan: int | None
    steps: float
    alerts: tuple[Alert, ...]
    cancel: WouldCancel | None

    @property
    def saved(self) -> float:
        """Steps recorded after the cancel: what was really run, not what was planned."""
        return max(0.0, self.steps - self.cancel.step) if self.cancel else 0.0


def line_of(result: Replay) -> Line:
    """What is kept of one run."""
    rows = result.recording.rows
    return Line(
        id=result.recording.id,
        rows=len(rows),
        plan=result.recording.total_steps,
        steps=max((row.step for row in rows), default=0),
        alerts=tuple(result.alerts),
        cancel=result.cancel,
    )


def report(lines: Sequence[Line], rules: Sequence[str]) -> tuple[RenderableType, ...]:
    """Everything, ready to be printed."""
    if not lines:
        return ("no runs in these files",)
    return (_runs(lines), "", _totals(lines), "", _rules(lines, rules))


def _runs(lines: Sequence[Line]) -> Table:
    table = tables.plain()
    table.add_column("run", overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("plan", justify="right", no_wrap=True)
    table.add_column("alerts", overflow="fold")
    table.add_column("would cancel", overflow="fold")
    table.add_column("steps saved", justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            Text(drawing.sentence(line.id)),
            f"{line.rows:,}",
            f"{line.plan:,}" if line.plan else "?",
            Text(", ").join(_alert(alert) for alert in line.alerts),
            Text(f"{line.cancel.rule}@{line.cancel.step}") if line.cancel else "",
            f"{line.saved:,.0f} ({_share(line.saved, line.steps)})" if line.cancel else "",
        )
    return table


def _alert(alert: Alert) -> Text:
    return Text(f"{alert.rule}@{alert.step}", drawing.SEVERITY.get(alert.severity, ""))


def _totals(lines: Sequence[Line]) -> str:
    alone = len(lines) == 1
    cancelled, saved, steps = (
        sum(line.cancel is not None for line in lines),
        sum(line.saved for line in lines),
        sum(line.steps for line in lines),
    )
    return (
        f"{len(lines):,} {'run' if alone else 'runs'}, {sum(line.rows for line in lines):,} rows; "
        f"{sum(bool(line.alerts) for line in lines):,} with alerts, {cancelled:,} would be cancelled; "
        f"{saved:,.0f} of {steps:,.0f} steps saved ({_share(saved, steps)})"
    )


def _rules(lines: Sequence[Line], rules: Sequence[str]) -> Table:
    table = tables.plain()
    table.add_column("rule", no_wrap=True)
    for column in ("runs", "of all", "alerts", "first at", "would cancel", "steps saved", "of all"):
        table.add_column(column, justify="right", no_wrap=True)
    steps = sum(line.steps for line in lines)
    for rule in rules:
        fired = [line for line in lines if any(alert.rule == rule for alert in line.alerts)]
        cancelled = [line for line in lines if line.cancel and line.cancel.rule == rule]
        saved = sum(line.saved for line in cancelled)
        table.add_row(
            rule,
            f"{len(fired):,}",
            _share(len(fired), len(lines)),
            f"{sum(alert.rule == rule for line in fired for alert in line.alerts):,}",
            _first(fired, rule),
            f"{len(cancelled):,}",
            f"{saved:,.0f}",
            _share(saved, steps),
        )
    return table


def _first(fired: Sequence[Line], rule: str) -> str:
    """How far the runs were when the rule first fired on them, in the middle."""
    shares = [_first_step(line, rule) / line.steps for line in fired if line.steps > 0]
    return f"{median(shares):.0%}".replace("%", " %") if shares else ""


def _first_step(line: Line, rule: str) -> float:
    return min(alert.step or 0 for alert in line.alerts if alert.rule == rule)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole > 0 else "0.0 %"
