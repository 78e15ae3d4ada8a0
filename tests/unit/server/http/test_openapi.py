# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.http.openapi: the document is whole, and has what is served."""

import json
import re
from typing import Any

from wsrc.server.http.api import Api
from wsrc.server.http.farm_api import FarmApi
from wsrc.server.http.openapi import document
from wsrc.server.http.routes import ROUTES

DOCUMENT = document("1.2.3")


def references(value: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(value)))


def test_every_reference_leads_somewhere() -> None:
    assert references(DOCUMENT) <= set(DOCUMENT["components"]["schemas"])
    assert "Problem" in references(DOCUMENT)


def test_every_route_has_a_handler_and_a_place_in_the_document() -> None:
    for route in ROUTES:
        assert callable(getattr(Api, route.name, None) or getattr(FarmApi, route.name))
        operation = DOCUMENT["paths"][f"/api/v1{route.path}"][route.method.lower()]
        assert operation["operationId"] == route.name
        assert ("requestBody" in operation) == (route.body is not None)
        names = {each["name"] for each in operation.get("parameters", ())}
        assert {each.name for each in route.query} <= names
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_octets_are_hexadecimal_digits_everywhere() -> None:
    command = DOCUMENT["components"]["schemas"]["Transmit"]["properties"]["command"]
    assert command["pattern"] == "^([0-9a-fA-F]{2})*$"
    assert (command["minLength"], command["maxLength"]) == (8, 131_088)


def test_every_schema_says_what_it_is() -> None:
    assert [
        name
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if not schema.get("description")
    ] == []
