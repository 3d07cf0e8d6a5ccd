"""The process's surroundings: environment variables and the files that hold secrets.

A name is looked up as the variable `NAME`, then as the file that `NAME_FILE` names, then as a file `name` in
`$CREDENTIALS_DIRECTORY` (systemd) or in the directory of Docker secrets. An empty one counts as not set.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watcher.settings.problems import KeyPath, Origins, Problem, suggest

PREFIX = "WATCHER_"
RESERVED = frozenset({"WATCHER_STATE_DIR"})
"""Variables of this prefix that are not settings."""

# Kubernetes sets these in every container beside a Service of the name `watcher`.
_KUBERNETES = re.compile(r"WATCHER_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_\w+)?)")


@dataclass(frozen=True, slots=True)
class Found:
    """A value, where it came from, and whether it was kept in a file of its own because it is secret."""

    value: str
    origin: str
    secret: bool = False


@dataclass(slots=True)
class Surroundings:
    """Looks names up and keeps what went wrong.

    `used` are the names that the settings file asked for, `files` the secret files that were read.
    """

    environ: Mapping[str, str]
    docker_secrets: Path
    problems: list[Problem] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)

    def lookup(self, name: str) -> Found | None:
        """The variable, or the content of its secret file; None when there is neither."""
        self.used |= {name, f"{name}_FILE"}
        if value := self.environ.get(name):
            return Found(value, f"environment variable {name}")
        if file := self.environ.get(f"{name}_FILE"):
            return self.read(Path(file), f"environment variable {name}_FILE")
        for folder in self._folders():
            for path in folder:
                if path.name in (name.lower(), name):
                    return self.read(path, f"secret file {path}")
        return None

    def read(self, path: Path, origin: str, key: KeyPath = ()) -> Found | None:
        """A secret file's text without its last line break."""
        self.files.add(path)
        try:
            text = path.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            self.problems.append(Problem(key, f"expected a readable file ({why})", repr(str(path)), origin))
            return None
        if not text.strip():
            self.problems.append(Problem(key, "expected a file that is not empty", repr(str(path)), origin))
            return None
        return Found(text, origin, secret=True)

    def secret_files(self) -> Iterator[tuple[str, Found | None]]:
        """Settings given as files: name of the setting and content; files in folders first, `*_FILE` over them."""
        for folder in reversed(self._folders()):
            for path in folder:
                if path.name.upper().startswith(PREFIX) and path.name.upper() not in self.used:
                    yield path.name.upper(), self.read(path, f"secret file {path}")
        for name, value in sorted(self.environ.items()):
            if name.startswith(PREFIX) and name.endswith("_FILE") and value and name not in self.used:
                yield name.removesuffix("_FILE"), self.read(Path(value), f"environment variable {name}")

    def variables(self) -> Iterator[tuple[str, Found]]:
        """Settings given as environment variables."""
        for name, value in sorted(self.environ.items()):
            if not name.startswith(PREFIX) or name.endswith("_FILE") or name in RESERVED | self.used:
                continue
            if value and not _KUBERNETES.fullmatch(name):
                yield name, Found(value, f"environment variable {name}")

    def _folders(self) -> list[list[Path]]:
        credentials = self.environ.get("CREDENTIALS_DIRECTORY")
        folders = [Path(credentials)] if credentials else []
        return [_files(folder) for folder in (*folders, self.docker_secrets)]


def _files(folder: Path) -> list[Path]:
    # Another program's folder of secrets may exist and be closed to us: that is no fault of this configuration.
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


def overlay(tree: dict[str, Any], around: Surroundings, origins: Origins, known: Mapping[str, Iterable[str]]) -> None:
    """Lay secret files, then variables, over the settings of the file; `known` are the sections and their keys."""
    for name, found in (*around.secret_files(), *around.variables()):
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if found is None:
            continue
        if path[0] not in known:
            keys = [f"{key}__{below}".upper() for key, names in known.items() for below in names]
            hint = suggest("__".join(path).upper(), [key.upper() for key in known], PREFIX, keys)
            around.problems.append(Problem((), f"unknown setting; {hint}", None, found.origin))
        elif any(isinstance(_at(tree, path[:end]), list) for end in range(1, len(path))):
            expected = "expected the whole list as JSON in one variable: single entries of lists have no names"
            around.problems.append(Problem((), expected, None, found.origin))
        else:
            _put(tree, path, _decoded(found.value))
            origins.override(path, found.origin)
            if found.secret:
                origins.secrets.add(found.value)


def _at(tree: Any, path: tuple[str, ...]) -> object:  # noqa: ANN401 - a tree of anything
    for part in path:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    tree[path[-1]] = value


def _decoded(text: str) -> object:
    # Lists and mappings come as JSON. What only looks like one (`[ab]*` is a glob) stays text.
    if text.lstrip()[:1] not in {"[", "{"}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
