"""What a person sees while the demo runs: a live picture on a terminal, else a line for each thing that happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing
from watcher.cli.demo.story import Entry, Story
from watcher.service.status import Json

_BAR, _CURVE, _NARROW_CURVE = 12, 24, 18
_FEW_LINES = 12
_LONG_WORD = 14
_STYLES = drawing.SEVERITY | {"cancel": "bold magenta", "": "dim"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands above the jobs; `page` is the address of the watcher's own page, or empty."""

    seconds: float
    requests: int
    faults: int
    told: int
    page: str


class Screen(Protocol):
    """A way to show the story."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, story: Story, facts: Facts) -> None:
        """Draw what there is now."""


def screen_for(console: Console) -> Screen:
    """The live picture where it can be drawn."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else PlainScreen(console)


class PlainScreen:
    """A line for each thing that happened, as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put back."""

    def show(self, story: Story, facts: Facts) -> None:  # noqa: ARG002 - see Screen
        new, self._told = story.entries[self._told :], len(story.entries)
        for entry in sorted(new, key=lambda e: e.seconds):
            self._console.print(_line(entry), soft_wrap=True)
        self._console.file.flush()


class LiveScreen:
    """A table of the jobs and, below it, the newest of what happened; drawn on the terminal's second screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, exc, trace)

    def show(self, story: Story, facts: Facts) -> None:
        self._live.update(self._picture(story, facts), refresh=True)

    def _picture(self, story: Story, facts: Facts) -> RenderableType:
        head = self._head(story, facts)
        jobs = job_table(story.jobs, narrow=drawing.is_narrow(self._console))
        room = self._console.height - len(story.jobs) - 3
        return Group(head, jobs, Text(""), *feed(self._console, [e for e in story.entries if e.severity], room))

    def _head(self, story: Story, facts: Facts) -> RenderableType:
        if not story.jobs:
            return Text("watcher demo: starting the simulated API and the watcher …", "bold")
        parts = [
            f"{facts.seconds:.0f} s",
            f"{facts.faults} of {facts.requests} API requests went wrong",
            f"{facts.told} notifications",
            "" if drawing.is_narrow(self._console) else facts.page,
        ]
        text = Text.assemble(("watcher demo", "bold"), ("   ", ""), ("   ".join(filter(None, parts)), "dim"))
        text.truncate(self._console.width, overflow="ellipsis")
        return text


def job_table(jobs: Sequence[Json], *, narrow: bool) -> Table:
    """One line a job."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold dim")
    for column in ("job", "status", *(() if narrow else ("progress",))):
        table.add_column(column, no_wrap=True)
    table.add_column("", justify="right", no_wrap=True, min_width=5)
    table.add_column("step", justify="right", no_wrap=True, min_width=7)
    table.add_column("loss", no_wrap=True, min_width=_NARROW_CURVE if narrow else _CURVE)
    table.add_column("health", no_wrap=True)
    for job in jobs:
        bar = () if narrow else (drawing.bar(job["progress"], _BAR),)
        table.add_row(
            Text(drawing.name(job), style="dim" if job["ended_at"] else ""),
            Text(drawing.status(job), style="dim" if job["ended_at"] else ""),
            *bar,
            drawing.percent(job["progress"]),
            drawing.steps(job["step"], job["total_steps"]),
            drawing.curve(job["sparkline"], _NARROW_CURVE if narrow else _CURVE),
            drawing.health(job),
        )
    return table


def feed(console: Console, entries: Sequence[Entry], room: int) -> list[Text]:
    """The newest entries that fit, oldest of them first; one line each where room is short, else two at most."""
    lines = 1 if room < _FEW_LINES else 2
    found: list[Text] = []
    for entry in reversed(entries):
        line = _line(entry)
        # A wrapped line ends before its last word: without a reserve the rest would need a third one.
        line.truncate(console.width * lines - (lines - 1) * _LONG_WORD, overflow="ellipsis")
        room -= len(line.wrap(console, console.width))
        if room < 0:
            break
        found.insert(0, line)
    return found


def _line(entry: Entry) -> Text:
    style = _STYLES[entry.severity]
    return Text.assemble(
        (f"{entry.seconds:5.1f} s ", "dim"),
        (f"{drawing.MARKS.get(entry.severity, '×' if entry.severity else ' ')} ", style),
        (f"{entry.who}: ", "bold"),
        (entry.what, style if entry.severity in ("", "cancel") else ""),
    )
