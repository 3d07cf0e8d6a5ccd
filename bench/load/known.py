"""A store that knows many running jobs: one that was watched, copied under other ids.

python -m bench.load.known URL FOLDER JOBS
"""

import argparse
import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from bench.load.ours import sweep
from bench.load.settings import settings_file
from bench.load.world import PLACE
from watcher import bootstrap, logs
from watcher.settings import load_settings


async def watch(url: str, folder: Path) -> None:
    app = bootstrap.build(load_settings(settings_file(folder, url), {}), folder)
    try:
        await sweep(app)
    finally:
        await app.close()


def copy(database: Path, jobs: int) -> None:
    with closing(sqlite3.connect(database)) as file, file:
        known = file.execute("SELECT job_id, id FROM jobs").fetchall()
        job_id, number = known[0]
        columns = [name for _, name, *_ in file.execute("PRAGMA table_info(jobs)") if name != "id"]
        shown = ", ".join("replace(jobs.snapshot, ?1, ?2)" if c == "snapshot" else c for c in columns[2:])
        for at in range(len(known), jobs):
            new = PLACE % at
            file.execute(
                f"INSERT INTO jobs ({', '.join(columns)}) SELECT account, ?2, {shown} FROM jobs WHERE job_id = ?1",  # noqa: S608
                (job_id, new),
            )
            file.execute(
                "INSERT INTO rule_states (subject, rule, fingerprint, state) SELECT ?2, rule, fingerprint, state "
                "FROM rule_states WHERE subject = ?1",
                (f"job:main:{job_id}", f"job:main:{new}"),
            )
            file.execute(
                "INSERT INTO observations SELECT NULL, (SELECT id FROM jobs WHERE job_id = ?2), seq, kind, step, "
                "at_ns, loss, grad_norm, lr, flags, superseded, payload FROM observations WHERE job = ?1",
                (number, new),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("jobs", type=int)
    given = parser.parse_args()
    logs.configure_logs(level="warning", style="json")
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(watch(given.url, given.folder))
    copy(given.folder / "watcher.db", given.jobs)


if __name__ == "__main__":
    main()
