"""The documents as tests read them: their headings, links and fenced blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>.*)\n(?P<text>(?:.*\n)*?)(?P=indent)```$", re.MULTILINE)
_WORD = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it stands, what it says of itself, and what is in it."""

    document: str
    line: int
    kind: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Everything that people read, but the history of changes."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(document: Path) -> list[Block]:
    """In their order."""
    text, name = document.read_text(), str(document.relative_to(ROOT))
    return [
        Block(name, text.count("\n", 0, found.start()) + 1, found["kind"].strip(), _dedented(found))
        for found in _FENCE.finditer(text)
    ]


def _dedented(found: re.Match[str]) -> str:
    indent = found["indent"]
    return "".join(line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))


def all_blocks() -> Iterator[Block]:
    return (block for document in documents() for block in blocks(document))


def prose(document: Path) -> str:
    """The text without its code."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", document.read_text()))


def anchors(document: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.+)$", _FENCE.sub("", document.read_text()), re.MULTILINE):
        slug = _WORD.sub("", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return {slug if n == 0 else f"{slug}-{n}" for slug, count in found.items() for n in range(count)}


def commands(block: Block) -> list[str]:
    """The `watcher …` lines of a block of shell, without prompts, comments, pipes and continuations."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = [re.sub(r"^\$ ", "", line).strip() for line in joined.splitlines()]
    starts = (re.sub(r"^(?:\w+=\S+ |(?:\S*/)(?=watcher ))*", "", line) for line in lines)
    return [_plain(line) for line in starts if line.startswith("watcher ")]


def _plain(line: str) -> str:
    return re.split(r"\s+#|\s[|>]\s", line)[0].strip()
