# SPDX-License-Identifier: Apache-2.0
"""
What a command and a card cost our server, counted: calls, and octets that its modules hold.

No time is asserted. A limit here is a tenth more than what there was when it was last lowered.
"""

from pathlib import Path

import pytest

from tests.bench import programs
from tests.bench.driver import Driver
from tests.bench.looked_into import LOOKED_INTO, look
from tests.bench.programs import Host
from tests.support.certificates import Certificates

SESSIONS = 50

CARDS = 200

CALLS, CALLS_OF_C = 72, 96
"""Calls for a relayed command and its answer, with TLS; pings are among them."""

CALLS_TO_COME = 820
"""Calls for a card that connects, says hello and is announced."""

OCTETS = 7400
"""Octets that our modules hold for an idle card, beside TLS and the transport."""


@pytest.fixture
def host(certificates: Certificates, tmp_path: Path) -> Host:
    return Host(certificates, tmp_path)


def test_counts_calls_for_a_relayed_command(host: Host) -> None:
    with (
        programs.running(host, LOOKED_INTO, tls=True) as server,
        programs.driven(host, LOOKED_INTO, server, SESSIONS, tls=True) as (_, users),
    ):
        users.ask(f"run 0.05 {SESSIONS} 0")
        with look(server) as looked:
            told = users.ask(f"run 1 {SESSIONS} 0")
        assert told["apdus"] >= SESSIONS
        assert looked.found.calls / told["apdus"] <= CALLS
        assert looked.found.calls_of_c / told["apdus"] <= CALLS_OF_C


def test_counts_what_an_idle_card_costs(host: Host) -> None:
    options = {"ca": host.certificates.ca}
    with (
        programs.running(host, LOOKED_INTO, tls=True) as server,
        Driver("cards", "wsrc", server.card_port, 20, first=10, **options) as some,
        Driver("cards", "wsrc", server.card_port, CARDS, first=1000, **options) as cards,
    ):
        some.ask("open")
        with look(server) as looked:
            assert cards.ask("open")["ready"] == CARDS
            server.program.wait_for(f"card client {CARDS + 20} ")
        assert 0 < looked.found.octets / CARDS <= OCTETS
        assert looked.found.calls / CARDS <= CALLS_TO_COME
