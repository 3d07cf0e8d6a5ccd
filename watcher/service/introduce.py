"""Whose key an account's is: asked once at the start, kept for people, never needed for anything."""

import json

import structlog

from watcher.service.errors import ProviderError, StoreError
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


def identities(reads: Reads) -> dict[str, dict[str, str | None]]:
    """By account: project, project_id and organization, as the API named them: untrusted text."""
    found: dict[str, dict[str, str | None]] = json.loads(reads.meta(_META) or "{}")
    return found


def _keep(tx: Writes, account: str, identity: Identity) -> None:
    known = identities(tx)
    said = (identity.project_name, identity.project_id, identity.organization)
    known[account] = dict(zip(IDENTITY, said, strict=True))
    tx.set_meta(_META, json.dumps(known))
