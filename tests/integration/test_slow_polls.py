"""However seldom a job is polled, the daemon's fold tells what `replay` tells of the whole recording."""

from collections import Counter
from pathlib import Path

import pytest

from tests.leaks import CANARY
from tests.simulated import NsClock, running_simulator
from watcher import bootstrap
from watcher.cli.recordings import read_recordings
from watcher.domain.observations import EvalRow, TrainRow
from watcher.domain.replay import replay
from watcher.service.records import AlertQuery
from watcher.settings import Settings, load_settings

CURVES = Path(__file__).parents[1] / "data" / "curves" / "lab.jsonl.gz"
HOUR = 3600.0
Told = Counter[tuple[str, str, str, int | None]]


def settings_for(address: str, path: Path) -> Settings:
    path.write_text(
        f"""
accounts: [{{name: main, api_key: {CANARY}, base_url: "{address}", requests_per_second: 1000}}]
web: {{enabled: false}}
"""
    )
    return load_settings(path, {})


def replayed(settings: Settings) -> Told:
    rules = [r for r in settings.rules_for(settings.jobs[0]) if not r.timed and {TrainRow, EvalRow} & set(r.sees)]
    results = [replay(recording, rules) for recording in read_recordings(CURVES)]
    return Counter((r.recording.id, a.rule, a.kind, a.step) for r in results for a in r.alerts)


@pytest.mark.parametrize(
    "gaps",
    [
        pytest.param([HOUR], id="a job that came and went between two sweeps"),
        pytest.param([2.0, 0.3, 0.9, HOUR], id="a few polls, the last one after the end"),
    ],
)
async def test_few_polls_tell_what_replay_tells(tmp_path: Path, gaps: list[float]) -> None:
    clock = NsClock()
    with running_simulator(curves=CURVES, speed=150, clock=clock) as address:
        settings = settings_for(address, tmp_path / "watcher.yaml")
        app = bootstrap.build(settings, tmp_path / "state")
        sweeper = app.sweepers["main"]
        await sweeper.run()
        for gap in gaps:
            clock.advance(gap)
            assert (await sweeper.run()).ok
        jobs = await app.store.read(lambda reads: reads.jobs("main"))
        alerts = await app.store.read(lambda reads: reads.alerts(AlertQuery(limit=10_000)))
        await app.close()

    runs = {job.key.job_id: job.snapshot.suffix or "" for job in jobs}
    wanted = replayed(settings)
    rules = {rule for _, rule, _, _ in wanted}
    told = Counter((runs[a.subject.job_id], a.rule, a.kind, a.step) for a in alerts if a.rule in rules)

    assert len(rules) >= 4
    assert told == wanted
