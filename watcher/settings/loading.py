"""From a file, secret files and the environment to one checked tree, or to one report of all that is wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from watcher.domain.rule import Rule
from watcher.domain.rules import RULES
from watcher.settings.accounts import fill_accounts
from watcher.settings.checks import cross_problems
from watcher.settings.model import Settings, sections
from watcher.settings.problems import Origins, Problem, raise_problems, secrets_in, translate
from watcher.settings.rules import Catalogue, catalogue_of, listed, overridden
from watcher.settings.surroundings import Surroundings, overlay
from watcher.settings.webtoken import fill_token
from watcher.settings.yamlfile import SettingsFile, read_yaml

DOCKER_SECRETS = Path("/run/secrets")
_ONLINE = frozenset({"accounts", "receivers", "route"})


def load_settings(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    offline: bool = False,
    rules: Sequence[type[Any]] = RULES,
    docker_secrets: Path = DOCKER_SECRETS,
) -> Settings:
    """The settings: file, below secret files, below environment variables.

    Args:
        path: the YAML file; without one there are only the defaults and the surroundings.
        environ: the environment variables.
        offline: for commands that talk to nobody (replay): accounts, receivers and routes are not looked at, so that
            their secrets need not be there.
        rules: the kinds of rules there are.
        docker_secrets: where Docker mounts secrets.

    Raises:
        ConfigError: its text tells all problems at once, each with origin, key, value and what was expected.
    """
    around = Surroundings(environ, docker_secrets)
    origins = Origins(str(path) if path else "environment")
    catalogue = catalogue_of(tuple(rules))
    skipped = _ONLINE if offline else frozenset[str]()
    file = read_yaml(path, around, origins, lambda key: key not in skipped) if path else SettingsFile()
    tree = _merged(file.tree, around, origins, catalogue)
    if offline:
        tree = {key: value for key, value in tree.items() if key not in skipped}
    else:
        fill_accounts(tree, around, origins)
        fill_token(tree, around, origins)
    origins.secrets.update(secrets_in(tree))

    problems = [*file.problems, *around.problems]
    told = {problem.path for problem in problems if problem.path}
    later: list[Problem] = []
    base, by_selection = _rules(tree, catalogue, later)
    settings = _validated(tree, later)
    if settings is not None:
        names = {rule.name for built in (base, *by_selection) for rule in built}
        later.extend(cross_problems(settings, names))
    # A value that could not be filled in breaks its type as well: that is told once.
    problems += [problem for problem in later if problem.path not in told]
    raise_problems(problems, origins)
    if settings is None:
        raise AssertionError("a tree that does not validate has problems")
    own = dict(enumerate(by_selection))
    by_name = {s.name: own.get(index, base) for index, s in enumerate(settings.jobs)}
    return settings.loaded(base, by_name, around.files)


def _merged(tree: dict[str, Any], around: Surroundings, origins: Origins, catalogue: Catalogue) -> dict[str, Any]:
    file_lists_rules = "rules" in tree
    overlay(tree, around, origins, sections())
    given = tree.get("rules")
    # A list of rules in a file says which ones run. A variable that sets one threshold does not mean "only this one".
    if isinstance(given, dict) and not file_lists_rules and ("rules",) not in origins.by_path:
        tree["rules"] = {**dict.fromkeys(catalogue.defaults()), **given}
    return tree


def _rules(
    tree: Mapping[str, Any], catalogue: Catalogue, problems: list[Problem]
) -> tuple[tuple[Rule, ...], list[tuple[Rule, ...]]]:
    """The general rules, and those of each selection; what has the wrong shape is left to the validation."""
    given = tree.get("rules")
    specs = listed(given, ("rules",), catalogue, problems) if isinstance(given, dict) else catalogue.defaults()
    base = catalogue.build(specs, problems)
    jobs = tree.get("jobs")
    found = []
    for index, selection in enumerate(jobs if isinstance(jobs, list) else ()):
        own = selection.get("rules") if isinstance(selection, dict) else None
        found.append(base)
        if isinstance(own, dict):
            path = ("jobs", index, "rules")
            found[-1] = catalogue.build(overridden(specs, own, path, catalogue, problems), problems)
    return base, found


def _validated(tree: Mapping[str, Any], problems: list[Problem]) -> Settings | None:
    try:
        return Settings(**tree)
    except ValidationError as exc:
        problems.extend(translate(exc, Settings))
    return None
