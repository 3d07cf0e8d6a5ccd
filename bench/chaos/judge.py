"""What must hold whatever happened, checked from outside: by what receivers, the API, files and pages show."""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.chaos.keeper import Life
from bench.chaos.place import SECRETS, Place
from bench.chaos.probes import Trouble, lies
from bench.chaos.receiver import Taken
from tests.processes import cancels, holds
from watcher.simulator.job import job_id_of

START = 30.0
"""Seconds that a process is given to see everything for the first time, on a machine with other work."""


LATER = {"Resolved", "Again", "Still", "Ended", "Cancelled", "Cancelling", "Not cancelled", "Cancel failed"}
LATER |= {"Would cancel", "Cancel withdrawn", "Ended before the cancel", "All clear"}
"""What titles begin with that are not the first of their alert."""
ALERT = re.compile(r"^alert: (\w+) \(", re.MULTILINE)
ROW_RULES = {"divergence", "nan_loss", "overfitting", "plateau", "gradient", "completion"}


@dataclass(slots=True)
class Verdict:
    """What came of one place. `wrongs` are broken promises, one sentence each."""

    name: str
    seed: int
    wrongs: list[str] = field(default_factory=list)
    injected: dict[str, int] = field(default_factory=dict)
    expected: int = 0
    lost: int = 0
    twice: int = 0
    """Deliveries that came again, under the same key, since the sender died or got no answer."""
    cancels: int = 0
    kills: int = 0
    messages: int = 0
    peak_mb: int = 0
    probes: int = 0
    recoveries: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0


Told = tuple[str, str, str, int | None]
"""Job, rule, kind and step of an alert; no step where the API broke rows on their way, or the alert is no row's."""


def expected_of(place: Place, runs: Iterable[dict[str, Any]], cancelled: set[str]) -> Counter[Told]:
    """Every alert on a run that went to its end, and its completion."""
    found: Counter[Told] = Counter()
    for run in runs:
        job = job_id_of(run["id"])
        if job not in cancelled:
            found.update(told_of(place, job, alert) for alert in run["alerts"])
            found[job, "completion", "completed", None] += 1
    return found


def told_of(place: Place, job: str, alert: dict[str, Any]) -> Told:
    step = None if place.rows_broken or alert["rule"] == "completion" else alert["step"]
    return job, alert["rule"], alert["kind"], step


def judge(place: Place, name: str) -> Verdict:
    """Look at everything; the daemon has been stopped."""
    verdict = Verdict(name, place.seed, list(place.wrongs), dict(place.injected))
    lives = place.keeper.lives
    runs = place.replayed
    _alerts(place, verdict, runs)
    _repeats(place.receiver.taken, lives, verdict)
    _cancels(place, verdict, runs)
    _secrets(place, verdict)
    verdict.wrongs += lies(place.prober.samples, place.troubles, lives, start=START, slow=place.slow)
    _lives(place, verdict)
    verdict.probes = len(place.prober.samples)
    verdict.messages = len(place.receiver.taken)
    verdict.kills = len(place.kills)
    verdict.remarks += place.remarks
    verdict.peak_mb = place.peak_mb
    for fault, count in place.proxy.faults.items():
        verdict.injected[f"answer: {fault}"] = count
    crashes = [line for line in place.log.splitlines() if "Traceback" in line and "socket.accept() out of" not in line]
    verdict.wrongs += [f"a traceback in the log: {line[-400:]}" for line in crashes[:3]]
    if place.proxy.strangers:
        verdict.wrongs.append("a redirect to another host was followed")
    return verdict


# --- alerts ---


def _alerts(place: Place, verdict: Verdict, runs: list[dict[str, Any]]) -> None:
    """Which alerts messages told of for the first time; what an alert is, the daemon's API says by its id."""
    cancelled = {job["id"] for job in place.jobs() if job["status"] == "cancelled"}
    wanted = expected_of(place, runs, cancelled)
    keys: dict[str, set[str]] = defaultdict(set)
    for taken in place.receiver.taken:
        if taken.title.partition(": ")[0] not in LATER and (named := ALERT.search(taken.body)):
            keys[named[1]].add(taken.key)
    known = {alert["id"]: alert for alert in place.alerts}
    stories = {i: told_of(place, known[i]["subject"], known[i]) for i in keys if i in known}
    told = Counter(stories.values())
    verdict.expected, verdict.lost = wanted.total(), (wanted - told).total()
    verdict.wrongs += [f"lost: {' '.join(map(str, alert))}" for alert in (wanted - told)]
    more = [alert for alert in told - wanted if alert[1] in ROW_RULES and alert[0] not in cancelled]
    # With rows spoilt on the way the daemon saw another recording than replay reads: a warning of that may come, but
    # must be over when they have come whole.
    lasting = {stories[i] for i in stories if known[i]["state"] == "firing"}
    passing = [alert for alert in more if place.rows_broken and alert not in lasting]
    verdict.wrongs += [f"told of what replay does not give: {' '.join(map(str, a))}" for a in more if a not in passing]
    verdict.remarks += [f"on spoilt rows, and over when they were whole: {' '.join(map(str, a))}" for a in passing]
    verdict.wrongs += [f"told twice under different keys: {known.get(i)}" for i, own in keys.items() if len(own) > 1]


def _repeats(taken: Iterable[Taken], lives: list[Life], verdict: Verdict) -> None:
    by_key: dict[str, list[Taken]] = defaultdict(list)
    for message in taken:
        by_key[message.key].append(message)
    for key, same in by_key.items():
        if len({(message.title, message.body) for message in same}) > 1:
            verdict.wrongs.append(f"one key, several messages: {key}")
        for first, again in itertools.pairwise(same):
            verdict.twice += 1
            died = any(life.ended and first.at <= life.ended and life.began <= again.at for life in lives)
            if first.answered and not died:
                verdict.wrongs.append(f"sent again by the process that was told it had arrived: {again.title} {key}")


# --- cancels ---


def _cancels(place: Place, verdict: Verdict, runs: list[dict[str, Any]]) -> None:
    """By the log of the simulator, which stands behind the proxy."""
    taken: dict[str, int] = defaultdict(int)
    for line in cancels(place.requests):
        if line["took_effect"]:
            taken[line["job"]] += 1
    verdict.cancels = sum(taken.values())
    verdict.wrongs += [f"{count} cancels of {job} took effect" for job, count in taken.items() if count > 1]
    may = {job_id_of(run["id"]) for run in runs if run["cancel"]}
    verdict.wrongs += [f"{job} was cancelled, which replay would not do" for job in taken if job not in may]
    for job in taken:
        ends = {t.key for t in place.receiver.taken if job in t.body and t.title.startswith("Cancelled")}
        if len(ends) != 1:
            verdict.wrongs.append(f"the end of the cancel of {job} was told in {len(ends)} messages")


# --- secrets ---


def _secrets(place: Place, verdict: Verdict) -> None:
    own = {place.key_file, place.config}
    said = [*(taken.body + taken.title for taken in place.receiver.taken), *place.notes]
    said += [reason for sample in place.prober.samples for reason in sample.reasons]
    pages = b"\n".join(place.prober.pages) + "\n".join(said).encode()
    for secret in SECRETS:
        if found := [path for path in holds(place.folder, secret) if path not in own]:
            verdict.wrongs.append(f"a secret stands in {', '.join(path.name for path in found)}")
        if secret.encode() in pages:
            verdict.wrongs.append("a secret stands on a page, in a message or in what a command says")


# --- lives ---


def _lives(place: Place, verdict: Verdict) -> None:
    """The daemon ends by itself only where a scenario says so; how long it took to be well again."""
    ended = [life for life in place.keeper.lives if life.ended and not life.wanted]
    unwanted = [life for life in ended if not any(a < (life.ended or 0.0) < b for a, b in place.endings)]
    verdict.wrongs += [f"the daemon ended by itself with exit code {life.code}" for life in unwanted]
    for killed in place.kills:
        began = next((life.began for life in place.keeper.lives if life.began > killed), None)
        well = place.prober.well_since(killed + 0.02)
        ended = next((life.ended for life in place.keeper.lives if began and life.began == began), None)
        if well is not None and (ended is None or well < ended):
            verdict.recoveries.append(well - killed)
    verdict.recoveries += [_recovery(place, trouble) for trouble in place.troubles if trouble.ended]
    if place.prober.last.status not in (0, 200):
        verdict.wrongs.append(f"not well in the end: {'; '.join(place.prober.last.reasons)}")


def _recovery(place: Place, trouble: Trouble) -> float:
    assert trouble.ended is not None
    well = place.prober.well_since(trouble.ended)
    return (well or trouble.ended) - trouble.ended
