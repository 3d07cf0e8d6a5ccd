"""Projects: which jobs a key sees, and since when it is refused.

A key that reads `PROJECT/anything`, with a project that one of the runs names, sees that project alone, as Together's
keys do. Every other key sees all jobs, so that any key will do where nothing is said of projects.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from watcher.simulator.catalogue import ORGANIZATION, PROJECT
from watcher.simulator.rows import SECOND

EVERYTHING = ""
"""The project of a key that sees all."""

_REVOCATION = re.compile(r"(?P<name>[^:]+):(?P<start>[0-9.]+):(?P<length>[0-9.]+)")


@dataclass(frozen=True, slots=True)
class Revocation:
    """The keys of a project, or one key, are refused for a while; times in nanoseconds since the simulation began."""

    name: str
    start_ns: int
    end_ns: int

    @classmethod
    def parse(cls, text: str) -> "Revocation":
        """`PROJECT:START:LENGTH` or `PROJECT/KEY:START:LENGTH`, in seconds.

        Raises:
            ValueError: it is not of that form.
        """
        found = _REVOCATION.fullmatch(text)
        try:
            start, length = (float(found[key]) for key in ("start", "length")) if found else (None, None)
        except ValueError:
            start = length = None
        if found is None or start is None or length is None:
            raise ValueError(f"a revocation is PROJECT:START:LENGTH in seconds, such as products:6:4, not {text!r}")
        return cls(found["name"], int(start * SECOND), int((start + length) * SECOND))

    def holds(self, key: str, project: str, since_start_ns: int) -> bool:
        """Whether a key, which belongs to a project, is refused at that time."""
        return self.name in (key, project) and self.start_ns <= since_start_ns < self.end_ns


def project_of(key: str, known: Iterable[str]) -> str:
    """The project that a key belongs to, or `EVERYTHING`."""
    name, slash, _ = key.partition("/")
    return name if slash and name in set(known) - {EVERYTHING} else EVERYTHING


def whoami(project: str) -> dict[str, Any]:
    """Whose key it is."""
    own = PROJECT if project == EVERYTHING else {"id": f"proj_{project}", "name": project, "slug": project}
    return {
        "type": "project_api_key",
        "api_key": {"id": "key_simulated"},
        "organization": ORGANIZATION,
        "project": own,
    }
