"""The licences of what the program is installed with, from the packages' own metadata.

    python tools/licences.py [--write docs/reference/licences.md]

Exit code 1 for a licence that is not on the list of those that a permissively licensed program may ship with.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
    "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""Permissive ones; MPL-2.0 asks only for its own files."""
_FREE_TEXT = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What older packages write, in SPDX's words."""


def locked(file: Path = ROOT / "requirements.txt") -> dict[str, str]:
    """Name and version of every package of a lock file that is installed on this platform."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", file.read_text(), re.MULTILINE)
    return dict(pins)


def licence_of(name: str) -> str | None:
    """The SPDX expression of an installed package; None when it is not installed here, or says nothing."""
    try:
        said = distribution(name).metadata
    except PackageNotFoundError:
        return None
    expression = said.get("License-Expression")
    if expression:
        return str(expression)
    if "Redistribution and use in source and binary forms" in str(said.get("License")):
        return "BSD-3-Clause"  # the whole text stands where its name is expected
    classifiers = [c.rpartition(":: ")[2] for c in said.get_all("Classifier") or [] if c.startswith("License ::")]
    texts = [*classifiers, str(said.get("License") or "").splitlines()[0] if said.get("License") else ""]
    known = [_FREE_TEXT.get(text.lower(), text) for text in texts if text]
    return next((text for text in known if text in ALLOWED), known[0] if known else None)


def allowed(expression: str) -> bool:
    """Whether one side of each `OR`, and all sides of each `AND`, are on the list."""
    parts = re.split(r"\s+AND\s+", expression.strip("() "))
    return all(any(choice.strip("() ") in ALLOWED for choice in re.split(r"\s+OR\s+", part)) for part in parts)


def table() -> str:
    """The document."""
    rows = [(name, version, licence_of(name)) for name, version in sorted(locked().items())]
    lines = [f"| {name} | {version} | {licence} |" for name, version, licence in rows if licence]
    return "\n".join(
        [
            "# Licences of what is installed with the program",
            "",
            "Written by `make licences WRITE=docs/reference/licences.md` from the packages' own metadata; a test",
            "compares it with the lock file. The program itself is under Apache-2.0.",
            "",
            "| package | version | licence |",
            "|---|---|---|",
            *lines,
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    refused = [f"{n}: {licence_of(n)}" for n in locked() if (known := licence_of(n)) is not None and not allowed(known)]
    for line in refused:
        sys.stdout.write(f"licences: not on the list: {line}\n")
    if arguments[:1] == ["--write"]:
        Path(arguments[1]).write_text(table(), encoding="utf-8")
    sys.stdout.write(f"licences: {len(locked())} packages looked at, {len(refused)} refused\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
