"""The official SDK in the loop that people write with it: list the jobs, read all metrics of each that runs.

Asked with `{"from": TICK, "sweeps": N}`, it answers with the CPU that each round took.
"""

import argparse
import asyncio
import json
import sys
import time

from together import AsyncTogether

from bench.load.bare import AT_ONCE
from bench.load.processes import Server, answer
from bench.load.settings import INTERVAL


async def measure(server: Server) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def read(job_id: str) -> None:
        async with slots:
            await api.fine_tuning.list_metrics(job_id)

    async with AsyncTogether(api_key="load", base_url=server.url) as api:
        for line in sys.stdin:
            window = json.loads(line)
            spent = []
            for tick in range(window["from"], window["from"] + window["sweeps"]):
                server.ask("at", seconds=tick * INTERVAL)
                begun = time.process_time()
                jobs = (await api.fine_tuning.list()).data
                await asyncio.gather(*(read(job.id) for job in jobs if job.status == "running"))
                spent.append(time.process_time() - begun)
            server.ask("asked")
            answer({"cpu": spent, "polls": len(jobs)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    asyncio.run(measure(Server(parser.parse_args().url)))


if __name__ == "__main__":
    main()
