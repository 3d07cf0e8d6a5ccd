"""`docs/reference/http-api.md`, made of the OpenAPI document that the server gives."""

from collections.abc import Iterator
from typing import Any

from watcher.service.records import Topic
from watcher.web.bodies import LONGEST_BODY
from watcher.web.events import MOST_STREAMS
from watcher.web.openapi import document
from watcher.web.orders import NAME_HEADER
from watcher.web.throttle import BURST, EVERY

Json = dict[str, Any]


def http_api(made: str) -> str:
    """The whole page; `made` is the line that says by what it was made."""
    topics = ", ".join(f"`{topic}`" for topic in Topic)
    paths, schemas = document()["paths"], document()["components"]["schemas"]
    operations = [(method, path, op) for path, methods in paths.items() for method, op in methods.items()]
    reads = [row for row in operations if "requestBody" not in row[2]]
    orders = [row for row in operations if "requestBody" in row[2]]
    return f"""# HTTP API

{made}

The server listens on `web.host` and `web.port`, `127.0.0.1:8321` unless told otherwise. Reading needs no token:
whoever can reach the address can read everything. `/api/v1/openapi.json` is this page for programs, with every key and
its type. Unknown parameters and keys are refused. An error is `{{"error": text}}`; 503: the store can't be read.

## Reading

| path | parameters | answer |
|---|---|---|
{_lines(_read(path, op, schemas) for _, path, op in reads)}

`/healthz` and `/readyz` answer 503 with the reasons where not all is well.

## Orders

They need the setting `web.token`, sent as `Authorization: Bearer …`; without the setting every order is refused (403).
Each says who gives it, in the key `name` or in the header `{NAME_HEADER}`: the name is kept with what was done, and is
not proven. A body is a JSON object of type `application/json`, at most {LONGEST_BODY // 1024} KB. Of wrong tokens an
address may send {BURST}, then one more every {EVERY:.0f} seconds; the rest is answered with 429. A word that comes too
late gets 409 and says what was first.

| method and path | body | what it does |
|---|---|---|
{_lines(_ordered(method, path, op, schemas) for method, path, op in orders)}

```
curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
  -d '{{"name": "Ada", "why": "it warms up"}}' http://127.0.0.1:8321/api/v1/proposals/ID/veto
```

The page does the same for people who log in at `/login` with the token and a name. A session lasts 12 hours, or until
`web.token` is changed. Behind a proxy set `web.public_url`, or forms are taken for those of another site.

## Events

`/events` sends `event: changed` with `{{"at": moment, "topics": […]}}` as soon as something was stored, at most once a
second; topics are {topics}.
A comment comes every 15 seconds. At most {MOST_STREAMS} may listen at a time; one more gets 503 with `Retry-After`.
"""


def _read(path: str, operation: Json, schemas: Json) -> str:
    asks = ", ".join(f"`{p['name']}`" for p in operation["parameters"] if p["in"] == "query")
    content = operation["responses"]["200"]["content"]
    keys = ", ".join(f"`{key}`" for key in _keys(content.get("application/json", {}), schemas))
    return f"| `{path}` | {asks} | {operation['summary']}{f' Keys: {keys}.' if keys else ''} |"


def _ordered(method: str, path: str, operation: Json, schemas: Json) -> str:
    schema = schemas[_name(operation["requestBody"]["content"]["application/json"])]
    needed = schema.get("required", ())
    keys = [f"`{key}`{' (needed)' if key in needed else ''}" for key in schema["properties"] if key != "name"]
    return f"| {method.upper()} `{path}` | {', '.join(keys)} | {operation['summary']} |"


def _keys(content: Json, schemas: Json) -> Iterator[str]:
    if "schema" in content:
        yield from schemas[_name(content)]["properties"]


def _name(content: Json) -> str:
    return str(content["schema"]["$ref"]).rpartition("/")[2]


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines)
