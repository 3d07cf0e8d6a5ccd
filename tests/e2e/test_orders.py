"""Orders over HTTP to a daemon as a process: given with a token from a file, kept, told as events, and drained."""

import json
import time
from pathlib import Path

import httpx

from tests.daemons import a_place
from tests.leaks import CANARY
from tests.processes import holds, running, watcher

TOKEN = f"{CANARY}-web-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SOON = 15.0


def test_a_daemon_takes_orders_with_its_token_and_a_listener_does_not_hold_up_its_end(tmp_path: Path) -> None:
    with a_place(tmp_path) as place:
        secret = tmp_path / "secret" / "token"
        secret.parent.mkdir()
        secret.write_text(f"{TOKEN}\n")
        place.settings["web"]["token_file"] = str(secret)
        place.write()
        order = {"name": "Ada", "matchers": ["rule=stall"], "duration": "1h", "comment": "a move"}
        with (
            running(place.folder, "run", *place.words, env=place.env) as daemon,
            httpx.Client(base_url=daemon.web(), headers=BEARER, timeout=SOON) as client,
            client.stream("GET", "/events") as stream,
        ):
            made = client.post("/api/v1/silences", json=order)
            refused = client.post("/api/v1/silences", json=order, headers={"Authorization": "Bearer another"})
            audit = client.get("/api/v1/audit").json()["audit"]
            lines = stream.iter_lines()
            told = next(line for line in lines if "silences" in line)
            daemon.terminate()
            begun = time.monotonic()
            rest, code = list(lines), daemon.ended()
            took = time.monotonic() - begun
        listed = json.loads(watcher("silence", "list", "--format", "json", *place.words, env=place.env).stdout)

    assert (made.status_code, refused.status_code) == (200, 401)
    assert [silence["id"] for silence in listed["silences"]] == [made.json()["id"]]
    assert [(entry["who"], entry["via"], entry["what"], entry["why"]) for entry in audit] == [
        ("Ada", "api", "silence", "a move")
    ]
    assert '"topics"' in told
    assert (code, took < SOON) == (0, True), rest
    assert holds(tmp_path, TOKEN) == [secret]
