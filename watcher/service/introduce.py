"""Whose key an account's is: asked once at the start, kept for people, never needed for anything."""

import json

import structlog

from watcher.service.errors import ConfigError, FailureReason, ProviderError, StoreError
from watcher.service.ports import Provider, Reads, Store, Writes
from watcher.service.records import Identity

log = structlog.get_logger(__name__)

IDENTITY = ("project", "project_id", "organization")
_META = "identities"


async def introduce(account: str, provider: Provider, store: Store) -> None:
    """Ask the API and keep the answer; a failure is logged and that is all."""
    try:
        identity = await provider.whoami()
        await store.write(lambda tx: _keep(tx, account, identity))
    except (ProviderError, StoreError) as error:
        log.warning("account.not_introduced", account=account, reason=str(error))
        return
    log.info("account.introduced", account=account, project=identity.project_name, organization=identity.organization)


async def vouch(account: str, provider: Provider, store: Store) -> None:
    """Refuse another key of an account when it is surely a wrong one.

    With a key of another project every job of the account would look deleted. What can't be asked is no reason to
    refuse: the old key may be gone already.

    Raises:
        ConfigError: the API refuses the key, or names another project than it did before.
    """
    try:
        found = (await provider.whoami()).project_id
    except ProviderError as error:
        if error.reason is FailureReason.AUTH:
            raise ConfigError(f"account {account}: the API refuses its new key; the old one stays in use") from error
        log.warning("account.not_vouched", account=account, reason=str(error))
        return
    before = (await store.read(identities)).get(account, {}).get("project_id")
    if before and found and before != found:
        expected = f"expected one of {before}, or an account with a name of its own"
        raise ConfigError(f"account {account}: its new key belongs to project {found}; {expected}")


def identities(reads: Reads) -> dict[str, dict[str, str | None]]:
    """By account: project, project_id and organization, as the API named them: untrusted text."""
    found: dict[str, dict[str, str | None]] = json.loads(reads.meta(_META) or "{}")
    return found


def _keep(tx: Writes, account: str, identity: Identity) -> None:
    known = identities(tx)
    said = (identity.project_name, identity.project_id, identity.organization)
    known[account] = dict(zip(IDENTITY, said, strict=True))
    tx.set_meta(_META, json.dumps(known))
