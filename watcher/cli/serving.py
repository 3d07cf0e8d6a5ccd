"""`install-service` and `healthcheck`: what service managers and containers need of the program."""

import re
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.acts import ask
from watcher.cli.common import StateOption, state_of
from watcher.service.errors import ConfigError, WatcherError

_PACKAGED = Path(__file__).parent / "watcher.service"
_IN_REPOSITORY = Path(__file__).parents[2] / "deploy" / "systemd" / "watcher.service"
_PROGRAM, _CONFIG = "/opt/watcher/bin/watcher", "/etc/watcher/watcher.yaml"
"""What stands in the unit for the program and for its settings."""
_START = "ExecStart={} run --config {}\n"
_PLAIN = re.compile(r"/[\w./@:+=-]+", re.ASCII)
_UNIT = Path("/etc/systemd/system/watcher.service")
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - what the unit hides
_PATIENCE = 3.0
"""Seconds in which a daemon that lives answers; Docker asks with a limit of its own."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("install-service")(install_service)
    app.command()(healthcheck)


def install_service(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help=f"The YAML file of the service. Default: {_CONFIG}.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the unit instead of printing it.")] = False,
    file: Annotated[Path, typer.Option("--file", help="Where --write puts it.")] = _UNIT,
    force: Annotated[bool, typer.Option("--force", help="Replace another unit that is there.")] = False,
) -> int:
    """Print the systemd unit for this program, or write it.

    The service runs as a user of its own, reads the API key as a systemd credential, and is restarted when it crashes
    or hangs. A unit that was changed by hand is not replaced without --force: changes belong into `systemctl edit`.
    """
    program = _program()
    text = _unit(program, config)
    for path in (program, *([config.absolute()] if config else [])):
        if hidden := next((place for place in _HIDDEN if path.is_relative_to(place)), None):
            typer.echo(f"watcher: {path} can't be used as it is: the unit hides {hidden} from the service", err=True)
    if not write:
        typer.echo(text, nl=False)
        return 0
    if _there(file) not in {None, text} and not force:
        raise ConfigError(f"{file} is another unit; expected no file, or --force to replace it")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: can't be written ({error.strerror})") from error
    typer.echo(f"wrote {file}\nnext:\n  systemctl daemon-reload\n  systemctl enable --now {file.stem}")
    return 0


def _there(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read; expected a unit of systemd") from error


def _program() -> Path:
    """The command as it was called, or as it stands beside the interpreter that runs it."""
    beside = Path(sys.executable).with_name("watcher")
    found = shutil.which(sys.argv[0]) if Path(sys.argv[0]).name == beside.name else None
    return Path(found).absolute() if found else beside


def _unit(program: Path, config: Path | None) -> str:
    words = [str(program), str(config.absolute()) if config else _CONFIG]
    for word in words:
        if not _PLAIN.fullmatch(word):
            raise ConfigError(f"{word!r}: expected a path without blanks and signs that systemd reads in its own way")
    text = (_PACKAGED if _PACKAGED.exists() else _IN_REPOSITORY).read_text(encoding="utf-8")
    return text.replace(_START.format(_PROGRAM, _CONFIG), _START.format(*words))


def healthcheck(
    state_dir: StateOption = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask, too, whether it sees every account and delivers.")
    ] = False,
) -> int:
    """Ask the running daemon whether it makes progress: exit code 0, or 1 with the reasons.

    An outage of the API makes nobody unhealthy; with --ready it counts, as at /readyz. It asks over the socket in the
    state directory, so that it works with any port and without the page.
    """
    try:
        answer = ask(state_of(state_dir), {"do": "health"}, patience=_PATIENCE)
    except (WatcherError, OSError) as error:  # Docker knows no other exit codes
        answer, reasons = None, [str(error)]
    else:
        reasons = ["no daemon runs with this state directory"]
    if answer is not None:
        reasons = answer["ready" if ready else "alive"]
    typer.echo("\n".join(reasons) if reasons else "ok", err=bool(reasons))
    return 1 if reasons else 0
