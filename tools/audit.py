"""Ask the public advisories about the locked packages.

    python tools/audit.py PIP_AUDIT requirements.txt …

Exit code 1 when one of them has a known vulnerability. Where the advisory service can't be asked (a mirror that has no
such data, no network), that is said in one line, and nothing is claimed.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def main(pip_audit: str, files: list[str]) -> int:
    bad = 0
    for file in files:
        command = [
            pip_audit,
            "--requirement",
            file,
            "--no-deps",
            "--disable-pip",
            "--format",
            "json",
            "--progress-spinner=off",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603 - our own tool
        try:
            found = json.loads(done.stdout)["dependencies"]
        except ValueError:
            sys.stdout.write(f"audit: {file}: not audited, the advisories could not be asked\n")
            continue
        bad += _report(file, found)
    return 1 if bad else 0


def _report(file: str, found: list[dict[str, Any]]) -> int:
    asked = [package for package in found if "skip_reason" not in package]
    bad = [(package, advisory) for package in asked for advisory in package["vulns"]]
    for package, advisory in bad:
        fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
        sys.stdout.write(f"audit: {file}: {package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}\n")
    what = f"{len(asked)} of {len(found)} packages audited, {len(bad)} known vulnerabilities"
    if not asked:
        what = f"not audited: the advisory service knows none of the {len(found)} packages here (no advisory data)"
    sys.stdout.write(f"audit: {file}: {what}\n")
    return len(bad)


if __name__ == "__main__":
    if len(sys.argv) < 3 or not Path(sys.argv[1]).exists():
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
