"""The configuration under load: the default watcher, but for the rate of its calls and where messages go."""

import json
from pathlib import Path

INTERVAL = 30.0
"""Seconds between two looks at a job."""


def settings_file(folder: Path, url: str, *, pictures: bool = True) -> Path:
    path = folder / "watcher.yaml"
    account = {
        "name": "main",
        "base_url": url,
        "api_key": "load-test",
        "interval": INTERVAL,
        "requests_per_second": 1e5,
    }
    place = url.removeprefix("http://")
    path.write_text(
        json.dumps(
            {
                "accounts": [account],
                "receivers": [{"name": "team", "urls": [f"json://{place}/"]}],
                "route": {"receiver": "team", "storm": 1000},
                "pictures": pictures,
                "log": {"level": "warning", "format": "json"},
            }
        )
    )
    return path
