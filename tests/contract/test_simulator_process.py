"""The simulator as a process of its own: it says where it listens, and ends at once when told to."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.leaks import heard
from tests.simulated import KEY

_PROGRAM = """
import sys
from pathlib import Path
from watcher.simulator.main import run_simulator
sys.exit(run_simulator(port=0, speed=1000, log=Path(sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_itself_serves_logs_and_ends_with_0(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "requests.jsonl"
    with (
        subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-c", _PROGRAM, log], stdout=subprocess.PIPE, text=True
        ) as process,
        httpx.Client(headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.removeprefix("listening on ").strip()
        listed = http.get(f"{url}/fine-tunes").json()["data"]
        process.send_signal(number)  # the connection is still open: that must not hold it up
        code = process.wait(timeout=10)
        rest = process.stdout.read()
    heard("what the simulator printed", line + rest)

    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1")
    assert {job["status"] for job in listed} == {"pending"}
    assert (code, rest) == (0, "")
    assert [json.loads(entry)["path"] for entry in log.read_text().splitlines()] == ["/v1/fine-tunes"]
