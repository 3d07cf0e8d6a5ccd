"""Where the token of the web server comes from; works on the raw tree, before it is validated."""

from pathlib import Path
from typing import Any

from watcher.settings.problems import Origins, Problem
from watcher.settings.surroundings import Surroundings

_TOKEN, _FILE = ("web", "token"), ("web", "token_file")


def fill_token(tree: dict[str, Any], around: Surroundings, origins: Origins) -> None:
    """Read the token from the file that the settings name. One that comes from the surroundings wins, as everywhere."""
    web = tree.get("web")
    if not isinstance(web, dict) or web.get("token_file") is None:
        return
    if web.get("token") is None:
        found = around.read(Path(str(web["token_file"])), "", _FILE)
        if found is not None:
            web["token"] = found.value.strip()
    elif origins.of(_TOKEN).startswith(origins.default):
        around.problems.append(Problem(_FILE, "expected one of token and token_file, not both"))
