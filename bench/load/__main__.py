"""What thousands of jobs cost, in one table: every figure, its floor and aim, what was measured here, met or not.

    python -m bench.load [--json bench/out/load.json] [--quick]

Ratios come from the same run: the clients take turns, window by window, against one server in another process, and
the median of the windows counts. CPU is that of the client's process alone. --quick leaves out what needs minutes.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.load import lane, parts
from bench.load.settings import EACH_ALONE
from bench.load.table import HEAD, Figure, show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    raw: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        show(HEAD)
        for part in (rules, polls, *(() if given.quick else (cold, messages, latency, running))):
            for figure in part(raw, place):
                show(figure.line)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(raw, indent=1))


def polls(raw: dict[str, Any], _: Path) -> list[Figure]:
    """CPU of a poll beside others, its calls, and what history adds."""
    early, middle, late = (raw.setdefault(f"step {step}", parts.polls(step)) for step in parts.STEPS)
    raw["slow"] = slow = parts.polls(parts.STEPS[1], pace=parts.SLOW)
    growth = [b / a for a, b in zip(early["ours"], late["ours"], strict=True)]
    return [
        Figure("CPU a job-poll over bare httpx, ten new rows", 2.5, 1.8, ratio(middle, "bare"), of_us(middle, "bare")),
        Figure("the same with a row a minute", 2.5, 1.8, ratio(slow, "bare"), of_us(slow, "bare")),
        Figure(
            "CPU a job-poll over the SDK's poll loop, from step 2,000 on",
            0.3,
            0.15,
            ratio(middle, "sdk"),
            of_us(middle, "sdk"),
        ),
        Figure("the same from step 200 on", 0.3, 0.15, ratio(early, "sdk"), of_us(early, "sdk")),
        Figure(
            "API calls a running job and minute", 2.3, None, middle["calls"], "of which one is the list, for all jobs"
        ),
        Figure(
            "CPU a poll from step 20,000 on over one from step 200 on",
            1.2,
            1.0,
            statistics.median(growth),
            "as many new rows",
        ),
        Figure("rows read a poll, the same", 1.2, 1.0, late["bytes"] / early["bytes"], "bytes of answers"),
        Figure("SQL statements a poll, the same", 1.2, 1.0, late["statements"] / early["statements"], "counted"),
    ]


def ratio(found: dict[str, Any], other: str) -> float:
    return statistics.median(a / b for a, b in zip(found["ours"], found[other], strict=True))


def of_us(found: dict[str, Any], other: str) -> str:
    ours, theirs = (statistics.median(found[name]) * 1e6 for name in ("ours", other))
    return f"{ours:.0f} µs over {theirs:.0f} µs"


def rules(raw: dict[str, Any], _: Path) -> list[Figure]:
    raw["rules"] = cost = parts.rules()
    return [Figure("all rules, a row, µs", 60, 25, cost, "default rules and loss_spike, timed one by one")]


def running(raw: dict[str, Any], folder: Path) -> list[Figure]:
    """The daemon at its interval with few, with many and with the most jobs."""
    few, many, most = (parts.hold(folder, jobs) for jobs in (100, parts.MANY, parts.MOST))
    raw["few"], raw["many"], raw["most"] = few, many, most
    held = max((one["jobs"] for one in (few, many, most) if not one["missed"]), default=0)
    room = (many["rss_kb"] - few["rss_kb"]) / (many["jobs"] - few["jobs"])
    hour = many["written_an_hour"] / 2**20
    return [
        Figure("running jobs kept at 30 s on one core", 3000, 10000, held, f"{_kept(many)}; {_kept(most)}", more=True),
        Figure("memory a running job beyond the first 100, KB", 64, 16, room, f"{many['rss_kb'] / 1024:.0f} MB in all"),
        Figure(
            f"MB written an hour, {many['jobs']} jobs", None, None, hour, f"{hour * 1024 / many['jobs']:.0f} KB a job"
        ),
    ]


def _kept(one: dict[str, Any]) -> str:
    late = f"none later than {one['late']:.2f} s" if not one["missed"] else f"{one['missed']} sweeps missed"
    return f"{one['jobs']:,} took {one['busy']:.0%} of the core, {late}, {one['rss_kb'] / 1024:.0f} MB"


_TELLING: dict[str, tuple[bool, dict[str, Any]]] = {
    "a message a job, without pictures": (False, EACH_ALONE),
    "a message a job, with pictures": (True, EACH_ALONE),
    "default settings": (True, {}),
}


def latency(raw: dict[str, Any], folder: Path) -> list[Figure]:
    """How soon people know; the default settings join what comes in a storm."""
    found = []
    for words, (pictures, route) in _TELLING.items():
        raw[f"latency, {words}"] = one = parts.latency(folder, 1000, pictures=pictures, route=route)
        beyond = (
            f"median {one['median']:.2f} s; visible to message less the whole interval: {one['beyond_interval']:.2f} s"
        )
        name = f"answer with the row to message, p99, s, {words}"  # the wait for the poll is taken out exactly
        sent = f"{one['messages']} messages, {one['with_picture']} with a picture"
        remark = f"{one['told']} of {one['expected']} told; {sent}; {beyond}"
        found.append(Figure(name, 1.0, 0.3, one["after_answer"], remark))
    return found


def messages(raw: dict[str, Any], _: Path) -> list[Figure]:
    """What one target can be sent: each message is recorded before the next."""
    found = []
    for words, pictures, count in (("without pictures", False, 500), ("a new picture each", True, 60)):
        raw[f"messages, {words}"] = one = lane.rate(count, pictures=pictures)
        remark = f"{one['cpu'] * 1000:.1f} ms of CPU each in the process that sends"
        name = f"messages a second to one target, {words}"
        found.append(Figure(name, None, None, one["messages_a_second"], remark))
    return found


def cold(raw: dict[str, Any], folder: Path) -> list[Figure]:
    raw["cold"] = found = parts.cold(folder, 10_000)
    wall, cpu = (statistics.median(one[name] for one in found) for name in ("seconds", "cpu"))
    name = "start to first sweep, 10,000 running jobs known, s of CPU"
    return [Figure(name, 3.0, 1.0, cpu, f"{wall:.1f} s by the clock of this machine, which may be busy")]


if __name__ == "__main__":
    main()
