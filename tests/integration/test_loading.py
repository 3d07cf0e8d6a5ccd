"""Jobs out of the store at a start: together where many are asked for, and one that can't be read is its own affair."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.fakes import FlakyStore
from tests.stored import a_job
from watcher.service.errors import StoreError
from watcher.service.loading import Loader
from watcher.service.records import JobKey
from watcher.store.sqlite import open_store

KEYS = [JobKey("main", f"ft-{n}") for n in range(120)]
DAMAGED = KEYS[7]


async def test_jobs_asked_for_together_are_read_together_and_a_damaged_one_hides_no_other(tmp_path: Path) -> None:
    file = tmp_path / "watcher.db"
    with open_store(file) as store:
        store.write_now(lambda tx: list(map(tx.save_job, map(a_job, KEYS))))
        whole, missing = FlakyStore(store), JobKey("main", "ft-none")
        found = await asyncio.gather(*(Loader(whole).read(key) for key in KEYS[:2]))
        separate = whole.reads
        loader = Loader(whole)

        together = await asyncio.gather(*(loader.read(key) for key in [*KEYS, missing]))

        assert [stored.record.key for stored in found if stored] == KEYS[:2]
        assert [stored and stored.record.key for stored in together] == [*KEYS, None]
        assert (separate, whole.reads - separate) == (2, 3)

        with closing(sqlite3.connect(file)) as raw, raw:
            raw.execute("UPDATE jobs SET snapshot = 'no JSON' WHERE job_id = ?", (DAMAGED.job_id,))
        again = await asyncio.gather(*(loader.read(key) for key in KEYS), return_exceptions=True)

        assert [key for key, one in zip(KEYS, again, strict=True) if isinstance(one, StoreError)] == [DAMAGED]
        assert [one.record.key for one in again if not isinstance(one, BaseException) and one] == [
            key for key in KEYS if key != DAMAGED
        ]
