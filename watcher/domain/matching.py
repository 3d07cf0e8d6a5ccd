"""Matchers on labels: what routes, silences and inhibitions select by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

LABELS = ("account", "selection", "job", "model", "suffix", "owner", "rule", "kind", "severity")
"""Every label that an alert can have; one that does not apply (a model on an account's alert) is empty."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """`label=glob` or `label!=glob`; several globs mean any of them."""

    label: str
    globs: tuple[str, ...]
    negated: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        hit = any(fnmatchcase(labels.get(self.label, ""), glob) for glob in self.globs)
        return hit is not self.negated

    def __str__(self) -> str:
        return f"{self.label}{'!=' if self.negated else '='}{'|'.join(self.globs)}"


def parse_matcher(text: str) -> Matcher:
    """Read `label=glob`, `label!=glob`, with `|` between several globs.

    Raises:
        ValueError: it is not of that form, or there is no such label.
    """
    label, sign, globs = text.partition("=")
    negated = label.endswith("!")
    label = label.removesuffix("!").strip()
    if not sign or not globs:
        raise ValueError(f"{text!r}: expected label=glob or label!=glob")
    if label not in LABELS:
        raise ValueError(f"{text!r}: no label {label!r}; expected one of {', '.join(LABELS)}")
    return Matcher(label, tuple(glob.strip() for glob in globs.split("|")), negated)


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher matches; none at all matches everything."""
    return all(matcher.matches(labels) for matcher in matchers)
