"""The OpenAPI document: every route and no other, real answers that fit it, and odd requests that break nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from tests.doors import ALERT, TOKEN, Doors, open_doors
from tests.rich import fill
from watcher.web.openapi import ENDPOINTS, document

EXAMPLES = 4
"""Requests of each kind to each operation."""
KNOWN = {
    "/api/v1/jobs/{job_id}": {"job_id": "ft-1"},
    "/api/v1/alerts/{id}": {"id": ALERT.id},
    "/api/v1/alerts/{id}/ack": {"id": ALERT.id},
    "/api/v1/proposals/{id}/veto": {"id": "p2"},
    "/api/v1/proposals/{id}/approve": {"id": "old0"},
}
"""What is there to be asked for; of other ids there is nothing."""
FOR_PROGRAMS = ("/api/", "/healthz", "/readyz", "/metrics", "/events")


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with open_doors(tmp_path) as opened:
        opened.app.store.write_now(fill)
        yield opened


async def test_the_document_has_every_route_for_programs_and_no_other(doors: Doors) -> None:
    served = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in doors.web.routes
        if isinstance(route, Route) and route.path.startswith(FOR_PROGRAMS)
        for method in (route.methods or set()) - {"HEAD"}
    }
    told = {(path, method) for path, methods in document()["paths"].items() for method in methods}

    assert told == served


async def test_the_document_is_served(doors: Doors) -> None:
    answer = await doors.client.get("/api/v1/openapi.json")

    assert answer.json() == document()
    assert answer.json()["openapi"] == "3.1.0"


async def test_real_answers_fit_their_models_and_have_no_other_key(doors: Doors) -> None:
    asked = {
        "/api/v1/jobs/{job_id}": ["/api/v1/jobs/ft-1", "/api/v1/jobs/ft-2"],
        "/api/v1/alerts/{id}": ["/api/v1/alerts/" + alert["id"] for alert in await every_alert(doors)],
    }
    for endpoint in ENDPOINTS:
        if endpoint.method != "get" or endpoint.answer is None:
            continue
        for path in asked.get(endpoint.path, [endpoint.path]):
            answer = await doors.client.get(path)

            assert answer.status_code == 200, (path, answer.text)
            endpoint.answer.model_validate_json(answer.content)


async def every_alert(doors: Doors) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = (await doors.client.get("/api/v1/alerts")).json()["alerts"]
    assert len(alerts) > 2
    return alerts


async def test_odd_requests_break_nothing_and_get_what_the_document_says(doors: Doors) -> None:
    """Schemathesis, from the document alone: what fits it, and what does not."""
    operations = [op for op in map(_whole, schema().get_all_operations()) if op.path != "/events"]
    for operation in operations:
        known = {"path_parameters": KNOWN[operation.path]} if operation.path in KNOWN else {}
        await asyncio.to_thread(asking(operation.as_strategy(**known), doors.server.url))
        # Where nothing is asked for nothing can be wrong.
        if operation.body or operation.query:
            wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
            await asyncio.to_thread(asking(wrong, doors.server.url))

    assert len(operations) == len(ENDPOINTS) - 1


def schema() -> Any:
    return schemathesis.openapi.from_dict(document())


def _whole(found: Any) -> Any:
    return found.ok()


def asking(cases: Any, url: str) -> Callable[[], None]:
    checks: list[Any] = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        negative_data_rejection,
    ]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, checks=checks)

    return ask
