"""What the demo says at its end: what was found and when, what the cancels saved, and what was lived through."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing
from watcher.cli.demo.folder import ApiLog, Folder
from watcher.cli.demo.story import Story
from watcher.domain import billing, moneywords
from watcher.domain.billing import Meter
from watcher.domain.observations import Status
from watcher.service.status import Json

_EXPECTED = frozenset({"completion"})
"""Rules whose news is that all went well: the status tells it already."""
_FAULTS = {
    "rate_limited": "429",
    "server_error": "500",
    "overloaded": "503",
    "html": "a page instead of JSON",
    "cut": "cut off amid the answer",
    "took_then_error": "500 after doing it",
}


def report(console: Console, story: Story, api: ApiLog, folder: Folder, received: int) -> None:
    """Print it."""
    saved = {p["job"]: _saved(story, p) for p in story.proposals if p["state"] == "confirmed"}
    lines: list[RenderableType] = [_table(story, saved, narrow=drawing.is_narrow(console)), ""]
    lines += [Text(line) for line in _summary(story, saved, api, received)]
    lines += [Text(f"{_short(folder.root)}: alerts.jsonl, notifications/, watcher.log, api.log", "dim")]
    drawing.put(console, *lines)


def _table(story: Story, saved: dict[str, tuple[int, int]], *, narrow: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    table.add_column("job", no_wrap=True)
    table.add_column("became", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("saved" if narrow else "saved by the cancel", no_wrap=True)
    for job in story.jobs:
        own = [a for a in story.alerts if a["subject"] == job["id"] and a["rule"] not in _EXPECTED]
        cells = [_cells(story, job, alert) for alert in own] or [(Text("nothing", "green"), "", "")]
        for index, row in enumerate(cells):
            head = ("", "", "") if index else _head(job, saved.get(job["id"]), narrow=narrow)
            table.add_row(*head[:2], *row, head[2])
    jobs = {job["id"] for job in story.jobs}
    for alert in (a for a in story.alerts if a["subject"] not in jobs):
        table.add_row(Text(drawing.sentence(alert["subject"]), "bold"), "", *_cells(story, {}, alert), "")
    return table


def _head(job: Json, saved: tuple[int, int] | None, *, narrow: bool) -> tuple[RenderableType, ...]:
    gain = ""
    if saved is not None:
        unrun, planned = saved
        gain = f"{unrun / planned:.0%}" if narrow else f"{unrun} of {planned} steps ({unrun / planned:.0%})"
    return Text(drawing.name(job), "bold"), Text(drawing.status(job)), Text(gain, "bold green")


def _cells(story: Story, job: Json, alert: Json) -> tuple[RenderableType, ...]:
    title = Text.assemble(
        drawing.mark(alert["severity"]), " ", (drawing.title(alert), drawing.SEVERITY.get(alert["severity"], ""))
    )
    if alert["state"] == "resolved":
        title.append(", over", "dim")
    seconds = story.elapsed(datetime.fromisoformat(alert["starts_at"]))
    return title, f"{seconds:.1f} s", drawing.steps(alert["step"], job.get("total_steps"))


def _saved(story: Story, proposal: Json) -> tuple[int, int]:
    """(steps that were not run, steps planned) of a job that was cancelled."""
    job = story.job(proposal["account"], proposal["job"])
    if job is None or not job["total_steps"] or job["step"] is None:
        return 0, 1
    return job["total_steps"] - job["step"], job["total_steps"]


def _summary(story: Story, saved: dict[str, tuple[int, int]], api: ApiLog, received: int) -> list[str]:
    found = [a for a in story.alerts if a["rule"] not in _EXPECTED and a["severity"] != "info"]
    bad = {job["id"] for job in story.jobs} & {a["subject"] for a in found}
    lines = [f"Found: {_count(len(found), 'problem')} on {len(bad)} of {_count(len(story.jobs), 'job')}."]
    if saved:
        unrun, planned = (sum(column) for column in zip(*saved.values(), strict=True))
        lines.append(
            f"Saved: {_count(len(saved), 'hopeless job')} cancelled, {unrun} of their {planned} steps not run "
            f"({unrun / planned:.0%}){_dollars(story, list(saved))}."
        )
    wrong = ", ".join(f"{count} × {_FAULTS.get(kind, kind)}" for kind, count in api.faults.most_common())
    faults, requests = _count(api.faults.total(), "fault"), _count(api.requests, "API request")
    lines.append(f"Lived through: {faults} in {requests}{f' ({wrong})' if wrong else ''}.")
    lines.append(f"Told: {_count(received, 'notification')} delivered, {story.undelivered} still to deliver.")
    return lines


def _dollars(story: Story, cancelled: Sequence[str]) -> str:
    """What that is in money, with what was assumed; nothing where a price is not known."""
    bills = [billing.bill(_meter(job)) for job in story.jobs if job["id"] in cancelled]
    saved = billing.total(bill.saved for bill in bills)
    if saved.unknown or len(bills) < len(cancelled):
        return ""
    resting = moneywords.conditions(saved.sum.assumes, before=" ")
    return f", worth {moneywords.amount(saved.sum)} of the simulated prices{resting}"


def _meter(job: Json) -> Meter:
    """Of a job that was cancelled."""
    status, price = Status.CANCELLED, job["price_nano"]
    return Meter(status=status, price_nano=price, done=job["step"], planned=job["total_steps"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(path: Path) -> str:
    return f"{path}/" if str(path) != "." else "./"
