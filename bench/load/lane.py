"""How many messages a second are sent: the outbox and the dispatcher as they are, Apprise, HTTP on loopback.

    python -m bench.load.lane [--messages 500] [--addresses 1] [--pictures]

Each message is claimed, sent and recorded before the next one to the same address. With --pictures each carries a
curve, drawn for it.
"""

import argparse
import asyncio
import json
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from bench.load.ours import sweep
from bench.load.processes import serving
from bench.load.settings import settings_file
from bench.load.world import PLACE
from watcher import bootstrap, logs
from watcher.bootstrap import App
from watcher.domain import codec
from watcher.domain.alerts import TransitionReason
from watcher.domain.messages import Message
from watcher.domain.verdicts import Severity
from watcher.service.album import LATE
from watcher.service.records import Effect, NewEffect
from watcher.settings import load_settings

_JOBS, _STEP = 4, 2_000
_WHAT = "The loss is no number for 3 rows in a row, since step 2,014; the last finite one was 1.672."
_FACTS = (("step", "2,016 of 40,000"), ("model", "base"), ("last loss", "1.672"), ("spent", "$1.20 so far"))


def rate(messages: int, *, pictures: bool = False, addresses: int = 1) -> dict[str, float]:
    """Messages a second by the clock, to all addresses together, and seconds of CPU of this process for one."""
    logs.configure_logs(level="warning", style="json")
    with tempfile.TemporaryDirectory() as folder, serving(_JOBS, _STEP) as server:
        settings = load_settings(settings_file(Path(folder), server.url, pictures=pictures, addresses=addresses), {})
        return asyncio.run(_measure(bootstrap.build(settings, Path(folder)), messages))


async def _measure(app: App, messages: int) -> dict[str, float]:
    try:
        await sweep(app)  # there are jobs to draw
        await _send(app, "warm", 5)
        wall, cpu = time.perf_counter(), time.process_time()
        await _send(app, "counted", messages)
        sent = messages * len(app.receivers.targets("team"))
        return {
            "messages_a_second": sent / (time.perf_counter() - wall),
            "cpu": (time.process_time() - cpu) / sent,
        }
    finally:
        await app.close()


async def _send(app: App, name: str, count: int) -> None:
    # Made long ago: messages that are late anyway wait for their pictures, those of a burst would not.
    made_at = app.clock.now() - LATE
    effects = [
        _effect(f"{name}-{n}:{target.id}", target.id, PLACE % (n % _JOBS), made_at)
        for n in range(count)
        for target in app.receivers.targets("team")
    ]
    await app.store.write(lambda tx: [tx.enqueue([e], made_at - timedelta(seconds=n)) for n, e in enumerate(effects)])
    before = app.dispatcher.delivered
    await app.dispatcher.run_until_idle()
    assert app.dispatcher.delivered == before + len(effects)


def _effect(key: str, target: str, job_id: str, at: datetime) -> NewEffect:
    message = Message(
        key=key,
        at=at,
        reason=TransitionReason.FIRST,
        severity=Severity.CRITICAL,
        rule="nan_loss",
        kind="train",
        subject=job_id,
        account="main",
        title=f"{job_id}: the loss is no number",
        what=_WHAT,
        facts=_FACTS,
        job_id=job_id,
    )
    return NewEffect(
        key=key,
        effect=Effect.NOTIFY,
        lane=target,
        receiver="team",
        target=target,
        payload=codec.encode(message),
        next_at=at,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--addresses", type=int, default=1)
    parser.add_argument("--pictures", action="store_true")
    given = parser.parse_args()
    print(json.dumps(rate(given.messages, pictures=given.pictures, addresses=given.addresses)))


if __name__ == "__main__":
    main()
