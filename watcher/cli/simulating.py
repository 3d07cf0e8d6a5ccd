"""`simulate`: a Together API on loopback that serves recorded real runs."""

from pathlib import Path
from typing import Annotated

import typer

from watcher.simulator.main import run_simulator


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8123,
    speed: Annotated[float, typer.Option(help="Training steps a second.")] = 10.0,
    curves: Annotated[Path | None, typer.Option(help="Runs to serve, in replay's format; else those packaged.")] = None,
    faults: Annotated[float, typer.Option(min=0, max=1, help="Share of requests that go wrong.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Makes the faults come out the same again.")] = 0,
    revoke: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROJECT:START:LENGTH",
            help="Refuse the keys of a project, or one key PROJECT/KEY, for so many seconds.",
        ),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="One JSON line a request goes here.")] = None,
) -> int:
    """Serve a Together API on 127.0.0.1 from recorded runs, so that everything can be tried without a key.

    Prints `listening on http://127.0.0.1:PORT/v1` when ready. Any key is taken. Time begins with the first request.
    A key PROJECT/… sees the runs of that project alone. Point the watcher at it with TOGETHER_BASE_URL.
    """
    return run_simulator(port=port, speed=speed, curves=curves, faults=faults, seed=seed, revoke=revoke or (), log=log)
