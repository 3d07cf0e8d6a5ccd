"""What people and programs read of a check of early stopping."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing, tables
from watcher.domain.early_stop_check import Chance, Would
from watcher.domain.early_stopping import READINGS, EarlyStopping, Evaluation, Reading, show
from watcher.domain.phrasing import number

Json = dict[str, Any]
Outcomes = Mapping[Reading, Would | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run to try settings on, without its rows. `last` is the last step recorded, `status` that of a watched job."""

    id: str
    evals: tuple[Evaluation, ...]
    n_evals: int | None
    last: int
    planned: int | None
    status: str = ""

    def takes(self, knobs: EarlyStopping) -> bool:
        """Whether it could have been created with these knobs; an unknown plan had at least what was recorded."""
        return (self.n_evals or len(self.evals)) >= knobs.least_evals


@dataclass(frozen=True, slots=True)
class Tried:
    """A run under each setting; None where it could not have been created with it."""

    case: Case
    outcomes: Sequence[Outcomes | None]

    def first(self, index: int) -> Would | None:
        """What counts: the outcome in the first reading."""
        found = self.outcomes[index]
        return None if found is None else next(iter(found.values()))

    def saved(self, index: int) -> int:
        """Steps recorded after the halt: what was really run, not what was planned."""
        found = self.first(index)
        return 0 if found is None else max(0, self.case.last - found.halt.step)


@dataclass(frozen=True, slots=True)
class Trial:
    """All that was asked: `chances` is empty where no number of evaluations was given."""

    settings: Sequence[EarlyStopping]
    chances: Sequence[Chance]
    tried: Sequence[Tried]


@dataclass(frozen=True, slots=True)
class Sums:
    """One setting over all runs. `later` are those in which a better evaluation came after the halt."""

    trial: Trial
    index: int

    @property
    def halted(self) -> int:
        return sum(tried.first(self.index) is not None for tried in self.trial.tried)

    @property
    def refused(self) -> int:
        return sum(tried.outcomes[self.index] is None for tried in self.trial.tried)

    @property
    def unsure(self) -> int:
        return sum(len(tried.outcomes[self.index] or ()) > 1 for tried in self.trial.tried)

    @property
    def saved(self) -> int:
        return sum(tried.saved(self.index) for tried in self.trial.tried)

    @property
    def steps(self) -> int:
        return sum(tried.case.last for tried in self.trial.tried)

    @property
    def later(self) -> list[Would]:
        found = (tried.first(self.index) for tried in self.trial.tried)
        return [would for would in found if would is not None and would.better is not None]

    @property
    def worst(self) -> float:
        return max((would.lost for would in self.later), default=0.0)


# --- for people ---


def report(trial: Trial) -> list[RenderableType]:
    """Everything, ready to be printed."""
    if len(trial.settings) > 1:
        return [_comparison(trial), *_notes(trial)]
    parts: list[RenderableType] = [_chance(chance) for chance in trial.chances]
    if not trial.tried:
        return parts or ["no runs to try it on"]
    return [*parts, *([""] if parts else []), _runs(trial), "", _totals(Sums(trial, 0)), *_notes(trial)]


def _chance(chance: Chance) -> Table:
    knobs, first, planned = chance.knobs, chance.earliest_eval, chance.n_evals
    asks = f"the service asks for at least {knobs.least_evals} evaluations (patience + warm-up + 1)"
    step = "" if chance.earliest_step is None else f", at about step {chance.earliest_step:,} of {chance.steps:,}"
    return tables.facts(
        {
            "setting": f"{knobs}, on {planned} evaluations",
            "can fire": f"yes: {asks}" if chance.can_fire else f"no: {asks}, and would refuse the job",
            "earliest halt": f"evaluation {first} of {planned}{step}" if first else None,
            "saves at most": _most(chance) if first else None,
            "not finite": "a loss that is not finite halts at once, in the warm-up too" if first else None,
        }
    )


def _most(chance: Chance) -> str:
    share = f"{100 * chance.most_saved:.0f} %"
    most = chance.most_steps_saved
    return f"{share} of the run" if most is None else f"about {most:,} of {chance.steps:,} steps ({share})"


def _runs(trial: Trial) -> Table:
    table = tables.plain()
    table.add_column("run", overflow="fold")
    for column in ("evals", "steps"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("would halt", overflow="fold")
    table.add_column("ships", overflow="fold")
    table.add_column("steps saved", justify="right", no_wrap=True)
    table.add_column("better later", overflow="fold")
    for tried in trial.tried:
        case, found = tried.case, tried.first(0)
        table.add_row(
            Text(drawing.sentence(f"{case.id} ({case.status})" if case.status else case.id)),
            f"{len(case.evals)}/{case.n_evals}" if case.n_evals else f"{len(case.evals)}",
            f"{case.last:,}/{case.planned:,}" if case.planned else f"{case.last:,}",
            _halts(tried.outcomes[0]),
            _each(tried.outcomes[0], _ships),
            f"{tried.saved(0):,} ({_share(tried.saved(0), case.last)})" if found else "",
            _better(found),
        )
    return table


def _halts(found: Outcomes | None) -> str:
    return "too few evals" if found is None else _each(found, _halt)


def _each(found: Outcomes | None, words: Callable[[Would | None], str]) -> str:
    """What is said of an outcome, of every reading that says something else."""
    said = dict.fromkeys(words(would) for would in (found or {}).values())
    return " or ".join(word for word in said if word)


def _halt(would: Would | None) -> str:
    if would is None:
        return "no"
    return f"step {would.halt.step}{' (not finite)' if would.halt.loss is None else ''}"


def _ships(would: Would | None) -> str:
    if would is None:
        return ""
    return f"step {would.ships} (no finite eval)" if would.course.best is None else show(would.course.best)


def _better(would: Would | None) -> str:
    if would is None or would.better is None:
        return ""
    return f"{show(would.better)}{f', {number(would.lost)} lower' if would.lost else ''}"


def _totals(sums: Sums) -> str:
    later = len(sums.later)
    lost = f", {later} of them before a better eval came (at worst {number(sums.worst)} lower)" if later else ""
    return (
        f"{_count(len(sums.trial.tried))}; {sums.halted:,} would be halted{lost}; "
        f"{sums.saved:,} of {sums.steps:,} steps saved ({_share(sums.saved, sums.steps)})"
    )


def _comparison(trial: Trial) -> Table:
    table = tables.plain()
    table.add_column("patience", justify="right", no_wrap=True)
    for column in ("can fire", "earliest halt", "saves at most") if trial.chances else ():
        table.add_column(column, no_wrap=True)
    for column in ("would halt", "steps saved", "better later", "at worst") if trial.tried else ():
        table.add_column(column, justify="right", no_wrap=True)
    for index, knobs in enumerate(trial.settings):
        table.add_row(
            str(knobs.patience),
            *(_chance_cells(trial.chances[index]) if trial.chances else ()),
            *(_sum_cells(Sums(trial, index)) if trial.tried else ()),
        )
    return table


def _chance_cells(chance: Chance) -> tuple[str, str, str]:
    if not chance.can_fire:
        return f"no: needs {chance.knobs.least_evals} evals", "", ""
    step = "" if chance.earliest_step is None else f", step {chance.earliest_step:,}"
    return "yes", f"eval {chance.earliest_eval} of {chance.n_evals}{step}", f"{100 * chance.most_saved:.0f} %"


def _sum_cells(sums: Sums) -> tuple[str, str, str, str]:
    later = len(sums.later)
    return (
        f"{sums.halted:,} of {len(sums.trial.tried) - sums.refused:,}",
        f"{sums.saved:,} ({_share(sums.saved, sums.steps)})",
        f"{later:,}",
        f"{number(sums.worst)} lower" if later else "",
    )


def _notes(trial: Trial) -> list[str]:
    """What the figures leave out, told once however many settings there are."""
    if not trial.tried:
        return []
    every = [Sums(trial, index) for index in range(len(trial.settings))]
    refused, unsure = max(sums.refused for sums in every), max(sums.unsure for sums in every)
    most = "up to " if len(every) > 1 else ""
    notes = []
    if refused:
        has = "has" if refused == 1 else "have"
        notes.append(f"{most}{_count(refused)} {has} too few evaluations for the service to take the setting: left out")
    if unsure:
        depend = "depends" if unsure == 1 else "depend"
        notes.append(
            f"{most}{_count(unsure)} {depend} on how the service reads min_delta, which is not documented; "
            f"counted here: {READINGS[0]}"
        )
    return ["", *notes] if notes else []


def _count(runs: int) -> str:
    return f"{runs:,} {'run' if runs == 1 else 'runs'}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole > 0 else "0.0 %"


# --- for programs ---


def document(trial: Trial) -> Json:
    """Everything as one JSON document."""
    chances: Sequence[Chance | None] = trial.chances or [None] * len(trial.settings)
    return {
        "settings": [_setting(knobs, chance) for knobs, chance in zip(trial.settings, chances, strict=True)],
        "runs": [_run(trial, tried) for tried in trial.tried],
        "summary": [_summary(Sums(trial, index)) for index in range(len(trial.settings))],
    }


def _setting(knobs: EarlyStopping, chance: Chance | None) -> Json:
    return {
        "patience": knobs.patience,
        "min_delta": knobs.min_delta,
        "warmup": knobs.warmup,
        "least_evals": knobs.least_evals,
        "n_evals": chance and chance.n_evals,
        "steps": chance and chance.steps,
        "can_fire": chance and chance.can_fire,
        "earliest_eval": chance and chance.earliest_eval,
        "earliest_step": chance and chance.earliest_step,
        "most_saved": chance and chance.most_saved,
    }


def _run(trial: Trial, tried: Tried) -> Json:
    case = tried.case
    return {
        "id": case.id,
        "status": case.status or None,
        "evals": len(case.evals),
        "n_evals": case.n_evals,
        "steps": case.last,
        "total_steps": case.planned,
        "outcomes": [
            {
                "patience": knobs.patience,
                "possible": found is not None,
                "readings": [_outcome(case, reading, would) for reading, would in (found or {}).items()],
            }
            for knobs, found in zip(trial.settings, tried.outcomes, strict=True)
        ],
    }


def _outcome(case: Case, reading: Reading, would: Would | None) -> Json:
    told: Json = {"at_delta": reading.at_delta, "any_lower": reading.any_lower, "halt_step": None}
    if would is None:
        return told
    best, better = would.course.best, would.better
    return told | {
        "halt_step": would.halt.step,
        "halt_eval": would.course.seen,
        "cause": "not_finite" if would.halt.loss is None else "patience",
        "ships_step": would.ships,
        "ships_loss": best and best.loss,
        "steps_saved": max(0, case.last - would.halt.step),
        "better_step": better and better.step,
        "better_loss": better and better.loss,
        "lost": would.lost,
    }


def _summary(sums: Sums) -> Json:
    return {
        "patience": sums.trial.settings[sums.index].patience,
        "runs": len(sums.trial.tried),
        "halted": sums.halted,
        "too_few_evals": sums.refused,
        "depends_on_reading": sums.unsure,
        "steps": sums.steps,
        "steps_saved": sums.saved,
        "better_later": len(sums.later),
        "worst_lost": sums.worst,
    }
