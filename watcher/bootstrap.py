"""The composition root: the one place where adapters meet services. Nothing here decides anything.

What calls the API is imported by those functions that make it: httpx and aiohttp take a fifth of the time of a command
that only reads the store.
"""

import asyncio
import contextlib
import fcntl
import os
import random
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from watcher.clock import SystemClock
from watcher.domain.observations import Snapshot
from watcher.domain.routing import Routing
from watcher.domain.rule import SubjectKind
from watcher.domain.vetolinks import VetoLinks
from watcher.notify.picture import Renderer
from watcher.notify.receivers import ConfiguredReceivers, build_receivers
from watcher.service.cancels import CancelDesk
from watcher.service.commit import Committer
from watcher.service.config import AccountConfig, Selection
from watcher.service.consent import Consent
from watcher.service.digests import Digests
from watcher.service.dispatcher import Dispatcher
from watcher.service.drill import with_drills
from watcher.service.earlyview import Configured, knobs_of
from watcher.service.errors import StateInUseError, StoreError
from watcher.service.manual import ManualCancel
from watcher.service.perform import CancelPerformer
from watcher.service.pictures import JobPictures
from watcher.service.ports import Clock, NoTelemetry, Pictures, Provider, Store, Telemetry
from watcher.service.retention import Retention
from watcher.service.router import Router
from watcher.service.subjects import Faults
from watcher.service.sweep import Sweeper
from watcher.service.windows import Windows
from watcher.settings import Account, Settings
from watcher.store.sqlite import SqliteStore, open_store
from watcher.web.session import ENDED, Sessions

if TYPE_CHECKING:
    from watcher.providers.heartbeat import HttpHeartbeat
    from watcher.providers.together.client import TogetherProvider

DATABASE = "watcher.db"
KILL_SWITCH = "no-cancel"
_LOCK = "lock"
_TARGET_KEY, _LINK_KEY, _SESSION_KEY = "target.key", "link.key", "session.key"


@dataclass(slots=True, kw_only=True)
class App:
    """Everything put together, not started."""

    settings: Settings
    directory: Path
    clock: Clock
    store: SqliteStore
    providers: dict[str, Provider]
    sweepers: dict[str, Sweeper]
    sweeper_of: Callable[[AccountConfig, Provider], Sweeper]
    receivers: ConfiguredReceivers
    renderer: Renderer
    console: TextIO
    router: Router
    dispatcher: Dispatcher
    digests: Digests
    retention: Retention
    manual: ManualCancel
    consent: Consent
    links: VetoLinks
    windows: Windows
    faults: Faults
    telemetry: Telemetry
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self) -> None:
        """Let go of connections, threads and the database."""
        self.receivers.close()
        await self.renderer.aclose()
        for provider in self.providers.values():
            await provider.aclose()
        await self.store.aclose()


def database_path(settings: Settings, directory: Path) -> Path:
    """Where the database is: in the state directory unless the settings say otherwise."""
    return settings.store.path or directory / DATABASE


@contextlib.contextmanager
def state_lock(directory: Path) -> Iterator[None]:
    """Hold the state directory for this process alone.

    Raises:
        StateInUseError: another process holds it.
        StoreError: the directory can't be made or written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"state directory {directory}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateInUseError(f"state directory {directory} is in use by a running watcher") from error
        yield
    finally:
        os.close(handle)


def build(
    settings: Settings,
    directory: Path,
    *,
    clock: Clock | None = None,
    telemetry: Telemetry | None = None,
    console: TextIO | None = None,
    rng: random.Random | None = None,
) -> App:
    """All parts for these settings; the caller holds the state lock.

    Raises:
        ConfigError: a receiver's URL or an account can't be used.
        StoreError: the database can't be opened.
    """
    clock, telemetry = clock or SystemClock(), telemetry or NoTelemetry()
    console = console or sys.stdout
    receivers = receivers_of(settings, directory, console)
    store = open_store(database_path(settings, directory))
    renderer = Renderer()
    wake, links = asyncio.Event(), veto_links_of(settings, directory)
    faults = Faults(settings.rules_on(SubjectKind.WATCHER), store, clock, telemetry)
    windows = Windows(store, clock)
    desk = CancelDesk(store=store, windows=windows, faults=faults, kill_switch=(directory / KILL_SWITCH).exists)
    committer = Committer(store, clock, wake.set)
    providers: dict[str, Provider] = {a.name: provider_of(a, clock, telemetry) for a in settings.accounts}

    def sweeper_of(config: AccountConfig, provider: Provider) -> Sweeper:
        return Sweeper(
            config=config,
            provider=provider,
            store=store,
            clock=clock,
            committer=committer,
            cancels=desk,
            faults=faults,
            telemetry=telemetry,
        )

    sweepers = {a.name: sweeper_of(account_config(settings, a), providers[a.name]) for a in settings.accounts}
    performer = CancelPerformer(
        store=store,
        clock=clock,
        desk=desk,
        windows=windows,
        sweepers=sweepers.get,
        telemetry=telemetry,
        settle=settings.cancel.settle,
    )
    dispatcher = Dispatcher(
        store=store,
        clock=clock,
        receivers=receivers,
        performer=performer,
        windows=windows,
        provider_of=providers.get,
        faults=faults,
        telemetry=telemetry,
        rng=rng or random.Random(),  # noqa: S311 - spreads retries, hides nothing
        pictures=pictures_of(settings, store, renderer),
        veto_link=links.of,
        done=wake.set,
    )
    return App(
        settings=settings,
        directory=directory,
        clock=clock,
        store=store,
        providers=providers,
        sweepers=sweepers,
        sweeper_of=sweeper_of,
        receivers=receivers,
        renderer=renderer,
        console=console,
        router=Router(store=store, clock=clock, routing=routing_of(settings), receivers=receivers),
        dispatcher=dispatcher,
        digests=Digests(
            store=store,
            clock=clock,
            receivers=receivers,
            plan=[entry.digest() for entry in settings.digests],
            watches=lambda: set(sweepers),
        ),
        retention=Retention(store, clock, settings.retention.policy()),
        manual=ManualCancel(store=store, clock=clock, sweepers=sweepers.get, provider_of=providers.get),
        windows=windows,
        links=links,
        consent=Consent(store=store, clock=clock, sweepers=sweepers.values, wake=wake.set, telemetry=telemetry),
        faults=faults,
        telemetry=telemetry,
        wake=wake,
    )


def receivers_of(settings: Settings, directory: Path, console: TextIO) -> ConfiguredReceivers:
    """Who can be told, as these settings say. Blocks: loading what Apprise brings takes about a second at first.

    Raises:
        ConfigError: a URL can't be used.
    """
    urls = {r.name: [url.get_secret_value() for url in r.urls] for r in settings.receivers}
    return build_receivers(urls, key=_key(directory, _TARGET_KEY), console=console)


def files_of(path: Path | None, settings: Settings) -> frozenset[Path]:
    """The files that these settings come from."""
    return settings.secret_files | ({path} if path else frozenset())


def pictures_of(settings: Settings, store: Store, renderer: Renderer) -> Pictures | None:
    """Who draws what messages tell of, if anybody."""
    return JobPictures(store, renderer) if settings.pictures else None


def routing_of(settings: Settings) -> Routing:
    """The routes that are in force, with those of drills."""
    return with_drills(settings.routing(), [receiver.name for receiver in settings.receivers])


def early_stopping_of(settings: Settings) -> Configured:
    """What each selection's jobs are created with, where the settings say so."""
    found = {selection.name: knobs_of(settings.rules_for(selection)) for selection in settings.jobs}
    return {name: knobs for name, knobs in found.items() if knobs is not None}


def provider_of(account: Account, clock: Clock, telemetry: Telemetry | None = None) -> "TogetherProvider":
    """The API as one account sees it.

    Raises:
        ConfigError: its key or address can't be used.
    """
    from watcher.providers.together.client import TogetherProvider  # noqa: PLC0415
    from watcher.providers.together.transport import Limits  # noqa: PLC0415

    limits = Limits(
        per_second=account.requests_per_second,
        concurrency=account.max_concurrency,
        timeout=account.timeout.total_seconds(),
    )
    return TogetherProvider(
        account=account.name,
        api_key=account.api_key.get_secret_value(),
        clock=clock,
        base_url=account.base_url,
        telemetry=telemetry,
        limits=limits,
    )


def pinger_of(settings: Settings, clock: Clock) -> "HttpHeartbeat | None":
    """Where signs of life go; None when the settings name no address.

    Raises:
        ConfigError: the surroundings (certificates, proxies) can't be used.
    """
    from watcher.providers.heartbeat import HttpHeartbeat  # noqa: PLC0415

    url = settings.heartbeat.url
    return HttpHeartbeat(url.get_secret_value(), clock) if url is not None else None


def account_config(settings: Settings, account: Account) -> AccountConfig:
    """One account as its sweeper takes it: whose jobs it watches, by which rules."""
    selections = {
        selection.name: Selection(
            name=selection.name,
            rules=settings.rules_for(selection),
            policy=settings.cancel_policy(selection),
            lives=settings.lives(),
        )
        for selection in settings.jobs
    }

    def select(job: Snapshot) -> Selection | None:
        found = settings.selection_of(job)
        return selections[found.name] if found else None

    return AccountConfig(
        name=account.name,
        interval=account.interval,
        lookback=account.lookback,
        select=select,
        rules=settings.rules_on(SubjectKind.ACCOUNT),
        link=settings.links.job,
        labels=account.labels,
    )


def veto_links_of(settings: Settings, directory: Path) -> VetoLinks:
    """Who makes the links by which a proposal can be vetoed, and knows its own."""
    return VetoLinks(_key(directory, _LINK_KEY), settings.web.public_url or "")


def sessions_of(app: App) -> Sessions:
    """Who may give orders over HTTP, and how their sessions are signed."""
    web = app.settings.web
    if web.token is None:
        return Sessions(app.clock)
    key = _key(app.directory, _SESSION_KEY)
    ended, url = app.store.read_now(lambda reads: reads.meta(ENDED)), web.public_url or ""
    return Sessions(app.clock, token=web.token.get_secret_value(), key=key, public_url=url, ended=ended)


def _key(directory: Path, name: str) -> bytes:
    """A key of this state directory, made once and kept beside the database.

    One is that of the hashes that stand for receiver URLs in the outbox, others sign the links of vetoes and sessions.
    """
    path = directory / name
    try:
        # An empty file is what a power cut leaves of one that was not synced: an empty key would hide nothing.
        if path.exists() and (known := bytes.fromhex(path.read_text())):
            return known
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key, new = secrets.token_bytes(32), path.with_suffix(".new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(key.hex())
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)  # whole or not at all, wherever the process dies
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: can't be read or made ({error})") from error
    return key


def secret_words(settings: Settings, environ: Mapping[str, str]) -> set[str]:
    """Everything that must never be shown: keys and receiver addresses, for the log's redaction."""
    words = {account.api_key.get_secret_value() for account in settings.accounts}
    words |= {url.get_secret_value() for receiver in settings.receivers for url in receiver.urls}
    words.add(environ.get("TOGETHER_API_KEY", ""))
    for secret in (settings.heartbeat.url, settings.web.token):
        if secret is not None:
            words.add(secret.get_secret_value())
    return {word for word in words if len(word) >= 8 and not word.startswith("console://")}  # noqa: PLR2004
