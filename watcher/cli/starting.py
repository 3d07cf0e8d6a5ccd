"""`init`: from nothing to a first alert. Three questions, both ends tried, one file written."""

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from watcher import bootstrap
from watcher.cli import drawing
from watcher.cli.common import set_up_logs
from watcher.clock import SystemClock
from watcher.domain.alerts import TransitionReason
from watcher.domain.cancel_policy import CancelMode
from watcher.domain.messages import Message
from watcher.domain.verdicts import Severity
from watcher.notify.receivers import build_receivers
from watcher.service.drill import RULE
from watcher.service.errors import ConfigError, DeliveryError, ProviderError
from watcher.settings import Settings, load_settings

DEFAULT_KEY = "TOGETHER_API_KEY"
URL_NAME = "ALERT_URL"
_SECRETS = "watcher-secrets"
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_PATIENCE = 60.0
_FAILED, _NOT_SEEN = 1, 3


@dataclass(slots=True)
class Answers:
    """What was asked. `secrets` are texts that were typed in: name of their file and content."""

    key_env: str = DEFAULT_KEY
    url_env: str = ""
    cancel: CancelMode = CancelMode.OFF
    secrets: dict[str, str] = field(default_factory=dict)

    def environ(self, folder: Path) -> dict[str, str]:
        """What the settings need in the environment, beside what is there."""
        return {f"{URL_NAME}_FILE": str(folder / "alert_url")} if "alert_url" in self.secrets else {}

    def text(self, folder: Path) -> str:
        """The file. No secret is in it: JSON strings are YAML too."""
        key = f"api_key_env: {self.key_env}"
        if "together_api_key" in self.secrets:
            key = f"api_key_file: {json.dumps(str(folder / 'together_api_key'))}"
        name = URL_NAME if "alert_url" in self.secrets else self.url_env
        told = f'  - name: team\n    urls: ["${{{name}}}"]' if name else '  - name: console\n    urls: ["console://"]'
        return _FILE.format(key=key, receivers=told, cancel=self.cancel.value)


_FILE = """\
# Made by `watcher init`. What is not here has its default; every setting: docs/reference/configuration.md.
accounts:
  - name: default
    {key}

receivers:
{receivers}

# off; observe: says what it would have done; propose: announces it and waits for a veto; enforce: cancels.
cancel:
  mode: {cancel}
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    file: Annotated[Path, typer.Option("--file", help="Where to write the configuration.")] = Path("watcher.yaml"),
    key_env: Annotated[str | None, typer.Option(help="The variable that holds the API key.")] = None,
    receiver_url_env: Annotated[str | None, typer.Option(help="The variable that holds an Apprise URL.")] = None,
    cancel: Annotated[CancelMode | None, typer.Option(help="Auto-cancel.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; replace a file that is there.")] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Try the key and the receiver.")] = True,
) -> int:
    """Write a first configuration: asks three questions, tries the key and the receiver, says what to run next.

    No key and no address is written into the file: they stay in variables, or in files that only you can read.
    Exit code 3 when the key does not work, 1 when the receiver does not; nothing is written then unless you say so.
    """
    if file.exists() and not yes and not typer.confirm(f"{file} exists. Replace it?"):
        typer.echo("nothing was changed")
        return _FAILED
    given = Answers(_named(key_env or DEFAULT_KEY), _named(receiver_url_env or ""), cancel or CancelMode.OFF)
    if not yes:
        _ask(given, key=key_env is None, url=receiver_url_env is None, mode=cancel is None)
    folder = file.absolute().parent / _SECRETS
    code = _tried(given) if test else 0
    if code and (yes or not typer.confirm("Write the file all the same?")):
        typer.echo("nothing was written")
        return code
    _write(file, given, folder)
    _say_next(file, given, folder)
    return 0


# --- asking ---


def _ask(answers: Answers, *, key: bool, url: bool, mode: bool) -> None:
    if key:
        _ask_key(answers)
    if url:
        _ask_url(answers)
    if mode:
        words = ", ".join(CancelMode)
        given = typer.prompt(f"3/3 May it cancel jobs that are beyond help ({words})?", default=CancelMode.OFF.value)
        answers.cancel = _mode(given)


def _ask_key(answers: Answers) -> None:
    given = typer.prompt("1/3 Together API key: which variable holds it?", default=DEFAULT_KEY).strip()
    if not _NAME.fullmatch(given):  # the key itself, where its name was asked for
        answers.secrets["together_api_key"] = given
        return
    answers.key_env = given
    if not os.environ.get(given):
        key = typer.prompt(
            f"    {given} is not set. Paste the key (not shown; kept in a file of its own)", hide_input=True
        )
        answers.secrets["together_api_key"] = key.strip()


def _ask_url(answers: Answers) -> None:
    question = (
        "2/3 Who is told? An Apprise URL (slack://…, mailtos://…, json://…), a variable that holds one, or nothing"
    )
    given = typer.prompt(question, default="", show_default=False).strip()
    if "://" in given:
        answers.secrets["alert_url"] = given
    elif given:
        answers.url_env = _named(given)


def _named(name: str) -> str:
    if name and not _NAME.fullmatch(name):
        raise ConfigError("expected the name of an environment variable, such as TOGETHER_API_KEY")
    return name


def _mode(word: str) -> CancelMode:
    try:
        return CancelMode(word.strip().lower())
    except ValueError:
        expected = ", ".join(CancelMode)
        raise ConfigError(f"{drawing.sentence(word)!r}: expected one of {expected}") from None


# --- trying ---


def _tried(answers: Answers) -> int:
    """0 when both ends work; read as `watcher run` will read it, from files that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="watcher-init-") as name:
        folder = Path(name)
        _write(folder / "watcher.yaml", answers, folder)
        settings = load_settings(folder / "watcher.yaml", {**os.environ, **answers.environ(folder)})
    set_up_logs(settings, level="error")
    seen = asyncio.run(_try_key(settings))
    told = asyncio.run(_try_receivers(settings))
    return (0 if told else _FAILED) if seen else _NOT_SEEN


async def _try_key(settings: Settings) -> bool:
    provider = bootstrap.provider_of(settings.accounts[0], SystemClock())
    try:
        jobs = len((await provider.list_jobs()).jobs)
        project = None
        with contextlib.suppress(ProviderError):  # only to say whose it is
            project = (await provider.whoami()).project_name
    except ProviderError as error:
        typer.echo(f"the key does not work: {error}")
        return False
    finally:
        await provider.aclose()
    whose = f", project {drawing.sentence(project)}" if project else ""
    typer.echo(f"the key works: {jobs} fine-tuning job(s){whose}")
    return True


async def _try_receivers(settings: Settings) -> bool:
    urls = {r.name: [url.get_secret_value() for url in r.urls] for r in settings.receivers}
    failed = False
    with contextlib.closing(build_receivers(urls, key=b"init", console=sys.stderr)) as receivers:
        for target in [target for name in receivers.names() for target in receivers.targets(name)]:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await target.deliver(_hello())
            except (DeliveryError, TimeoutError) as error:
                failed = True
                typer.echo(f"the receiver does not work: {str(error) or 'no answer in time'}")
            else:
                typer.echo(f"the receiver works: a test message was taken by {target.scheme}")
    return not failed


def _hello() -> Message:
    now = SystemClock().now()
    return Message(
        key=f"init-{now:%Y%m%dT%H%M%S}",
        at=now,
        reason=TransitionReason.FIRST,
        severity=Severity.INFO,
        rule=RULE,
        kind=RULE,
        subject="watcher",
        account="",
        title="watcher: drill",
        what="This is a drill: `watcher init` tests whether messages arrive here. Nothing needs to be done.",
    )


# --- writing ---


def _write(file: Path, answers: Answers, folder: Path) -> None:
    """Secrets first: a file that names them must not stand there without them."""
    try:
        if answers.secrets:
            folder.mkdir(mode=0o700, exist_ok=True)
        for name, secret in answers.secrets.items():
            _replace(folder / name, f"{secret}\n", mode=0o600)
        _replace(file, answers.text(folder), mode=0o644)
    except OSError as error:
        raise ConfigError(f"{error.filename}: can't be written ({error.strerror})") from error


def _replace(path: Path, text: str, *, mode: int) -> None:
    """Whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _say_next(file: Path, answers: Answers, folder: Path) -> None:
    typer.echo(f"wrote {file}")
    for name in answers.secrets:
        typer.echo(f"wrote {folder / name}, which only you can read")
    missing: Mapping[str, str] = answers.environ(folder)
    typer.echo("next:")
    for name, value in missing.items():
        typer.echo(f"  export {name}={value}")
    for command in ("check", "drill", "run"):
        typer.echo(f"  watcher {command} --config {file}")
