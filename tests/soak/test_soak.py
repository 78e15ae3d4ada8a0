# SPDX-License-Identifier: Apache-2.0
"""The short form of each run of `make soak`."""

import pytest

from tests.soak.runs import (
    Result,
    Sizes,
    card_client_killed,
    connections_cut,
    rolling_restarts,
    server_killed,
    table,
)
from tests.support.certificates import Certificates
from tests.support.pcsc.bench import require


@pytest.fixture(params=["required", "off"])
def sizes(request: pytest.FixtureRequest) -> Sizes:
    return Sizes.given(
        seal=request.param,
        users=2,
        commands=300,
        cuts=30,
        server_kills=5,
        card_client_kills=3,
        restarts=2,
        keep_s=30.0,
    )


def told(sizes: Sizes, result: Result) -> str:
    return f"seed {sizes.seed}\n{table([result])}"


def test_no_command_is_lost_or_run_twice_where_connections_are_cut(
    sizes: Sizes, certificates: Certificates
) -> None:
    result = connections_cut(sizes, certificates)
    assert result.commands >= sizes.commands
    assert result.cuts >= sizes.cuts
    assert result.resumed, told(sizes, result)


def test_no_command_is_lost_or_run_twice_where_the_server_is_killed(
    sizes: Sizes, certificates: Certificates
) -> None:
    result = server_killed(sizes, certificates)
    assert result.resumed >= sizes.server_kills, told(sizes, result)


def test_each_outcome_is_true_where_the_card_client_is_killed(
    sizes: Sizes, certificates: Certificates
) -> None:
    require()
    result = card_client_killed(sizes, certificates)
    assert result.session_lost or result.unknown, told(sizes, result)


def test_no_user_sees_an_error_where_the_server_restarts(
    sizes: Sizes, certificates: Certificates
) -> None:
    result = rolling_restarts(sizes, certificates)
    assert (result.answered, result.errors) == (result.commands, 0), told(sizes, result)
