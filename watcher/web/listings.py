"""What programs can read beside jobs and alerts: cancels with a countdown, silences, receivers, the audit, health."""

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import __version__
from watcher.service.countdown import timed_view
from watcher.service.explain import explain_view
from watcher.service.people import silence_views
from watcher.service.ports import Clock, Reads, Receivers, Store
from watcher.service.records import Audit, ProposalState
from watcher.service.status import iso, status_view
from watcher.web import query
from watcher.web.answers import dump, json_answer
from watcher.web.api import HealthSource
from watcher.web.telling import receiver_page

_FEW = 200
Json = dict[str, Any]


class Listings:
    """Answers are built in the store's reader thread, as those of `Api`. `own` is how the server itself is."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        health: HealthSource,
        receivers: Callable[[], Receivers],
        own: Callable[[], Json],
    ) -> None:
        self._store, self._clock, self._health, self._receivers, self._own = store, clock, health, receivers, own

    def routes(self) -> list[Route]:
        """Everything this part answers."""
        return [
            Route("/api/v1/proposals", self.proposals, methods=["GET"]),
            Route("/api/v1/silences", self.silences, methods=["GET"]),
            Route("/api/v1/receivers", self.receivers, methods=["GET"]),
            Route("/api/v1/alerts/{id}", self.alert, methods=["GET"]),
            Route("/api/v1/audit", self.audit, methods=["GET"]),
            Route("/api/v1/health", self.health, methods=["GET"]),
        ]

    async def proposals(self, request: Request) -> Response:
        """Newest first. `?state=`, `?job=`, `?account=`, `?limit=` (200 unless told otherwise)."""
        query.only(request, "state", "job", "account", "limit")
        state, most, now = query.word(request, "state", ProposalState), query.limit(request, _FEW), self._clock.now()
        states, (account, job) = None if state is None else [state], _of(request)

        def find(reads: Reads) -> bytes:
            found = reads.proposals(account=account, job_id=job, states=states, limit=most)
            return dump({"proposals": [timed_view(proposal, now) for proposal in found]})

        return json_answer(await self._store.read(find))

    async def silences(self, request: Request) -> Response:
        """The first to end first; with `?past=1` those that are over after them, the last first. `?limit=`."""
        query.only(request, "past", "limit")
        past, most, now = query.flag(request, "past"), query.limit(request, _FEW), self._clock.now()

        def find(reads: Reads) -> bytes:
            found = silence_views(reads, now)
            if past:
                known = {silence["id"] for silence in found}
                found += [s for s in reversed(silence_views(reads, now, past=True)) if s["id"] not in known]
            return dump({"silences": found[:most]})

        return json_answer(await self._store.read(find))

    async def receivers(self, request: Request) -> Response:
        """Every receiver with the last result of each of its targets; `gone` are those of an older configuration."""
        query.only(request)
        now, receivers = self._clock.now(), self._receivers()

        def find(reads: Reads) -> bytes:
            page = receiver_page(reads, now, receivers)
            found = [
                {"name": r["name"], "targets": [_target(target) for target in r["targets"]]} for r in page["receivers"]
            ]
            return dump({"receivers": found, "gone": [_target(t) | {"receiver": t["receiver"]} for t in page["gone"]]})

        return json_answer(await self._store.read(find))

    async def alert(self, request: Request) -> Response:
        """One alert with its history, who was told of it and with what result, and what comes next."""
        query.only(request)
        alert_id = request.path_params["id"]

        def find(reads: Reads) -> bytes:
            if reads.alert(alert_id) is None:
                raise HTTPException(404, "no such alert")
            return dump(explain_view(reads, alert_id))

        return json_answer(await self._store.read(find))

    async def audit(self, request: Request) -> Response:
        """What people did, newest first. `?job=`, `?account=`, `?limit=` (200 unless told otherwise)."""
        query.only(request, "job", "account", "limit")
        most, (account, job) = query.limit(request, _FEW), _of(request)

        def find(reads: Reads) -> bytes:
            found = reads.audits(account=account, job_id=job, limit=most)
            return dump({"audit": [audit_view(entry) for entry in found]})

        return json_answer(await self._store.read(find))

    async def health(self, request: Request) -> Response:
        """How the watcher itself is. Always 200: the probes are `/healthz` and `/readyz`."""
        query.only(request)
        now, stuck, reasons = self._clock.now(), self._health.alive(), await self._health.ready()
        accounts = [
            {
                "name": name,
                "interval_seconds": pulse.interval.total_seconds(),
                "swept_at": iso(pulse.swept_at),
                "useful_at": iso(pulse.useful_at),
                "reason": pulse.reason or None,
            }
            for name, pulse in self._health.pulses.items()
        ]
        state = {
            "version": __version__,
            "at": iso(now),
            "alive": not stuck,
            "ready": not reasons,
            "reasons": reasons,
            "store_writes": self._health.writes,
            "accounts": accounts,
            **self._own(),
        }

        def find(reads: Reads) -> bytes:
            status = status_view(reads, now)
            return dump(state | {name: status[name] for name in ("alerts", "outbox", "restart_needed")})

        return json_answer(await self._store.read(find))


def audit_view(entry: Audit) -> Json:
    """One thing that somebody did; of a silence, a drill or an alert on an account there is no job."""
    return {
        "at": iso(entry.at),
        "who": entry.who,
        "via": entry.via,
        "what": entry.what.value,
        "why": entry.why,
        "account": entry.key.account or None,
        "job": entry.key.job_id or None,
        "proposal": entry.proposal_id or None,
        "outcome": entry.outcome,
    }


def _of(request: Request) -> tuple[str | None, str | None]:
    """Of which account and which job."""
    return request.query_params.get("account"), request.query_params.get("job")


def _target(found: Json) -> Json:
    """As the page shows it, with moments as JSON has them."""
    return {
        "id": found["id"],
        "service": found["scheme"] or None,
        "last": found["word"],
        **{name: iso(found[name]) for name in ("delivered_at", "failed_at", "next_at")},
        "attempts": found["attempts"],
        "error": found["error"],
    }
