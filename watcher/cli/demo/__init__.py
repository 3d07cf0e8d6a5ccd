"""`demo`: the main job, end to end, in under a minute and without a key."""

from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.demo.run import Demo
from watcher.service.errors import ConfigError

_PACKAGED = Path(__file__).parents[1] / "demo.yaml"
_IN_REPOSITORY = Path(__file__).parents[3] / "config" / "demo.yaml"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The settings to watch with. Default: those of the demo.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where alerts, notifications and logs go.")] = Path("demo-out"),
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Training steps a second.")] = 8.0,
    seconds: Annotated[float, typer.Option(min=1, help="End after so long even when jobs still run.")] = 50.0,
    faults: Annotated[float, typer.Option(min=0, max=1, help="Share of API requests that go wrong.")] = 0.05,
) -> int:
    """See it work: a simulated API, the watcher beside it, and a dozen recorded training runs that go well or badly.

    Two processes over HTTP, as in real use: `watcher simulate`, which also answers with errors, and `watcher run` with
    auto-cancel on. At the end there is a table of what was found and saved. In the folder given by --out are
    alerts.jsonl, notifications/, watcher.log and api.log. Ctrl-C ends it early.
    """
    return Demo(config=_settings(config), out=out, speed=speed, seconds=seconds, faults=faults).run()


def _settings(config: Path | None) -> Path:
    """The settings file.

    Raises:
        ConfigError: there is none.
    """
    if config is None:  # a wheel has it inside of the package, a checkout beside it
        config = _PACKAGED if _PACKAGED.exists() else _IN_REPOSITORY
    if not config.is_file():
        raise ConfigError(f"{config}: expected a settings file")
    return config
