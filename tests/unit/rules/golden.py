"""What the rules over curves say of a few recorded runs, kept so that a change of behaviour is seen.

    .venv/bin/python -m tests.unit.rules.golden

writes the file anew, after the `version` of each rule that behaves differently was raised.
"""

import json
from pathlib import Path
from typing import Any

from tests.unit.rules.curves import CURVE_RULES
from watcher.cli.recordings import read_recordings
from watcher.domain.replay import replay
from watcher.domain.rule import Rule

DATA = Path(__file__).resolve().parents[2] / "data"
CURVES = DATA / "curves" / "lab.jsonl.gz"
GOLDEN = DATA / "golden_rules.json"


def outputs(rule: Rule) -> dict[str, list[list[Any]]]:
    """Every firing on every run: kind, step, onset, and whether it may cancel."""
    return {
        recording.id: [[a.kind, a.step, a.onset, a.may_cancel] for a in replay(recording, [rule]).alerts]
        for recording in read_recordings(CURVES)
    }


def written() -> str:
    """The golden file, one run a line."""
    rules = {rule.name: {"version": rule.version, "outputs": outputs(rule)} for rule in CURVE_RULES}
    return json.dumps(rules, indent=1).replace("\n    ", " ").replace("\n   ]", " ]") + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(written())
