"""Each of the sixteen failure modes that were found in other watchers has a test that bears its number."""

import re
from pathlib import Path

MODES = {
    1: "marked as sent before it was sent",
    2: "dropped after a fixed number of quick tries",
    3: "success judged by the text of a log",
    4: "the stop silently does nothing",
    5: "the stop, by a prefix, matches another job",
    6: "NaN blinds a rule, or poisons what all jobs are judged by",
    7: "NaN hidden as 0.0 by the trainer",
    8: "stopping destroys the very checkpoint that is wanted",
    9: "our own outage told as the job's failure, or swallowing real ones",
    10: "a backlog that is never caught up with",
    11: "a restart repeats or forgets",
    12: "a reload drops sends that are under way",
    13: "a bad configuration file stops the daemon",
    14: "a sender is dead and nobody is told",
    15: "watched text becomes markup",
    16: "a route or an address that reaches nobody",
}


def test_every_failure_mode_has_its_test() -> None:
    here = Path(__file__).parent
    text = "".join(path.read_text() for path in here.glob("test_*.py"))
    numbers = {int(number) for number in re.findall(r"^(?:async )?def test_(\d\d)_", text, re.MULTILINE)}

    assert numbers == set(MODES)
