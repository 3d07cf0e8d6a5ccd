"""What must hold between keys of a tree whose parts are each valid."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from watcher.domain.verdicts import Severity
from watcher.settings.model import Account, CancelOverrides, Criteria, Selection, Settings
from watcher.settings.problems import KeyPath, Problem, suggest
from watcher.settings.telling import Telling


def cross_problems(settings: Settings, rule_names: Collection[str]) -> Iterator[Problem]:
    """Every contradiction; `rule_names` are those that run for any job, account or the watcher."""
    for section in ("accounts", "jobs", "receivers", "digests"):
        yield from _doubled(section, [part.name for part in getattr(settings, section)])
    yield from _shared_keys(settings.accounts)
    yield from _routes(settings, rule_names)
    yield from _cancel_bounds(settings)
    for index, selection in enumerate(settings.jobs):
        yield from _periods(("jobs", index), selection)


def _doubled(section: str, names: Sequence[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in names[:index]:
            first = names.index(name)
            yield Problem(
                (section, index, "name"), f"expected a name that is not that of {section}[{first}]", repr(name)
            )


def _shared_keys(accounts: Sequence[Account]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], str] = {}
    for index, account in enumerate(accounts):
        key = (account.api_key.get_secret_value(), account.base_url)
        if key[0] and key in seen:
            expected = f"expected another key than that of account {seen[key]}: its jobs would be watched twice"
            yield Problem(("accounts", index, "api_key"), expected)
        seen.setdefault(key, account.name)


def _routes(settings: Settings, rule_names: Collection[str]) -> Iterator[Problem]:
    receivers = [receiver.name for receiver in settings.receivers]
    if settings.route.receiver is not None:
        yield from _unknown(("route", "receiver"), [settings.route.receiver], receivers, "receiver")
    for index, digest in enumerate(settings.digests):
        yield from _unknown(("digests", index, "receiver"), [digest.receiver], receivers, "receiver")
    closed = {
        "rule": ("rule", rule_names),
        "severity": ("severity", [severity.value for severity in Severity]),
        "account": ("account", [account.name for account in settings.accounts]),
        "selection": ("selection", [selection.name for selection in settings.jobs]),
    }
    yield from _telling(("route",), settings, settings.route, receivers)
    for index, entry in enumerate(settings.route.routes):
        path = ("route", "routes", index)
        yield from _unknown((*path, "receivers"), entry.receivers, receivers, "receiver")
        yield from _telling(path, settings, entry, receivers)
        for label, globs in entry.match.globs().items():
            if label in closed:
                what, known = closed[label]
                yield from _unmatched((*path, "match", label), globs, known, what)


def _telling(path: KeyPath, settings: Settings, how: Telling, receivers: Collection[str]) -> Iterator[Problem]:
    known = [mute.name for mute in settings.mute_times]
    yield from _unknown((*path, "mute_times"), how.mute_times, known, "mute time")
    if how.escalate is not None:
        yield from _unknown((*path, "escalate", "to"), [how.escalate.to], receivers, "receiver")


def _unknown(path: KeyPath, names: Iterable[str], known: Collection[str], what: str) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield Problem(path, f"unknown {what}; {suggest(name, known)}", repr(name))


def _unmatched(path: KeyPath, globs: Iterable[str], known: Collection[str], what: str) -> Iterator[Problem]:
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in known):
            yield Problem(path, f"matches no {what}; {suggest(glob, known)}", repr(glob))


def _cancel_bounds(settings: Settings) -> Iterator[Problem]:
    own: list[tuple[KeyPath, CancelOverrides | None]] = [(("cancel",), None)]
    own += [(("jobs", index, "cancel"), selection.cancel) for index, selection in enumerate(settings.jobs)]
    for path, part in own:
        low, high = settings.cancel.min_progress, settings.cancel.max_progress
        if part is not None:
            if part.min_progress is None and part.max_progress is None:
                continue  # the general bounds, told once
            low = low if part.min_progress is None else part.min_progress
            high = high if part.max_progress is None else part.max_progress
        if low >= high:
            yield Problem(path, "expected min_progress below max_progress", f"{low:g} and {high:g}")


def _periods(path: KeyPath, selection: Selection) -> Iterator[Problem]:
    parts: list[tuple[str, Criteria | None]] = [("match", selection.match), ("exclude", selection.exclude)]
    for key, criteria in parts:
        if criteria is not None and _empty_period(criteria.created_after, criteria.created_before):
            yield Problem((*path, key), "expected created_after before created_before")


def _empty_period(after: datetime | None, before: datetime | None) -> bool:
    return after is not None and before is not None and after >= before
