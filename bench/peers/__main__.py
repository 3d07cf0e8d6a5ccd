"""Run every peer over runs given as JSON lines: `python -m bench.peers < runs > events`.

In: `{"planned_rows": n | null, "rows": [["train" | "eval", step, loss], …]}` a run. Out: first a line that says
why a class can't be had, `{"missing": {name: why}}`; then a line a peer, `{"name", "source", "acts", "agrees",
"events": [[[step, [rule, …]], …] a run]}`, where `agrees` counts the runs on which a class and our re-statement of it
said the same, and is null where there are not both.
"""

import json
import sys
import traceback
import warnings
from typing import Any

from bench.peers.base import Event, Peer, Row, Run, follow
from bench.peers.installed import all_installed
from bench.peers.restated import all_restated

Rows = list[Row]


def main() -> None:
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr  # some of the packages print
    runs = [(Run(line["planned_rows"]), line["rows"]) for line in map(json.loads, sys.stdin)]
    classes, missing = all_installed()
    restated = {peer.name: peer for peer in all_restated()}
    names = list(dict.fromkeys([*restated, *(peer.name for peer in classes)]))
    by_name = {peer.name: peer for peer in classes}
    lines = []
    for name in names:
        events = None
        if name in by_name:
            try:
                events = over(by_name[name], runs)
            except Exception as error:  # noqa: BLE001 - one that changed its hooks must not stop the others
                missing[name] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
        stated = over(restated[name], runs) if name in restated else None
        if events is None and stated is not None:
            lines.append(told(restated[name], stated, None))
        elif events is not None:
            agrees = None if stated is None else sum(a == b for a, b in zip(events, stated, strict=True))
            lines.append(told(by_name[name], events, agrees))
    print(json.dumps({"missing": missing}), file=out)
    for line in lines:
        print(json.dumps(line), file=out)


def over(peer: Peer, runs: list[tuple[Run, Rows]]) -> list[list[Event]]:
    return [follow(peer, run, rows) for run, rows in runs]


def told(peer: Peer, events: list[list[Event]], agrees: int | None) -> dict[str, Any]:
    steps = [[[event.step, event.claims] for event in run] for run in events]
    return {"name": peer.name, "source": peer.source, "acts": peer.acts, "agrees": agrees, "events": steps}


if __name__ == "__main__":
    main()
