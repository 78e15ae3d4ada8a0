# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 document of the REST interface, made of its routes and types."""

from typing import Any

import msgspec

from wsrc.protocol.schema import octets
from wsrc.server.http.routes import BASE, EVENTS, JSON, NAMES, PROBLEM, ROUTES, Param, Route
from wsrc.server.http.values import Problem, Selecting
from wsrc.tags import KEY_PATTERN, MOST_ASKED

Json = dict[str, Any]


def document(version: str) -> Json:
    """Return the document; `version` is that of the server."""
    kinds: list[Any] = [Problem]
    kinds += [kind for route in ROUTES for kind in (route.answer, route.body) if kind is not None]
    kinds = list(dict.fromkeys(kinds))
    references, schemas = msgspec.json.schema_components(
        kinds, schema_hook=octets, ref_template="#/components/schemas/{name}"
    )
    of = dict(zip(kinds, references, strict=True))
    for kind in kinds:
        if issubclass(kind, Selecting):
            fields = kind.__struct_fields__
            others = [way for name, way in _OTHERWISE.items() if name in fields]
            schemas[kind.__name__]["anyOf"] = [*_SELECTIONS, *others]
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(route, of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "WSRC",
            "version": version,
            "description": "Smart cards that are somewhere else; see docs/http.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `wsrc-server token add`, or a JWT of the identity "
                    "provider; a certificate will do as well.",
                }
            },
        },
    }


def _operation(route: Route, of: dict[Any, Json]) -> Json:
    told: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {
            str(route.status): _answer(route, of),
            "default": {
                "description": "Why not (RFC 9457)",
                "content": {PROBLEM: {"schema": of[Problem]}},
            },
        },
    }
    if route.operator:
        told["description"] = "For operators: whoever has the verb `admin` for every card."
    parameters = [_parameter(each) for each in route.query]
    if "{session}" in route.path:
        parameters.insert(0, _SESSION)
    if "{number}" in route.path:
        parameters.insert(0, _NUMBER)
    if route.media == EVENTS:
        parameters.append(_LAST_EVENT)
    if parameters:
        told["parameters"] = parameters
    if route.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": of[route.body]}}}
    return told


def _answer(route: Route, of: dict[Any, Json]) -> Json:
    told: Json = {"description": route.summary}
    if route.answer is not None:
        told["content"] = {JSON: {"schema": of[route.answer]}}
    elif route.media == EVENTS:
        told["content"] = {EVENTS: {"schema": {"type": "string"}}}
    if route.name == "connect":
        told["headers"] = {
            "Location": {"description": "Path of the session", "schema": {"type": "string"}}
        }
    return told


def _parameter(param: Param) -> Json:
    schema: Json
    if param.kind == "count":
        schema = {"type": "integer", "minimum": param.least, "maximum": param.most}
    elif param.kind == "word":
        schema = {"type": "string", "enum": list(param.words)}
    elif param.kind == "tag":
        one = {"type": "string", "pattern": _TAG, "maxLength": param.most}
        schema = {"type": "array", "items": one, "maxItems": MOST_ASKED, "uniqueItems": True}
    else:
        schema = {"type": "string", "maxLength": param.most}
    return {"name": param.name, "in": "query", "description": param.meaning, "schema": schema}


_TAG = KEY_PATTERN.rstrip("$") + "=.*$"

_SELECTIONS: list[Json] = [
    *(
        {"required": [each.name], "properties": {each.name: {"type": "string", "pattern": "\\S"}}}
        for each in NAMES
    ),
    {
        "required": ["tags"],
        "properties": {
            "tags": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": MOST_ASKED,
                "propertyNames": {"pattern": KEY_PATTERN},
                "additionalProperties": {"type": "string", "pattern": "\\S"},
            }
        },
    },
]
_OTHERWISE: Json = {
    "pick": {"required": ["pick"], "properties": {"pick": {"const": "any"}}},
    "reservation": {"required": ["reservation"]},
}
"""What does in place of a selection, by the field that it is in."""

_NUMBER: Json = {
    "name": "number",
    "in": "path",
    "required": True,
    "description": "Number of the reservation",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10**15 - 1},
}
_SESSION: Json = {
    "name": "session",
    "in": "path",
    "required": True,
    "description": "Name of the session",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_LAST_EVENT: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Where an earlier stream ended; what was missed comes first, if it is known yet",
    "schema": {"type": "string", "maxLength": 128, "pattern": "^[!-~]*$"},
}
