# SPDX-License-Identifier: Apache-2.0
"""A server's answers are those of its OpenAPI document, whatever is asked of it."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support.certificates import Certificates
from tests.support.http_served import asking
from tests.support.world import LIMIT_S, UICC, running
from wsrc import __version__
from wsrc.server.http.openapi import document

SCHEMA = schemathesis.openapi.from_dict(
    {
        **document(__version__),
        # A stream does not end; tests of its own follow it.
        "paths": {
            path: item
            for path, item in document(__version__)["paths"].items()
            if not path.endswith("/events")
        },
    }
)


@pytest.fixture(scope="module")
def served(certificates: Certificates) -> Iterator[tuple[str, str]]:
    """Run a server with cards in a thread, for a client that blocks; yield a session as well."""
    ready, made = threading.Event(), list[tuple[str, str]]()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running(certificates, wait_max_s=0.1) as world:
            await world.host()
            async with asking(world.http_url) as asker:
                session = await asker.session(iccid=UICC)
            made.append((world.http_url, session.rpartition("/")[2]))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(LIMIT_S)
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(LIMIT_S)
        loop.close()


@SCHEMA.parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_each_operation_answers_as_its_document_says(
    case: schemathesis.Case, served: tuple[str, str]
) -> None:
    url, session = served
    excluded = []
    if case.method == "POST" and "session" in case.path_parameters:
        case.path_parameters["session"] = session
        excluded.append(positive_data_acceptance)  # the card or its reader may say no
    body = case.body if isinstance(case.body, dict) else {}
    if case.method == "POST" and {"pick", "reservation", "for_s"} & set(body):
        excluded.append(positive_data_acceptance)  # what a time or a token says is not of a schema
    case.validate_response(case.call(base_url=url), excluded_checks=excluded)
