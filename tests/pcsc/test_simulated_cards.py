# SPDX-License-Identifier: Apache-2.0
"""Simulated cards, served by `VpcdCard`, in a real pcscd."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from tests.support.pcsc.asking import ASK_PIN, MF, VERIFY_PIN, ask, send
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.vpcd_card import VpcdCard
from wsrc.errors import CardError, Outcome
from wsrc.readers.base import ResetKind
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.pcsc_reader import PcscConnection
from wsrc.readers.simulation import make_card, parse_description

pytestmark = pytest.mark.pcscd

EID = "89882119900000000000000000007280"


@contextlib.contextmanager
def connected(
    bench: Bench, slot: Slot, source: PcscSource, description: str
) -> Iterator[PcscConnection]:
    """Put a simulated card into a slot and take it for exclusive use."""
    card = VpcdCard(make_card(parse_description(description, "card")), port=slot.port)
    thread = threading.Thread(target=card.run)
    thread.start()
    try:
        bench.wait_present(slot)
        reader = source.open(slot.reader)
        connection = reader.connect()
        try:
            yield connection
        finally:
            connection.close()
            reader.close()
    finally:
        card.stop()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("protocol", ["T0", "T1"])
@pytest.mark.parametrize(("kind", "eids"), [("uicc", ()), ("euicc", (EID,))])
def test_simulated_card_is_identified_through_pcscd(
    bench: Bench, slot: Slot, source: PcscSource, kind: str, eids: tuple[str, ...], protocol: str
) -> None:
    description = f'kind = "{kind}"\nprotocol = "{protocol}"\n'
    with connected(bench, slot, source, description) as connection:
        assert connection.protocol == protocol
        identified = ask(lambda octets: send(connection, octets))
    assert identified.identities.eids == eids
    assert not identified.moved


@pytest.mark.parametrize("kind", list(ResetKind))
def test_verified_pin_is_gone_after_a_reset(
    bench: Bench, slot: Slot, source: PcscSource, kind: ResetKind
) -> None:
    with connected(bench, slot, source, 'kind = "uicc"\n') as connection:
        send(connection, MF)
        assert send(connection, VERIFY_PIN) == b"\x90\x00"
        assert send(connection, ASK_PIN[:4]) == b"\x90\x00"
        connection.reset(kind)
        send(connection, MF)
        assert send(connection, ASK_PIN[:4]) == b"\x63\xc3"


@pytest.mark.parametrize("when", ["before", "after"])
def test_card_that_dies_in_mid_command_leaves_the_outcome_unknown(
    bench: Bench, slot: Slot, source: PcscSource, when: str
) -> None:
    faults = f'kind = "uicc"\n[faults]\ndies_at = 1\nonly = "0020"\nwhen = "{when}"\n'
    with connected(bench, slot, source, faults) as connection:
        send(connection, MF)
        with pytest.raises(CardError) as caught:
            connection.transmit(VERIFY_PIN)
    assert caught.value.outcome is Outcome.UNKNOWN


def test_mute_card_is_unresponsive(bench: Bench, slot: Slot, source: PcscSource) -> None:
    mute = 'kind = "uicc"\n[faults]\nmute = true\n'
    with (
        pytest.raises(CardError, match=r"no usable answer to reset.*SCARD_"),
        connected(bench, slot, source, mute),
    ):
        pass
