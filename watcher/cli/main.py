"""The `watcher` command: one Typer app; errors become one line on stderr and an exit code."""

import os
import signal
import sys
import traceback
from typing import Annotated

import typer
import typer.exceptions

from watcher import __version__, logs
from watcher.cli import (
    acts,
    demo,
    drilling,
    earlystopping,
    ending,
    explaining,
    keeping,
    lists,
    looks,
    outbox,
    replaying,
    routing,
    running,
    serving,
    silencing,
    simulating,
    spending,
    starting,
)
from watcher.service.errors import ConfigError, SchemaTooNewError, StateInUseError, WatcherError

OK, FAILED, BAD_INPUT, REFUSED, FORCED = 0, 1, 2, 4, 130

app = typer.Typer(
    name="watcher",
    help=(
        "Watches fine-tuning jobs on Together AI, tells the right people when something happens, and stops hopeless "
        "jobs when it was allowed to.\n\n"
        "Start with: TOGETHER_API_KEY=… watcher run. To see it without a key: watcher demo."
    ),
    epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 an account can't be seen, 4 refused.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"watcher {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


PARTS = (starting, running, serving, looks, explaining, lists, spending, acts, silencing, ending, routing, outbox,
         drilling, keeping, replaying, earlystopping, simulating, demo)  # fmt: skip
for part in PARTS:
    part.register(app)


def main() -> None:
    """Run the command line and exit."""
    sys.exit(_run())


def _run() -> int:
    try:
        code = app(standalone_mode=False)
    except WatcherError as error:
        return _told(error)
    except (typer.Abort, KeyboardInterrupt):
        return FORCED
    except BrokenPipeError:
        # Whoever read our output has gone: silence, as other tools do, and no traceback at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except typer.exceptions.TyperException as error:  # wrong words on the command line
        getattr(error, "show", lambda: None)()
        return BAD_INPUT
    except Exception:  # noqa: BLE001 - a fault of ours: told whole, but never with a secret in it
        sys.stderr.write(logs.redact(traceback.format_exc()))
        return FAILED
    return code if isinstance(code, int) else OK


def _told(error: WatcherError) -> int:
    """One line, or the report of all that is wrong, on stderr; the exit code that the contract gives it."""
    sys.stderr.write(f"{error}\n" if isinstance(error, ConfigError) else f"watcher: {error}\n")
    if isinstance(error, ConfigError):
        return BAD_INPUT
    return REFUSED if isinstance(error, SchemaTooNewError | StateInUseError) else FAILED
