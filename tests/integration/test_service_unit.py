"""The systemd unit: printed and written by `install-service`, and what systemd's own tools say of it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import run

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "deploy" / "systemd" / "watcher.service").read_text()
PROGRAM = Path(sys.executable).with_name("watcher")


def started(unit: str) -> str:
    return next(line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart="))


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    path = tmp_path / "watcher.service"
    path.write_text(run("install-service").out)
    return path


def analyse(*words: object) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here: the unit was not looked at by it")
    command = ["systemd-analyze", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - systemd's own


def test_it_prints_the_shipped_unit_with_the_path_of_the_program() -> None:
    printed = run("install-service")

    assert printed.code == 0
    assert started(printed.out) == f"{PROGRAM} run --config /etc/watcher/watcher.yaml"
    assert printed.out.replace(str(PROGRAM), "/opt/watcher/bin/watcher") == SHIPPED


def test_the_unit_that_is_shipped_comes_with_the_package() -> None:
    included = (ROOT / "pyproject.toml").read_text()

    assert '"deploy/systemd/watcher.service" = "watcher/cli/watcher.service"' in included


def test_it_writes_the_unit_once_and_replaces_another_only_when_told_to(tmp_path: Path) -> None:
    file = tmp_path / "watcher.service"
    first, again = (run("install-service", "--write", "--file", file) for _ in range(2))
    file.write_text("[Service]\n# mine\n")
    other = run("install-service", "--write", "--file", file)
    kept = file.read_text()
    forced = run("install-service", "--write", "--file", file, "--force", "--config", "/srv/w.yaml")

    assert [(ended.code, f"wrote {file}" in ended.out) for ended in (first, again)] == [(0, True)] * 2
    assert (other.code, kept) == (2, "[Service]\n# mine\n")
    assert "expected no file, or --force to replace it" in other.err
    assert forced.code == 0
    assert started(file.read_text()) == f"{PROGRAM} run --config /srv/w.yaml"


@pytest.mark.parametrize("name", ["a b.yaml", "100%.yaml", "$HOME.yaml", 'a"b.yaml', "a\nb.yaml"])
def test_a_path_that_systemd_would_read_otherwise_is_refused(name: str) -> None:
    refused = run("install-service", "--config", f"/etc/{name}")

    assert (refused.code, refused.out) == (2, "")
    assert "expected a path without blanks" in refused.err


def test_a_file_that_can_t_be_written_or_read_is_told(tmp_path: Path) -> None:
    nowhere = run("install-service", "--write", "--file", tmp_path / "none" / "watcher.service")
    folder = run("install-service", "--write", "--file", tmp_path)

    assert (nowhere.code, "can't be written (No such file or directory)" in nowhere.err) == (2, True)
    assert (folder.code, "expected a unit of systemd" in folder.err) == (2, True)


def test_it_says_when_the_unit_would_hide_the_settings_from_the_service() -> None:
    printed = run("install-service", "--config", "/home/watcher.yaml")

    assert "/home/watcher.yaml can't be used as it is: the unit hides /home from the service" in printed.err


def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    """It ends with 0 on an unknown key too: only a silent one is clean."""
    verdict = analyse("verify", "--man=no", unit)

    assert verdict.returncode == 0
    assert [line for line in (verdict.stdout + verdict.stderr).splitlines() if "watcher.service" in line] == []


def test_the_unit_is_exposed_to_little(unit: Path) -> None:
    verdict = analyse("security", "--offline=yes", "--threshold=15", unit)

    assert verdict.returncode == 0, verdict.stdout
    exposure = re.findall(r"Overall exposure level for watcher\.service: ([\d.]+)", verdict.stdout)
    assert [float(level) <= 1.5 for level in exposure] == [True]


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify", "WatchdogSec=60s", "DynamicUser=yes", "StateDirectory=watcher", "Restart=on-failure",
        "LoadCredential=together_api_key:/etc/watcher/together_api_key", "RestartPreventExitStatus=2 4",
    ],
)  # fmt: skip
def test_the_unit_keeps_its_promises(line: str) -> None:
    assert line in SHIPPED.splitlines()
