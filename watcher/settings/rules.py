"""Rules as settings: which ones run, and each one's mapping validated into its dataclass."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from watcher.domain.rule import Rule, SubjectKind
from watcher.settings.durations import Duration
from watcher.settings.problems import KeyPath, Problem, show_value, suggest, translate

OFF = ("off", False)
"""How a selection switches a rule off; a JSON variable can only say `false`."""


@dataclasses.dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule that is on: its kind and the settings given for it."""

    kind: str
    values: Mapping[str, Any]
    path: KeyPath = ()


Specs = dict[str, RuleSpec]
"""By the rule's name, which is that of its kind unless the setting `rule` names another kind."""


class Catalogue:
    """The kinds of rules there are."""

    def __init__(self, classes: Sequence[type[Any]]) -> None:
        self._classes = {_default_name(cls): cls for cls in classes}
        self._models = {kind: _model(cls, skip="name") for kind, cls in self._classes.items()}

    def __contains__(self, kind: object) -> bool:
        return kind in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __getitem__(self, kind: str) -> type[Any]:
        return self._classes[kind]

    def defaults(self) -> Specs:
        """The rules that run when the settings list none."""
        return {kind: RuleSpec(kind, {}) for kind, cls in self._classes.items() if getattr(cls, "default_on", True)}

    def subject(self, kind: str) -> SubjectKind:
        """What a kind of rule looks at."""
        return SubjectKind(self._classes[kind].subject)

    def build(self, specs: Specs, problems: list[Problem]) -> tuple[Rule, ...]:
        """The rules themselves, in the order of the catalogue."""
        order = list(self._classes)
        ordered = sorted(specs.items(), key=lambda item: order.index(item[1].kind))
        built = (self._instance(name, spec, problems) for name, spec in ordered)
        return tuple(rule for rule in built if rule is not None)

    def _instance(self, name: str, spec: RuleSpec, problems: list[Problem]) -> Rule | None:
        model = self._models[spec.kind]
        try:
            rule: Rule = _made(self._classes[spec.kind], model.model_validate(dict(spec.values)), name=name)
        except ValidationError as exc:
            problems.extend(translate(exc, model, spec.path))
        except ValueError as exc:
            problems.append(Problem(spec.path, str(exc)))
        else:
            return rule
        return None


@cache
def catalogue_of(classes: tuple[type[Any], ...]) -> Catalogue:
    """The catalogue of these kinds; made once, since building their models takes most of the time of a load."""
    return Catalogue(classes)


def listed(raw: Mapping[str, Any], path: KeyPath, catalogue: Catalogue, problems: list[Problem]) -> Specs:
    """The rules of the top-level `rules`: exactly those that it lists."""
    specs: Specs = {}
    for name, value in raw.items():
        here = (*path, name)
        if value in OFF:
            expected = "expected settings or nothing: leave a rule out to switch it off, or say off in a selection"
            problems.append(Problem(here, expected, show_value(here, value)))
        elif (spec := _spec(value, here, catalogue, problems)) is not None:
            specs[name] = spec
    return specs


def overridden(
    base: Specs, raw: Mapping[str, Any], path: KeyPath, catalogue: Catalogue, problems: list[Problem]
) -> Specs:
    """The rules of one selection: those of the top level, with its own settings on top."""
    specs = dict(base)
    for name, value in raw.items():
        here = (*path, name)
        if value in OFF:
            if name not in base and name not in catalogue:
                problems.append(Problem(here, f"unknown rule; {suggest(name, {*base, *catalogue})}"))
            specs.pop(name, None)
            continue
        spec = _spec(value, here, catalogue, problems, base)
        if spec is not None and catalogue.subject(spec.kind) is not SubjectKind.JOB:
            expected = f"expected a rule on jobs; this one is on the {catalogue.subject(spec.kind)}: set it under rules"
            problems.append(Problem(here, expected))
        elif spec is not None:
            specs[name] = spec
    return specs


def _spec(
    value: object, path: KeyPath, catalogue: Catalogue, problems: list[Problem], base: Specs | None = None
) -> RuleSpec | None:
    name = str(path[-1])
    values = {} if value is None else value
    if not isinstance(values, Mapping):
        shown = show_value(path, value, container_expected=True)
        problems.append(Problem(path, "expected a mapping of settings, or nothing for the defaults", shown))
        return None
    under = (base or {}).get(name)
    kind = values.get("rule", under.kind if under else name)
    if kind not in catalogue:
        where = (*path, "rule") if "rule" in values else path
        problems.append(Problem(where, f"unknown rule; {suggest(str(kind), {*catalogue, *(base or {})})}"))
        return None
    own = {key: setting for key, setting in values.items() if key != "rule"}
    return RuleSpec(str(kind), {**(under.values if under else {}), **own}, path)


def _model(cls: type[Any], skip: str = "") -> type[BaseModel]:
    # Pydantic validates straight into a dataclass too, but then drops a misspelt key silently, and reads no `30s`.
    hints = get_type_hints(cls)
    fields = {
        f.name: (_read_as(hints[f.name]), ... if _required(f) else None)
        for f in dataclasses.fields(cls)
        if f.init and f.name != skip
    }
    config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, protected_namespaces=())
    return create_model(cls.__name__, __config__=config, **fields)  # type: ignore[call-overload, no-any-return]


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _read_as(hint: Any) -> Any:  # noqa: ANN401 - any type expression
    """The type to validate a setting as: durations as people write them, no negative numbers, nested settings."""
    if hint is timedelta:
        return Duration
    if hint in (int, float):
        return Annotated[hint, Field(ge=0)]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return Annotated[_model(hint), AfterValidator(lambda entry: _made(hint, entry))]
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(map(_read_as, get_args(hint)))]  # noqa: UP007 - the members are known at run time only
    return hint


def _made(cls: type[Any], entry: BaseModel, **more: object) -> Any:  # noqa: ANN401 - any dataclass
    given = {field: getattr(entry, field) for field in entry.model_fields_set}
    return cls(**{**given, **more})


def _default_name(cls: type[Any]) -> str:
    return str(next(f.default for f in dataclasses.fields(cls) if f.name == "name"))
