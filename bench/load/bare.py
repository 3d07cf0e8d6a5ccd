"""httpx over aiohttp and a JSON parser, with nothing around them: the least that any client of these calls costs.

Asked with `{"from": TICK, "asked": [[TARGET, …] of each sweep]}`, it makes the same calls, as many at once as the
watcher, decodes the answers with the watcher's parser, and answers with the CPU that each sweep took.
"""

import argparse
import asyncio
import json
import sys
import time

from httpx_aiohttp import HttpxAiohttpClient
from pydantic_core import from_json

from bench.load.processes import Server, answer
from bench.load.settings import INTERVAL

AT_ONCE = 4


async def measure(server: Server) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def get(target: str) -> None:
        async with slots:
            from_json((await http.get(server.url + target)).content, allow_inf_nan=True)

    async with HttpxAiohttpClient(headers={"Authorization": "Bearer load"}) as http:
        for line in sys.stdin:
            window = json.loads(line)
            spent = []
            for tick, targets in enumerate(window["asked"], window["from"]):
                server.ask("at", seconds=tick * INTERVAL)
                begun = time.process_time()
                await asyncio.gather(*map(get, targets))
                spent.append(time.process_time() - begun)
            server.ask("asked")
            answer({"cpu": spent})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    asyncio.run(measure(Server(parser.parse_args().url)))


if __name__ == "__main__":
    main()
