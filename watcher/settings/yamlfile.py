"""The settings file: YAML with the line of each key, `${NAME}` filled in, and YAML 1.1's surprises left out.

`off`, `no` and `on` are words, `1e-3` is a number, dates stay text, and a key given twice is an error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from watcher.service.errors import ConfigError
from watcher.settings.problems import KeyPath, Origins, Problem
from watcher.settings.surroundings import Surroundings

_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)
_VARIABLE = re.compile(r"\$(\$(?=\{))|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{([^}]*)\}?")
_NAMED_TEXT = re.compile(r"(?<=\w )'(?!<)[^']{3,}'")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


for _tag, _pattern, _first in _SCALARS:
    _characters = ["" if character == "\0" else character for character in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})$"), _characters)


@dataclass(slots=True)
class SettingsFile:
    """What one file says; `problems` are those that do not keep the rest from being read."""

    tree: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_yaml(path: Path, around: Surroundings, origins: Origins, wanted: Callable[[str], bool]) -> SettingsFile:
    """Read a file; `wanted` chooses among its top-level keys, the others are not looked at.

    Raises:
        ConfigError: there is no such file, or it is not YAML.
    """
    text = _text(path)
    # Also those in sections that are not read: a variable that the file names is no misspelt setting.
    for match in _VARIABLE.finditer(text):
        around.used |= {match[2] or "", f"{match[2]}_FILE"}
    try:
        return _Reader(path, _Loader(text), around, origins, wanted).file()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        # The parser quotes names and the offending line: both may hold a key that was pasted in the wrong place.
        problem = _NAMED_TEXT.sub("'…'", exc.problem or "not valid YAML")
        raise ConfigError(f"{where}: expected YAML: {problem}") from None
    except yaml.YAMLError:
        raise ConfigError(f"{path}: expected YAML text, found a character that YAML does not allow") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: expected a readable settings file ({exc.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected UTF-8 text") from None


@dataclass(slots=True)
class _Reader:
    path: Path
    loader: _Loader
    around: Surroundings
    origins: Origins
    wanted: Callable[[str], bool]
    result: SettingsFile = field(default_factory=SettingsFile)
    above: list[yaml.Node] = field(default_factory=list)

    def file(self) -> SettingsFile:
        node = self.loader.get_single_node()
        if node is None or node.tag == "tag:yaml.org,2002:null":
            return self.result  # an empty file is a file without settings
        if isinstance(node, yaml.MappingNode):
            self.result.tree = self._mapping(node, ())
            return self.result
        raise ConfigError(f"{self.path}:{node.start_mark.line + 1}: expected a mapping of keys at the top")

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:  # noqa: ANN401 - YAML holds anything
        self.origins.by_path[path] = self._place(node)
        if node in self.above:
            raise ConfigError(f"{self._place(node)}: expected an anchor that does not contain itself")
        self.above.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
            value = self.loader.construct_object(node)
            return self._filled(value, path) if isinstance(value, str) else value
        finally:
            self.above.pop()

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self._tell_duplicates(node, path)
        self.loader.flatten_mapping(node)
        entries = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.result.problems.append(Problem(path, "expected keys that are words", None, self._place(key)))
            elif path or self.wanted(key.value):
                entries[key.value] = self._value(value, (*path, key.value))
        return entries

    def _tell_duplicates(self, node: yaml.MappingNode, path: KeyPath) -> None:
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in lines:
                expected = f"given twice, first in line {lines[key.value]}: expected once"
                self.result.problems.append(Problem((*path, key.value), expected, None, self._place(key)))
            lines.setdefault(key.value, line)

    def _filled(self, text: str, path: KeyPath) -> str:
        def fill(match: re.Match[str]) -> str:
            escaped, name, default, odd = match.groups()
            if escaped:
                return "$"
            if odd is not None:
                self._unfilled(path, "expected ${NAME} or ${NAME:-default}; write $${ for a plain ${")
                return ""
            found = self.around.lookup(name)
            if found is None and default is None:
                self._unfilled(
                    path, f"expected the environment variable {name} to be set, or a default: ${{{name}:-…}}"
                )
            return found.value if found else default or ""

        filled = _VARIABLE.sub(fill, text)
        if filled != text:
            self.origins.templates[path] = text
        return filled

    def _unfilled(self, path: KeyPath, expected: str) -> None:
        self.result.problems.append(Problem(path, expected))

    def _place(self, node: yaml.Node) -> str:
        return f"{self.path}:{node.start_mark.line + 1}"
