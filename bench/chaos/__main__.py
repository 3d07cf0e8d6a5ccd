"""Break everything around the daemon, and see from outside whether it kept its promises.

    python -m bench.chaos [SCENARIO…] [--seed N] [--rounds N] [--json FILE]

Exit code 1 when a promise was broken. The seed makes the same things be tried again; what a process is doing when it is
hit depends on the machine all the same.
"""

import argparse
import json
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from bench.chaos.figures import table
from bench.chaos.judge import Verdict
from bench.chaos.rounds import SCENARIOS, one

WIDTH = 3
"""So many scenarios run beside each other: each of them waits for most of its time."""


def show(verdict: Verdict) -> None:
    """One line, and what was broken."""
    said = "; ".join([f"{len(verdict.wrongs)} broken promises", *verdict.remarks])
    print(f"chaos: {verdict.name}, seed {verdict.seed}, {verdict.seconds:.0f} s: {said}")
    for wrong in verdict.wrongs:
        print(f"  BROKEN: {wrong}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"of: {', '.join(SCENARIOS)}; all of them when none is named")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="leave databases and logs here")
    given = parser.parse_args()
    print(f"chaos: seed {given.seed}", flush=True)
    began = time.monotonic()
    wanted = [name.replace("-", " ") for name in given.scenarios] or list(SCENARIOS)
    names = [name for _ in range(given.rounds) for name in wanted for _ in range(SCENARIOS[name].times)]
    with ProcessPoolExecutor(WIDTH, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(one, name, given.seed + number, given.keep) for number, name in enumerate(names)]
        verdicts = []
        for future in as_completed(running):
            verdicts.append(future.result())
            show(verdicts[-1])
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))
    print(table(verdicts))
    broken = sum(len(verdict.wrongs) for verdict in verdicts)
    print(f"chaos: seed {given.seed}, {time.monotonic() - began:.0f} s, {broken} broken promises")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
