"""Another configuration for a running daemon: all parts of it are built first, then swapped in between sweeps."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from watcher import bootstrap, logs
from watcher.bootstrap import App
from watcher.daemon.daemon import Daemon
from watcher.daemon.heartbeat import Heartbeat
from watcher.daemon.reload import FileWatch
from watcher.domain.routing import Routing
from watcher.domain.rule import SubjectKind
from watcher.notify.receivers import ConfiguredReceivers
from watcher.service.config import AccountConfig
from watcher.service.errors import ConfigError
from watcher.service.introduce import introduce, vouch
from watcher.service.ports import Provider
from watcher.settings import Settings, load_settings
from watcher.settings.renewal import renewed

log = structlog.get_logger(__name__)

_CONNECTION = ("api_key", "base_url", "timeout", "max_concurrency", "requests_per_second")
_JUDGEMENT = ("rules", "jobs", "cancel", "links")


@dataclass(slots=True)
class Reloading:
    """Applies what the file, the environment and the secret files say now."""

    app: App
    daemon: Daemon
    heartbeat: Heartbeat
    watch: FileWatch
    path: Path | None
    environ: Mapping[str, str]
    _retiring: set[asyncio.Future[None]] = field(default_factory=set)

    async def apply(self) -> Sequence[str]:
        """Returns the keys of settings that wait for a restart.

        Raises:
            ConfigError: the new configuration can't be used; nothing was changed.
        """
        app, old = self.app, self.app.settings
        read = await asyncio.to_thread(load_settings, self.path, self.environ)
        for word in bootstrap.secret_words(read, self.environ):
            logs.register_secret(word)
        new, waits = renewed(old, read)
        receivers = await asyncio.to_thread(bootstrap.receivers_of, new, app.directory, app.console)
        for word in receivers.secrets:
            logs.register_secret(word)
        pinger = bootstrap.pinger_of(new, app.clock) if old.heartbeat != new.heartbeat else None
        configs = {account.name: bootstrap.account_config(new, account) for account in new.accounts}
        routing = bootstrap.routing_of(new)
        providers = self._providers(old, new)
        known = dict(app.providers)
        await self._vouch(providers)
        async with self.daemon.between_sweeps():
            retired = self._swap(new, configs, routing, receivers, providers)
        await self.daemon.watch(list(app.sweepers.values()))
        if old.heartbeat != new.heartbeat:
            await self.heartbeat.change(pinger, new.heartbeat.interval)
        self._later(self._retire(*retired))
        for name, provider in providers.items():
            if provider is not known.get(name):
                self._later(introduce(name, provider, app.store))
        await asyncio.to_thread(self.watch.follow, bootstrap.files_of(self.path, new))
        return waits

    def _providers(self, old: Settings, new: Settings) -> dict[str, Provider]:
        """Those of accounts that are reached as before go on."""
        known = {account.name: [getattr(account, key) for key in _CONNECTION] for account in old.accounts}
        return {
            account.name: self.app.providers[account.name]
            if known.get(account.name) == [getattr(account, key) for key in _CONNECTION]
            else bootstrap.provider_of(account, self.app.clock, self.app.telemetry)
            for account in new.accounts
        }

    async def _vouch(self, providers: Mapping[str, Provider]) -> None:
        """Another key of an account that is watched already is tried before it takes over."""
        app = self.app
        fresh = {name: provider for name, provider in providers.items() if app.providers.get(name) is not provider}
        try:
            for name in fresh.keys() & app.providers.keys():
                await vouch(name, fresh[name], app.store)
        except ConfigError:
            for provider in fresh.values():
                await provider.aclose()
            raise

    def _swap(
        self,
        new: Settings,
        configs: Mapping[str, AccountConfig],
        routing: Routing,
        receivers: ConfiguredReceivers,
        providers: Mapping[str, Provider],
    ) -> tuple[ConfiguredReceivers, list[Provider]]:
        """Nothing in here waits or fails: what runs sees the old configuration or the new one. Returns what is old."""
        app, old = self.app, self.app.settings
        retired = app.receivers, [p for name, p in app.providers.items() if providers.get(name) is not p]
        before = {account.name: account for account in old.accounts}
        same = all(getattr(old, key) == getattr(new, key) for key in _JUDGEMENT)
        for account in new.accounts:
            config, provider = configs[account.name], providers[account.name]
            if account.name not in app.sweepers:
                app.sweepers[account.name] = app.sweeper_of(config, provider)
            elif not same or account != before[account.name]:
                app.sweepers[account.name].adopt(config, provider)
        for name in app.sweepers.keys() - providers.keys():
            left = app.sweepers.pop(name)
            left.adopt(replace(left.config, select=lambda _job: None, rules=()), app.providers[name])
            self._later(left.load())  # ends what it has told of
        app.providers.clear()
        app.providers.update(providers)
        app.router.routing = routing
        app.router.receivers = app.dispatcher.receivers = app.digests.receivers = app.receivers = receivers
        app.digests.plan = [entry.digest() for entry in new.digests]
        app.retention.policy = new.retention.policy()
        app.dispatcher.pictures = bootstrap.pictures_of(new, app.store, app.renderer)
        app.faults.adopt(new.rules_on(SubjectKind.WATCHER))
        app.settings = new
        return retired

    async def _retire(self, receivers: ConfiguredReceivers, providers: list[Provider]) -> None:
        """Sends and cancels under way finish on the old parts; then those are let go."""
        try:
            await self.app.dispatcher.settle()
        finally:
            receivers.close()
            for provider in providers:
                await provider.aclose()

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._retiring.add(task)
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Future[None]) -> None:
        self._retiring.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("config.old_part_failed", reason=type(error).__name__)

    async def aclose(self) -> None:
        """Let go of old parts that are still in use: the daemon has drained."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
