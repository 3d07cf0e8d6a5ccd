"""Receivers as the configuration names them: every address checked, made into a target, and then forgotten."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from watcher.notify.lane import Lane
from watcher.notify.plugins import scheme_of
from watcher.notify.redact import url_secrets
from watcher.notify.targets import ConsoleSender, LaneTarget, PluginSender
from watcher.service.errors import ConfigError

CONSOLE = "console"
_ID_DIGITS = 16


class ConfiguredReceivers:
    """The targets of one configuration; implements `ports.Receivers`. Never changes: a reload builds another."""

    def __init__(self, targets: Mapping[str, Sequence[LaneTarget]], secrets: frozenset[str] = frozenset()) -> None:
        self._targets = {name: tuple(of_name) for name, of_name in targets.items()}
        self._by_id = {target.id: target for of_name in self._targets.values() for target in of_name}
        self.secrets = secrets
        """Words of the addresses that no log may show; for `redact`."""

    def targets(self, receiver: str) -> Sequence[LaneTarget]:
        return self._targets.get(receiver, ())

    def target(self, target_id: str) -> LaneTarget | None:
        """By id. Receivers that name the same address share the id and the lane; any one of theirs does."""
        return self._by_id.get(target_id)

    def names(self) -> Sequence[str]:
        return tuple(self._targets)

    def require(self, names: Iterable[str]) -> None:
        """Checks the receivers that routes name: a message to nobody is a fault of the configuration, not a success.

        Raises:
            ConfigError: there is no receiver of such a name.
        """
        for name in names:
            if name not in self._targets:
                known = ", ".join(sorted(self._targets)) or "none"
                raise ConfigError(f"receiver {name!r} is not defined; expected one of: {known}")

    def close(self) -> None:
        """Begins no further send and waits for nothing: threads of sends under way don't keep the process."""
        for target in self._by_id.values():
            target.close()


def build_receivers(config: Mapping[str, Sequence[str]], *, key: bytes, console: TextIO) -> ConfiguredReceivers:
    """Targets for the addresses of every receiver; the same address makes one lane, wherever it is named.

    Args:
        config: Addresses by the name of the receiver.
        key: Of the hash that makes target ids; must stay the same for as long as there are rows in the outbox.
        console: Where `console://` writes.

    Raises:
        ConfigError: names the receiver, the place in its list and why, but nothing of the address except its scheme.
    """
    builder = _Builder(key, console)
    targets = {name: builder.receiver(name, urls) for name, urls in config.items()}
    return ConfiguredReceivers(targets, frozenset(builder.secrets))


class _Builder:
    """Makes each address into a sender and a lane once."""

    def __init__(self, key: bytes, console: TextIO) -> None:
        self.secrets: set[str] = set()
        self._key = key
        self._console = console
        self._ways: dict[str, tuple[Lane, ConsoleSender | PluginSender]] = {}

    def receiver(self, name: str, urls: Sequence[str]) -> list[LaneTarget]:
        if not urls:
            raise ConfigError(f"receivers.{name}: has no addresses; expected at least one Apprise URL or console://")
        targets: dict[str, LaneTarget] = {}
        for index, url in enumerate(urls):
            target = self._target(name, index, url.strip())
            targets.setdefault(target.id, target)
        return list(targets.values())

    def _target(self, name: str, index: int, url: str) -> LaneTarget:
        target_id = target_id_of(url, self._key)
        if target_id not in self._ways:
            self._ways[target_id] = (Lane(f"notify-{scheme_of(url)}-{target_id}"), self._sender(name, index, url))
        lane, send = self._ways[target_id]
        return LaneTarget(
            target_id=target_id,
            receiver=name,
            scheme=send.scheme,
            counts=send.scheme != CONSOLE,
            pictures=send.takes_pictures,
            lane=lane,
            send=send,
        )

    def _sender(self, name: str, index: int, url: str) -> ConsoleSender | PluginSender:
        scheme = scheme_of(url)
        if scheme == CONSOLE:
            return ConsoleSender(self._console)
        try:
            sender = PluginSender(url)
        except ConfigError as exc:
            shown = f"{scheme}://…" if scheme else "not an address"
            raise ConfigError(f"receivers.{name}[{index}]: {shown}: {exc}; expected an Apprise URL") from exc
        self.secrets |= url_secrets(url)
        return sender


def target_id_of(url: str, key: bytes) -> str:
    """A keyed hash: tells targets apart in the store without saying anything of an address."""
    return hmac.new(key, url.encode(), hashlib.sha256).hexdigest()[:_ID_DIGITS]
