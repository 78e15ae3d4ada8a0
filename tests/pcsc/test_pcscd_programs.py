# SPDX-License-Identifier: Apache-2.0
"""Programs of others, unchanged, with the same cards behind pcscd and behind our socket."""

from collections.abc import Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc import sides, tools
from tests.support.pcsc.bench import refuse, require
from tests.support.pcsc.openpgp import openpgp_card
from tests.support.pcsc.sides import Side
from tests.support.pcsc.tools import TOOLS, Tool
from wsrc.readers.simulation import Card, default_cards

pytestmark = pytest.mark.pcscd


def cards() -> list[Card]:
    return [default_cards()[0], openpgp_card()]


@pytest.fixture(scope="module")
def real() -> Iterator[Side]:
    require()
    with sides.real(cards()) as side:
        yield side


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "read ahead"])
def ours(certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[Side]:
    with sides.remote(cards(), certificates, read_ahead=request.param) as side:
        yield side


def need(*programs: str) -> None:
    lacks = [program for program in programs if tools.found(program) is None]
    if lacks:
        refuse(f"not on this host: {', '.join(lacks)}")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_output_is_that_with_pcscd(real: Side, ours: Side, tool: Tool) -> None:
    need(tool.argv(["", ""])[0])
    expected = tools.run(tool, real)
    assert tools.run(tool, ours).splitlines() == expected.splitlines()
    if tool.name.startswith(("pyscard", "java", "scriptor", "opensc-tool", "ykman")):
        assert expected.endswith("exit status 0")


def test_card_status_of_gpg_is_that_with_pcscd(real: Side, ours: Side) -> None:
    need("gpg", "gpgconf", "gpg-agent")
    expected = tools.card_status(real, 1)
    assert "Jane Roe" in expected
    assert tools.card_status(ours, 1).splitlines() == expected.splitlines()
