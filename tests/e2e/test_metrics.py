"""`/metrics` of a daemon that works, against the declared metrics and against Prometheus's own checker."""

import shutil
import subprocess
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.daemons import a_daemon, a_place
from watcher.web.families import FAMILIES, LABELS


def test_a_scrape_has_what_is_declared(tmp_path: Path) -> None:
    with a_place(tmp_path) as place, a_daemon(place) as daemon:
        url = f"{daemon.web()}/metrics"
        text = daemon.until(lambda: _with_rows(httpx.get(url, headers={"Accept": "text/plain"}).text), "judged rows")

    scraped = {family.name: family for family in text_string_to_metric_families(text)}
    for declared in FAMILIES.values():
        family = scraped.pop(declared.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (declared.kind, declared.text)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels in (set(declared.labels), set()), declared.name
    assert {name for name in scraped if not name.startswith("process_")} == set()
    assert {label for declared in FAMILIES.values() for label in declared.labels} == set(LABELS)
    assert any(sample.value > 0 for sample in _samples(text, "watcher_rule_seconds_total"))
    assert _lint(text) == ""


def _with_rows(text: str) -> str:
    return text if any(sample.value > 0 for sample in _samples(text, "watcher_rows_total")) else ""


def _samples(text: str, name: str) -> list[Sample]:
    return [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]


def _lint(text: str) -> str:
    """What Prometheus's checker finds; nothing where it is not installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        return ""
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - Debian's
    return done.stdout + done.stderr
