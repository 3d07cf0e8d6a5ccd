"""The `watcher` command: one Typer app; errors become one line on stderr and an exit code.

A command is imported when it is asked for: all of them take twice as long as one, which is most of what a short one
takes. Only help and a word that is none of them need all.
"""

import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Annotated

import typer
import typer.exceptions

from watcher import __version__, logs
from watcher.service.errors import ConfigError, SchemaTooNewError, StateInUseError, WatcherError

OK, FAILED, BAD_INPUT, REFUSED, FORCED = 0, 1, 2, 4, 130
_STDOUT = 1
"""The descriptor."""
_SELDOM = (10_000, 20, 50)
"""New objects before the youngest are looked through, and how often they are before those that outlived it."""

PARTS = {
    "starting": ("init",),
    "running": ("run", "once", "check"),
    "serving": ("install-service", "healthcheck"),
    "looks": ("jobs", "alerts", "status"),
    "explaining": ("explain",),
    "lists": ("events", "metrics", "checkpoints"),
    "spending": ("money",),
    "acts": ("veto", "approve"),
    "silencing": ("ack", "silence"),
    "ending": ("cancel", "delete"),
    "routing": ("routes",),
    "outbox": ("outbox",),
    "drilling": ("drill",),
    "keeping": ("backup", "restore", "export"),
    "replaying": ("replay",),
    "earlystopping": ("early-stop",),
    "simulating": ("simulate",),
    "demo": ("demo",),
}
"""The modules of this package that bring commands, in the order of the help, and which each brings."""


def _version(value: bool) -> None:
    if value:
        typer.echo(f"watcher {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def app_of(parts: Iterable[str] = PARTS) -> typer.Typer:
    """The program with the commands of these modules."""
    app = typer.Typer(
        name="watcher",
        help=(
            "Watches fine-tuning jobs on Together AI, tells the right people when something happens, and stops "
            "hopeless jobs when it was allowed to.\n\n"
            "Start with: TOGETHER_API_KEY=… watcher run. To see it without a key: watcher demo."
        ),
        epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 an account can't be seen, 4 refused.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for part in _imported(parts):
        part.register(app)
    return app


def _imported(parts: Iterable[str]) -> list[ModuleType]:
    return [importlib.import_module(f"watcher.cli.{part}") for part in parts]


def _parts_for(words: Sequence[str]) -> Iterable[str]:
    """The modules that a command line needs: all for one that names no command."""
    if words[:1] == ["--version"]:
        return ()
    return [part for part, commands in PARTS.items() if words and words[0] in commands] or PARTS


def begin(words: Sequence[str]) -> None:
    """Import what a command line needs.

    It stays: to look for garbage in it takes a fifth of a short command's time, and a daemon's pauses. In what is made
    after that garbage is looked for seldom, since nearly all of it goes away by itself: a daemon's first look at a job
    spent 1.3 ms on that and now 0.4, each poll 15 to 25 µs and now 1 to 12.
    """
    gc.disable()
    _imported(_parts_for(words))
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    gc.enable()


def main() -> None:
    """Run the command line and exit."""
    begin(sys.argv[1:])
    sys.exit(_run())


def _run() -> int:
    try:
        code = app_of(_parts_for(sys.argv[1:]))(standalone_mode=False)
        sys.stdout.flush()
    except WatcherError as error:
        return _told(error)
    except (typer.Abort, KeyboardInterrupt):
        return FORCED
    except BrokenPipeError:
        return _unread()
    except SystemExit as ended:  # so Typer and Rich end when nobody reads any more
        if isinstance(ended.__context__, BrokenPipeError):
            return _unread()
        raise
    except typer.exceptions.TyperException as error:  # wrong words on the command line
        getattr(error, "show", lambda: None)()
        return BAD_INPUT
    except Exception:  # noqa: BLE001 - a fault of ours: told whole, but never with a secret in it
        sys.stderr.write(logs.redact(traceback.format_exc()))
        return FAILED
    return code if isinstance(code, int) else OK


def _unread() -> int:
    """Whoever read our output has gone: silence, the code of other tools, and no traceback at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
    return 128 + signal.SIGPIPE


def _told(error: WatcherError) -> int:
    """One line, or the report of all that is wrong, on stderr; the exit code that the contract gives it."""
    sys.stderr.write(f"{error}\n" if isinstance(error, ConfigError) else f"watcher: {error}\n")
    if isinstance(error, ConfigError):
        return BAD_INPUT
    return REFUSED if isinstance(error, SchemaTooNewError | StateInUseError) else FAILED
