"""The configuration under load: the default watcher, but for the rate of its calls and where messages go."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INTERVAL = 30.0
"""Seconds between two looks at a job."""
EACH_ALONE = {"storm": 1000}
"""Routing by which every job is told of in a message of its own, however many there are at once."""


def settings_file(
    folder: Path, url: str, *, pictures: bool = True, route: Mapping[str, Any] = EACH_ALONE, addresses: int = 1
) -> Path:
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
                "receivers": [{"name": "team", "urls": [f"json://{place}/{n or ''}" for n in range(addresses)]}],
                "route": {"receiver": "team", **route},
                "pictures": pictures,
                "log": {"level": "warning", "format": "json"},
            }
        )
    )
    return path
