"""What is done to the process, to what it talks with, and to its key. Each scenario leaves the place well."""

import time

from bench.chaos import points
from bench.chaos.faults import Fault
from bench.chaos.place import KEY, OTHER_KEY, Place
from bench.chaos.receiver import Mood

QUIET = 1.0
"""Seconds in which something could still come that must not."""
BLIND = 8.0
"""Seconds after which the daemon has to say that it does not see its account: three intervals of a second, the sweep
under way, and some for a busy machine."""
AGAIN = 20.0
"""Seconds that it may take to be well again when a trouble is over."""
USUAL = 5.0
"""Seconds within which an undisturbed start is over where nothing else needs the processors: it takes two or three."""
_STARTS = (
    *((points.STORE_WRITE, number) for number in range(1, 41)),
    *((points.REQUEST, number) for number in range(1, 25)),
    *((points.ANSWER, number) for number in range(1, 25)),
    *((kind, number) for kind in (points.MESSAGE, points.TAKEN) for number in (1, 2) for _again in range(4)),
)
"""The points of a start and of the first sweep, one by one; after them come any."""


def told_all(place: Place) -> None:
    """Let the recording come to its end, and everything be told."""
    place.until(place.ended, 120.0)
    completed = sum(job["status"] == "completed" for job in place.jobs())
    place.until(lambda: sum(t.title.endswith("completed") for t in place.receiver.taken) >= completed, 60.0)
    place.until(lambda: place.waiting() == 0, 90.0)


def settle(place: Place) -> None:
    """The end of a scenario: when all was told, the daemon is stopped well."""
    told_all(place)
    place.well()
    time.sleep(QUIET)
    place.alerts = place.alerts_on_page()
    place.note_memory()
    place.note_end(place.keeper.stop())


def begin(place: Place) -> None:
    """Start the daemon before the recording begins, so that it sees all of it, and let it see every job once."""
    place.keeper.start()
    took = place.well(60.0)
    if took is None:
        place.wrongs.append("not well after an undisturbed start")
    elif took > USUAL:
        place.slow = took / USUAL
        place.remark(f"a busy machine: all spans {place.slow:.1f} times as long")
    place.until(lambda: len(place.asks_file("SELECT 1 FROM jobs")) == len(place.jobs()), 10.0)


def pause(place: Place, seconds: float) -> bool:
    """Let it go on for a while; whether the recording still runs."""
    return not place.until(place.ended, seconds)


# --- kills ---


def kills(place: Place) -> None:
    """SIGKILL again and again: at writes of the store, requests, answers, messages, and at any moment."""
    begin(place)
    planned = place.dice.sample(_STARTS, len(_STARTS))
    while not place.ended():
        kind, number = planned.pop() if planned and place.dice.random() < 0.8 else ("", 0)
        one_kill(place, kind, number)
        if len(place.kills) % 10 == 0:  # let it get something done, as a machine does that is not only killed
            pause(place, place.dice.uniform(2.0, 5.0))
    settle(place)


def one_kill(place: Place, kind: str, number: int) -> None:
    """At the `number`th point of a kind, or at any moment when that does not come; then the next process runs."""
    before = len(place.kills)
    if kind:
        place.points.arm(kind, number, place.kill)
        if place.until(lambda: len(place.kills) > before, 3.0):
            place.injected_one(f"SIGKILL at a {kind}")
        else:
            place.points.disarm()
    if len(place.kills) == before:
        time.sleep(0.0 if kind else place.dice.uniform(0.0, 2.5))
        if place.kill():
            place.injected_one("SIGKILL at any moment")
    place.until(lambda: place.keeper.running and place.keeper.life.began > place.kills[-1], 5.0)


def cancels(place: Place) -> None:
    """Auto-cancel in `enforce`, killed before and after it asks, and answers to it that get lost."""
    place.proxy.before_cancel = place.check_cancel
    place.proxy.kinds = (Fault.DROPPED, Fault.RESET, Fault.CUT, Fault.BAD_GATEWAY, Fault.NOT_JSON, Fault.DELAYED)
    place.proxy.rate = 0.05
    kinds = (points.CANCEL, points.CANCELLED, points.MESSAGE, points.TAKEN, points.STORE_WRITE, points.ANSWER)
    begin(place)
    with place.trouble("answers broken on the way", told_within=None, well_within=AGAIN):
        while not place.ended():
            kind = place.dice.choices(kinds, weights=(4, 4, 2, 2, 1, 1))[0]
            one_kill(place, kind, place.dice.randint(1, 60) if kind in kinds[4:] else 1)
            pause(place, place.slow * place.dice.uniform(3.0, 6.0))  # a cancel needs two sweeps
        place.proxy.rate = 0.0
    settle(place)


# --- the API ---


def answers(place: Place) -> None:
    """Every way in which an answer can be broken; now and then nothing gets through at all."""
    place.rows_broken = True
    begin(place)
    with place.trouble("answers broken on the way", told_within=None, well_within=AGAIN):
        for kind in place.dice.sample(list(Fault), len(Fault)):
            place.proxy.kinds, place.proxy.rate = (kind,), 0.5
            if not pause(place, 2.0):
                break
        place.proxy.kinds, place.proxy.rate = tuple(Fault), 0.2
        pause(place, 20.0)
        place.proxy.rate = 0.0
    _unseen(place, place.dice.choice((Fault.DROPPED, Fault.STALLED, Fault.BAD_GATEWAY, Fault.HTML)))
    settle(place)


def _unseen(place: Place, kind: Fault, seconds: float = 15.0) -> None:
    with place.trouble("no answer from the API", told_within=BLIND, well_within=AGAIN):
        place.proxy.kinds, place.proxy.rate = (kind,), 1.0
        time.sleep(seconds)
        place.proxy.rate = 0.0
    place.well()


def key(place: Place) -> None:
    """The key is revoked and given back; revoked for good, and another one is put into its file."""
    begin(place)
    for _ in range(2):
        with place.trouble("key revoked", told_within=BLIND, well_within=AGAIN):
            place.proxy.keys = set()
            pause(place, 10.0)
            place.proxy.keys = {KEY}
        place.well()
        pause(place, 3.0)
    with place.trouble("key replaced", told_within=BLIND, well_within=AGAIN):
        place.proxy.keys = {OTHER_KEY}
        pause(place, 8.0)
        place.write_key(OTHER_KEY)  # looked at every two seconds, and taken when it rests
    if place.well() is None:
        place.wrongs.append("the new key was not taken from its file")
    if not any("refuses the key" in taken.title for taken in place.receiver.taken):
        place.wrongs.append("nobody was told that the key is refused")
    settle(place)


# --- receivers ---


def receivers(place: Place) -> None:
    """The receiver is down, refuses, or takes messages without an answer."""
    begin(place)
    for turn in range(4):
        with place.trouble("receiver down", told_within=None, well_within=AGAIN):
            place.receiver.down()
            pause(place, 6.0)
            place.receiver.up()
        for mood in (Mood.REFUSES, Mood.MUTE):
            with place.trouble(f"receiver {mood}", told_within=None, well_within=AGAIN):
                place.receiver.mood = mood
                pause(place, 4.0)
                place.receiver.mood = Mood.UP
        if not pause(place, 5.0 + turn):
            break
    settle(place)
