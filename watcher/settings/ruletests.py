"""Files of rule tests: read and checked as the settings are, with file, line, key, value and what was expected."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from watcher.domain.replay import judged_by_rows
from watcher.domain.rule import Rule
from watcher.domain.rules import RULES
from watcher.domain.ruletest import CancelExpected, Expected, RuleTest, Series, Steps, Value, parse_series, recording_of
from watcher.settings.basics import Part, filled
from watcher.settings.loading import DOCKER_SECRETS
from watcher.settings.problems import Origins, Problem, raise_problems, translate
from watcher.settings.rules import Catalogue, catalogue_of, listed
from watcher.settings.surroundings import Surroundings
from watcher.settings.yamlfile import read_yaml


def _is_series(value: str | float) -> str | float:
    parse_series(str(value))
    return value


Notation = Annotated[str | float, AfterValidator(_is_series)]
Step = Annotated[int, Field(ge=0)]


class EvalEntry(Part):
    """Evaluations at every so many steps."""

    every: Annotated[int, Field(ge=1)]
    values: Notation


class SeriesEntry(Part):
    """The rows of a run."""

    train: Notation
    grad_norm: Notation | None = None
    lr: Notation | None = None
    eval: EvalEntry | None = None
    total_steps: Annotated[int, Field(ge=1)] | None = None
    method: str | None = None
    n_evals: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _even(self) -> "SeriesEntry":
        rows = len(_values(self.train))
        for name, notation in (("grad_norm", self.grad_norm), ("lr", self.lr)):
            count = len(_values(notation))
            if count not in (0, 1, rows):
                raise ValueError(f"expected {name} to have one value, or {rows} as train has, not {count}")
        return self

    def series(self) -> Series:
        """As the domain takes it."""
        return Series(
            train=_values(self.train),
            grad_norm=_values(self.grad_norm),
            lr=_values(self.lr),
            evals=_values(self.eval.values) if self.eval else (),
            eval_every=self.eval.every if self.eval else 1,
        )


class _At(Part):
    step: Step | None = None
    between: tuple[Step, Step] | None = None

    @model_validator(mode="after")
    def _one(self) -> "_At":
        if self.step is not None and self.between is not None:
            raise ValueError("expected either step or between")
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError("expected between to be [first, last]")
        return self

    def steps(self) -> Steps | None:
        """As the domain takes it."""
        first, last = self.between or (self.step, self.step)
        return None if first is None or last is None else Steps(first=first, last=last)


class ExpectEntry(_At):
    """One firing."""

    rule: str
    kind: str | None = None
    reason: str = ""

    def expected(self) -> Expected:
        """As the domain takes it."""
        return Expected(rule=self.rule, kind=self.kind, steps=self.steps(), reason=self.reason)


class CancelEntry(_At):
    """The cancel that `enforce` would do."""

    rule: str | None = None


class TestEntry(Part):
    """One run and what must come of it; without `rule` and `rules` the configuration's rules look at it."""

    name: str
    rule: str | None = None
    rules: dict[str, Any] | None = None
    series: SeriesEntry
    expect: tuple[ExpectEntry, ...]
    cancel: CancelEntry | None = None


class RuleTestFile(Part):
    """All of one file."""

    tests: Annotated[tuple[TestEntry, ...], AfterValidator(filled)]


def load_rule_tests(
    path: Path, environ: Mapping[str, str], rules: Sequence[Rule], *, kinds: Sequence[type[Any]] = RULES
) -> tuple[RuleTest, ...]:
    """The tests of a file; `rules` look at the runs of those that name none.

    Raises:
        ConfigError: its text tells all that is wrong, each with file, line, key, value and what was expected.
    """
    origins = Origins(str(path))
    file = read_yaml(path, Surroundings(environ, DOCKER_SECRETS), origins, lambda _: True)
    problems, catalogue = list(file.problems), catalogue_of(tuple(kinds))
    found = tuple[RuleTest, ...]()
    try:
        entries = RuleTestFile(**file.tree).tests
    except ValidationError as exc:
        problems += translate(exc, RuleTestFile)
    else:
        found = tuple(_test(entry, ("tests", i), rules, catalogue, problems) for i, entry in enumerate(entries))
    raise_problems(problems, origins)
    return found


def _test(
    entry: TestEntry, path: tuple[str | int, ...], rules: Sequence[Rule], catalogue: Catalogue, problems: list[Problem]
) -> RuleTest:
    if entry.rule is not None and entry.rules is not None:
        problems.append(Problem((*path, "rule"), "expected either rule or rules", repr(entry.rule)))
    elif entry.rule is not None:
        rules = catalogue.build(listed({entry.rule: None}, path, catalogue, problems), problems)
    elif entry.rules is not None:
        rules = catalogue.build(listed(entry.rules, (*path, "rules"), catalogue, problems), problems)
    judged = judged_by_rows(rules)
    names = sorted(rule.name for rule in judged)
    problems += [
        Problem((*path, "expect", i, "rule"), f"expected one of its rules on rows: {', '.join(names)}", repr(one.rule))
        for i, one in enumerate(entry.expect)
        if one.rule not in names
    ]
    series = entry.series
    return RuleTest(
        name=entry.name,
        recording=recording_of(
            entry.name,
            series.series(),
            total_steps=series.total_steps,
            method=series.method,
            n_evals=series.n_evals,
        ),
        rules=judged,
        expect=tuple(one.expected() for one in entry.expect),
        cancel=_cancel(entry),
    )


def _cancel(entry: TestEntry) -> CancelExpected | None:
    """Not given: it does not matter; null: there must be none."""
    if "cancel" not in entry.model_fields_set:
        return None
    if entry.cancel is None:
        return CancelExpected(none=True)
    return CancelExpected(steps=entry.cancel.steps(), rule=entry.cancel.rule)


def _values(notation: str | float | None) -> tuple[Value, ...]:
    return () if notation is None else parse_series(str(notation))
