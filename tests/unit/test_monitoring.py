"""The alert rules and the dashboard in `deploy/` ask for metrics that exist, and Prometheus's own tool takes them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.web.families import FAMILIES, Kind
from watcher.web.telemetry import PrometheusTelemetry, StoreGauges, Vitals

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES, TESTS = DEPLOY / "prometheus" / "watcher.rules.yml", DEPLOY / "prometheus" / "watcher.rules.test.yml"
DASHBOARD = DEPLOY / "grafana" / "watcher.json"
OF_PROMETHEUS = {"job", "instance", "le"}
OF_THE_PROCESS = {
    "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
    "process_max_fds", "up",
}  # fmt: skip
FILLED_IN = {"$__rate_interval": "5m", "$__range": "6h", "$instance": ".*", "$account": ".*"}


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row")


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression under the title of what shows it."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for marks in json.loads(DASHBOARD.read_text())["annotations"]["list"]:
        yield marks["name"], marks["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def known_labels(metric: str) -> set[str]:
    """The labels of a metric as it is scraped; histograms under their three names."""
    if metric in OF_THE_PROCESS:
        return OF_PROMETHEUS
    for family in FAMILIES.values():
        shapes = ("_bucket", "_sum", "_count") if family.kind is Kind.HISTOGRAM else ("",)
        if metric in {family.name + shape for shape in shapes}:
            return {*family.labels, *OF_PROMETHEUS}
    pytest.fail(f"there is no metric {metric}")


@pytest.mark.parametrize("expression", [pytest.param(text, id=title) for title, text in expressions()])
def test_expressions_ask_for_metrics_and_labels_that_exist(expression: str) -> None:
    unquoted = re.sub(r'"[^"]*"', "", expression)
    metrics = re.findall(r"\b(watcher_\w+|process_\w+|up)\b", unquoted)
    grouped = [label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")]
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", " ".join(re.findall(r"{[^}]*}", expression)))

    assert metrics
    for metric in metrics:
        assert set(grouped) | set(matched) <= known_labels(metric)


def test_variables_of_the_dashboard_are_read_from_metrics_that_exist() -> None:
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert found is not None
            assert found[2] in known_labels(found[1])


def test_every_metric_of_the_watcher_is_drawn() -> None:
    drawn = " ".join(expression for _, expression in expressions())
    bare = {name for name in FAMILIES if not re.search(rf"\b{name}(?:_bucket|_sum|_count)?\b", drawn)}

    assert bare == {"watcher_build_info"}


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    everything = json.loads(DASHBOARD.read_text())["panels"]
    taken = [(x, y) for panel in everything for x, y in _cells(**panel["gridPos"])]

    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def _cells(h: int, w: int, x: int, y: int) -> Iterator[tuple[int, int]]:
    return ((x + dx, y + dy) for dx in range(w) for dy in range(h))


def test_every_alert_rule_is_tested() -> None:
    rules = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    cases = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test.get("alert_rule_test", ())]

    assert {case["alertname"] for case in cases if case["exp_alerts"]} == rules


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("check", "config", "prometheus.example.yml"), id="the example configuration with its rules"),
        pytest.param(("test", "rules", "watcher.rules.test.yml"), id="the tests of the rules"),
    ],
)
def test_promtool_takes(words: tuple[str, ...]) -> None:
    _promtool(*words, folder=RULES.parent)


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    written = [{"record": f"panel:{i}", "expr": _filled(text)} for i, (_, text) in enumerate(expressions())]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": written}]}))

    _promtool("check", "rules", "panels.yml", folder=tmp_path)


def _filled(expression: str) -> str:
    for variable, value in FILLED_IN.items():
        expression = expression.replace(variable, value)
    return expression


def test_promtool_takes_the_metrics() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.sweep("main", None, 1.5, 12)
    telemetry.api_request("main", "get_metrics", "ok", 0.2)
    telemetry.rule("plateau", 0.5)
    telemetry.saved("main", 90, 2.5)

    _promtool("check", "metrics", folder=DEPLOY, given=telemetry.exposition(Vitals(), StoreGauges()).decode())


def _promtool(*words: str, folder: Path, given: str = "") -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    command = [promtool, *words]
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
