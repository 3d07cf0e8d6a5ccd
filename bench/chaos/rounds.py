"""One scenario from its beginning to its verdict."""

import contextlib
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.chaos import breakage, clocks, scenarios
from bench.chaos.judge import Verdict, judge
from bench.chaos.place import Place, a_place


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done, what it needs, and how often one run of all does it."""

    work: Callable[[Place], None]
    times: int = 1
    wanted: dict[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """Why it can't be run here; empty when it can."""
        return "libfaketime is not installed" if self.wanted.get("clock") and clocks.LIBRARY is None else ""


SCENARIOS = {
    "kills": Scenario(scenarios.kills, times=5),
    "cancels": Scenario(scenarios.cancels, times=2, wanted={"cancel": {"mode": "enforce", "max_per_hour": 1000}}),
    "answers": Scenario(scenarios.answers),
    "key": Scenario(scenarios.key),
    "receivers": Scenario(scenarios.receivers),
    "no room": Scenario(breakage.no_room, wanted={"disk": True}),
    "database": Scenario(breakage.database, wanted={"disk": True}),
    "files": Scenario(breakage.files),
    "clock": Scenario(breakage.clock, wanted={"clock": True}),
    "days": Scenario(breakage.days, wanted={"clock": True}),
}


def one(name: str, seed: int, keep: Path | None = None) -> Verdict:
    """Run it in a folder that is thrown away, or stays under `keep`."""
    scenario, began = SCENARIOS[name], time.monotonic()
    if scenario.missing:
        return Verdict(name, seed, remarks=[f"not run: {scenario.missing}"])
    with contextlib.ExitStack() as stack:
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        else:
            folder = keep.absolute() / f"{name}-{seed}"
            folder.mkdir(parents=True)
        place = stack.enter_context(a_place(folder, seed, scenario.wanted))
        try:
            scenario.work(place)
            verdict = judge(place, name)
        except Exception as error:  # noqa: BLE001 - the others go on
            verdict = Verdict(name, seed, [f"the harness failed: {error!r} at {_where(error)}"])
    verdict.seconds = time.monotonic() - began
    return verdict


def _where(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
