"""`money`: what jobs cost, what was saved and what should come back, by month, from the store, which is only read."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing, sheets, tables
from watcher.cli.common import ConfigOption, ListFormat, ListFormatOption, StateOption, print_json, reading
from watcher.clock import SystemClock
from watcher.domain.billing import Assumption
from watcher.domain.money import show
from watcher.domain.refunds import State
from watcher.service.money import EARLY_STOP, HAND, OTHERS, WATCHER, month_view

Json = dict[str, Any]

_SUPERSCRIPTS = "¹²³⁴⁵⁶⁷⁸⁹"
_BY = {WATCHER: "watcher", HAND: "by hand", EARLY_STOP: "early stop", OTHERS: "others"}
_SAVED = {
    WATCHER: "saved by the watcher's cancels",
    EARLY_STOP: "saved by early stops",
    HAND: "saved by cancels by hand",
    OTHERS: "saved by cancels elsewhere",
}
_WIDE, _RIGHT = ("status", "an hour", "by"), ("price", "spent", "an hour", "at stake", "saved", "refund")
_SHORT, _LONG, _DAY = 16, 24, 10
_NO_ENTRY = "not seen; for it no entry is documented"
_FIGURES = ("price", "spent", "hourly", "at_stake", "saved")
_MONEY = ("id", "suffix", "account", "status", "ended_at", "step", "total_steps", *_FIGURES, "steps_saved", "saved_by",
          "refund_expected", "refund_seen", "refund_state", "assumes")  # fmt: skip
_REFUNDS = ("id", "suffix", "account", "cause", "since", "expected", "seen", "entries", "price_lowered", "state",
            "assumes", "messages")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(money)


def money(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    month: Annotated[
        datetime | None,
        typer.Option(
            help="Jobs that ended in this month (UTC). Without: the present one, with what runs now.", formats=["%Y-%m"]
        ),
    ] = None,
    account: Annotated[str | None, typer.Option(help="Only the jobs of this account.")] = None,
    refunds: Annotated[
        bool, typer.Option("--refunds", help="Only what should come back: expected, seen, overdue, not as expected.")
    ] = False,
    format: ListFormatOption = ListFormat.TABLE,
) -> int:
    """Show what jobs cost: price, spent, at stake now, saved by cancels and early stops, refunds expected and seen.

    What the API does not say is "unknown"; what a figure rests on stands below. JSON is one document, {"month",
    "account", "jobs": […], "totals": {…}}, or with --refunds {"month", "account", "refunds": […], "totals": {…}};
    dollars are decimal strings. A month is that of the job's end.
    """
    now = SystemClock().now()
    with reading(config, state_dir) as store:
        found = store.read_now(lambda reads: month_view(reads, now, month=month, account=account))
    claims = [job for job in found["jobs"] if job["refund"]["state"] != State.NONE.value]
    if format is ListFormat.JSON:
        print_json(found if not refunds else _refunds_only(found, claims))
    elif format is ListFormat.CSV:
        header = _REFUNDS if refunds else _MONEY
        rows = map(_refund_cells if refunds else _money_cells, claims if refunds else found["jobs"])
        sheets.print_csv(header, ([sheets.cell(value) for value in row] for row in rows))
    else:
        _draw(found, claims, refunds=refunds)
    return 0


# --- for programs ---


def _refunds_only(found: Json, claims: Sequence[Json]) -> Json:
    totals = {name: total for name, total in found["totals"].items() if name.startswith("refunds_")}
    named = [{"id": j["id"], "account": j["account"], "suffix": j["suffix"]} | j["refund"] for j in claims]
    return {"month": found["month"], "account": found["account"], "refunds": named, "totals": totals}


def _cell(figure: Json) -> str:
    """A number where there is one: a spreadsheet adds up numbers and leaves the word out."""
    return figure["dollars"] or "unknown"


def _money_cells(job: Json) -> list[object]:
    claim = job["refund"]
    assumed = [word for name in _FIGURES for word in job[name]["assumes"]]
    return [
        *(job[name] for name in ("id", "suffix", "account", "status", "ended_at", "step", "total_steps")),
        *(_cell(job[name]) for name in _FIGURES),
        "unknown" if job["steps_saved"] is None else job["steps_saved"],
        job["saved_by"],
        _cell(claim["expected"]),
        _seen_cell(claim),
        claim["state"],
        _joined([*assumed, *claim["expected"]["assumes"]]),
    ]


def _refund_cells(job: Json) -> list[object]:
    claim = job["refund"]
    return [
        *(job[name] for name in ("id", "suffix", "account")),
        claim["cause"],
        claim["since"],
        _cell(claim["expected"]),
        _seen_cell(claim),
        len(claim["seen"]),
        claim["price_lowered"],
        _state(claim),
        _joined(claim["expected"]["assumes"]),
        "; ".join(entry["message"] for entry in claim["seen"]),
    ]


def _seen_cell(claim: Json) -> str | None:
    return (claim["seen_dollars"] or "unknown") if claim["seen"] else None


def _joined(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))


# --- for people ---


def _draw(found: Json, claims: Sequence[Json], *, refunds: bool) -> None:
    """The table, what it adds up to, and what the figures rest on."""
    console, month = drawing.person_console(), found["month"]
    if not (claims if refunds else found["jobs"]):
        none = f"no refund is due or was seen of jobs that ended in {month}" if refunds else f"no jobs in {month}"
        drawing.put(console, none)
        return
    page = _Page(found, claims, refunds=refunds)
    table = page.refunds() if refunds else page.jobs(narrow=drawing.is_narrow(console))
    drawing.put(console, table, "", page.totals())
    if page.marks:
        drawing.put(console, "", *(Text(f"{mark} {word}", "dim") for word, mark in page.marks.items()))


class _Page:
    """Figures with marks for what they rest on; the marks are numbered as they are needed."""

    def __init__(self, found: Json, claims: Sequence[Json], *, refunds: bool) -> None:
        self._found, self._claims, self._only_refunds = found, claims, refunds
        figures = [job["refund"]["expected"] for job in claims]
        figures += [] if refunds else [job[name] for job in found["jobs"] for name in _FIGURES]
        used = {word for figure in figures if figure["dollars"] is not None for word in figure["assumes"]}
        self.marks = dict(zip((a.words for a in Assumption if a.words in used), _SUPERSCRIPTS, strict=False))

    def jobs(self, *, narrow: bool) -> Table:
        """One line a job."""
        table, rows = tables.plain(), [self._row(job, narrow=narrow) for job in self._found["jobs"]]
        shown = [column for column in rows[0] if not (narrow and column in _WIDE)]
        for column in shown:
            table.add_column(column, justify="right" if column in _RIGHT else "left", no_wrap=column != "")
        for row in rows:
            table.add_row(*(Text(row[column]) for column in shown))
        return table

    def _row(self, job: Json, *, narrow: bool) -> dict[str, str]:
        claim, name = job["refund"], drawing.name(job)
        return {
            "job": name[: _SHORT if narrow else _LONG],
            "status": drawing.sentence(job["status"])[:_SHORT],
            "price": self._amount(job["price"]),
            "spent": self._amount(job["spent"]),
            "an hour": self._more(job["hourly"]),
            "at stake": self._more(job["at_stake"]),
            "saved": self._more(job["saved"]),
            "by": _BY.get(job["saved_by"], ""),
            "refund": self._more(claim["expected"]),
            "": refund_words(claim),
        }

    def refunds(self) -> Table:
        """One line a refund that is due or was seen."""
        table = tables.plain()
        table.add_column("job", no_wrap=True, max_width=_LONG)
        table.add_column("because of", no_wrap=True)
        table.add_column("since", no_wrap=True)
        table.add_column("expected", justify="right", no_wrap=True)
        table.add_column("seen", justify="right", overflow="fold")
        table.add_column("", overflow="fold", ratio=1)
        for job in self._claims:
            claim = job["refund"]
            table.add_row(
                Text(drawing.name(job)),
                claim["cause"] or "",
                tables.moment(claim["since"])[:_DAY],
                self._amount(claim["expected"]),
                _seen(claim),
                Text(said(claim)),
            )
        return table

    def totals(self) -> Table:
        """What the month adds up to; what is unknown is counted beside the sum."""
        totals = self._found["totals"]
        facts: dict[str, str | Text | None] = {} if self._only_refunds else self._all(totals)
        facts["refunds expected"] = self._total(totals["refunds_expected"])
        facts["refunds seen"] = self._total(totals["refunds_seen"])
        if totals["refunds_overdue"]:
            hint = "" if self._only_refunds else " (see watcher money --refunds)"
            facts["refunds overdue"] = f"{totals['refunds_overdue']}{hint}"
        return tables.facts(facts)

    def _all(self, totals: Json) -> dict[str, str | Text | None]:
        count = "1 job" if totals["jobs"] == 1 else f"{totals['jobs']} jobs"
        hour = self._more(totals["hourly"])
        facts: dict[str, str | Text | None] = {
            self._found["month"]: count,
            "price": self._total(totals["price"]),
            "spent": self._total(totals["spent"]),
            "at stake now": self._total(totals["at_stake"]) + (f", {hour} an hour" if hour else ""),
        }
        return facts | {text: self._saved(totals["saved"][by]) for by, text in _SAVED.items()}

    def _saved(self, total: Json) -> str | None:
        if not total["jobs"]:
            return None
        jobs = "1 job" if total["jobs"] == 1 else f"{total['jobs']} jobs"
        return f"{self._total(total)}, {total['steps']} steps in {jobs}"

    def _amount(self, figure: Json) -> str:
        if figure["dollars"] is None:
            return "unknown"
        marks = (mark for word, mark in self.marks.items() if word in figure["assumes"])
        return show(Decimal(figure["dollars"])) + "".join(marks)

    def _more(self, figure: Json) -> str:
        """An amount that is worth a look: plain nothing is left out."""
        return "" if figure["dollars"] == "0.00" and not figure["assumes"] else self._amount(figure)

    def _total(self, total: Json) -> str:
        return self._amount(total) + (f" + {total['unknown']} unknown" if total["unknown"] else "")


def refund_words(claim: Json) -> str:
    """How the refund stands, in a word or two."""
    if claim["state"] == State.NONE.value:
        return ""
    if not claim["seen"]:
        return str(claim["state"])
    compared = claim["state"] in (State.MATCHES.value, State.DIFFERS.value)
    return f"seen {_seen(claim)}, {claim['state']}" if compared else f"seen, {_seen(claim)}"


def said(claim: Json) -> str:
    """How it stands, what the price did, and what the log says."""
    lowered = claim["price_lowered"]
    words = [_state(claim), f"total_price fell by {show(Decimal(lowered))}" if lowered else ""]
    words += [f'"{drawing.sentence(entry["message"])}"' for entry in claim["seen"] if entry["message"]]
    return ", ".join(word for word in words if word)


def _seen(claim: Json) -> str:
    if not claim["seen"]:
        return ""
    return show(Decimal(claim["seen_dollars"])) if claim["seen_dollars"] else "amount unknown"


def _state(claim: Json) -> str:
    undocumented = claim["state"] == State.EXPECTED.value and not claim["entry_documented"]
    return _NO_ENTRY if undocumented else str(claim["state"])
