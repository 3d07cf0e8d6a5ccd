"""What it costs to ask for a job's rows and to find the new ones, beside bare httpx that only asks and parses.

    python -m bench.load.fetch [--sweeps 15]

Both take turns in one process against one server in another: 60 rows an answer, 50 of them known. One figure a line,
CPU a call in µs, the median of the sweeps; and what an entry of the list costs from asking to a snapshot.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from httpx_aiohttp import HttpxAiohttpClient
from pydantic_core import from_json

from bench.load.bare import AT_ONCE
from bench.load.processes import Server, serving
from bench.load.settings import INTERVAL
from bench.load.world import PLACE, STEP_SECONDS
from watcher.clock import SystemClock
from watcher.domain.cadence import OVERLAP_STEPS
from watcher.providers.together import Limits, TogetherProvider
from watcher.service.known import KnownRows
from watcher.web.telemetry import PrometheusTelemetry

JOBS, STEP = 200, 2000
_NEW = int(INTERVAL / STEP_SECONDS)
_WARM = 2

Asking = Callable[[str, int], Coroutine[Any, Any, None]]


async def measure(server: Server, sweeps: int) -> dict[str, float]:
    limits = Limits(per_second=1e5, concurrency=AT_ONCE)
    provider = TogetherProvider(
        account="main",
        api_key="load-test",
        clock=SystemClock(),
        base_url=server.url,
        telemetry=PrometheusTelemetry(),
        limits=limits,
    )
    known = {PLACE % number: KnownRows() for number in range(JOBS)}
    slots = asyncio.Semaphore(AT_ONCE)

    async def bare(job_id: str, start: int) -> None:
        async with slots:
            url = f"{server.url}/v1/fine-tunes/{job_id}/metrics?global_step_from={start}"
            from_json((await http.get(url)).content, allow_inf_nan=True)

    async def ours(job_id: str, start: int) -> None:
        mine = known[job_id]
        found = await provider.get_metrics(job_id, from_step=start, last_step=start, known=mine)
        mine.add(mine.unseen(found.rows))
        mine.forget_before(start)

    async def once(asking: Asking, start: int) -> float:
        begun = time.process_time()
        await asyncio.gather(*(asking(job_id, start) for job_id in known))
        return (time.process_time() - begun) / JOBS * 1e6

    spent: dict[str, list[float]] = {"bare": [], "ours": [], "entry": []}
    async with HttpxAiohttpClient(headers={"Authorization": "Bearer load"}) as http:
        for sweep in range(sweeps + _WARM):
            server.ask("at", seconds=sweep * INTERVAL)
            start = STEP + sweep * _NEW - OVERLAP_STEPS - _NEW
            spent["bare"].append(await once(bare, start))
            spent["ours"].append(await once(ours, start))
            begun = time.process_time()
            await provider.list_jobs()
            spent["entry"].append((time.process_time() - begun) / JOBS * 1e6)
    await provider.aclose()
    return {name: statistics.median(each[_WARM:]) for name, each in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=15)
    given = parser.parse_args()
    with serving(JOBS, STEP) as server:
        found = asyncio.run(measure(server, given.sweeps))
    sys.stdout.write(
        f"bare httpx, asked and parsed      {found['bare']:6.0f} µs a call\n"
        f"ours, asked and new rows found    {found['ours']:6.0f} µs a call\n"
        f"an entry of the list of {JOBS}       {found['entry']:6.1f} µs\n"
    )


if __name__ == "__main__":
    main()
