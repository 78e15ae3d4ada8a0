# SPDX-License-Identifier: Apache-2.0
"""
Whatever a relay does to a sealed session, it gains nothing but that the session ends.

Two commands are sent that each take one of three tries of a PIN, and it is compared what the user
was told of them with what the card counted.
"""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.support.evils import EVILS, Evil, Loot
from tests.support.pki import Pair, Pki
from tests.support.sealed_world import WRONG_PIN, SealedWorld, sealed, tries
from tests.support.world import uicc
from wsrc.errors import CardError, ErrorCode, Outcome, OutcomeUnknownError, WsrcError
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.sealing.signing import Identity
from wsrc.user_client.aio import Card

TRIES = 3
OTHER_ICCID = "8988211000000430028"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def world(state_of_both: None, tmp_path: Path, pki: Pki) -> AsyncIterator[SealedWorld]:
    async with sealed(tmp_path, pki) as world:
        yield world


def identity_of(pair: Pair) -> Identity:
    certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    key = load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Identity((certificate.public_bytes(Encoding.DER),), key)


async def plundered(world: SealedWorld) -> Loot:
    """Carry a session with another card host; return what a relay keeps of it."""
    pair = world.pki.host("other.example")
    given = {"tls_cert": pair.cert, "tls_key": pair.key}
    await world.host(cards=[uicc(OTHER_ICCID)], name="other", **given)
    user = await world.user(name="other")
    card = await user.select(iccid=OTHER_ICCID)
    await card.transmit(WRONG_PIN)
    (asked,), (answer,) = world.relay.of(m.Sealed), world.relay.of(m.SealedResp)
    (attached,) = world.relay.of(m.AttachAck)
    assert attached.seal is not None
    world.relay.forget()
    stranger = identity_of(world.pki.self_signed("stranger"))
    return Loot(world.relay, asked, answer, attached.seal, identity_of(pair), stranger)


class Told:
    """What a user is told of commands that take a try each."""

    def __init__(self) -> None:
        self.ran = 0
        self.may_have_run = 0
        self.codes: set[ErrorCode] = set()

    async def of_commands(self, world: SealedWorld, evil: Evil) -> None:
        """Send two, as far as it goes."""
        async with world.client(name="user", **evil.user) as user:
            try:
                card = await user.select(iccid=UICC)
            except WsrcError as exc:
                self._failed(exc)
                return
            await self._of_two(card)

    async def _of_two(self, card: Card) -> None:
        for _ in range(2):
            try:
                response = await card.transmit(WRONG_PIN)
            except WsrcError as exc:
                self._failed(exc)
                continue
            self.ran += 1
            left = response.sw - 0x63C0
            assert TRIES - self.ran - self.may_have_run <= left <= TRIES - self.ran

    def _failed(self, exc: WsrcError) -> None:
        code = getattr(exc, "code", None)
        assert isinstance(code, ErrorCode), exc
        self.codes.add(code)
        unknown = isinstance(exc, CardError) and exc.outcome is not Outcome.NOT_EXECUTED
        self.may_have_run += unknown or isinstance(exc, OutcomeUnknownError)


UICC = "8988211000000430010"


@pytest.mark.parametrize("evil", EVILS, ids=lambda evil: evil.name)
async def test_a_relay_gains_nothing_that(world: SealedWorld, evil: Evil) -> None:
    await world.host(cards=[uicc(UICC)])
    loot = await plundered(world)
    world.relay.change = evil.change(loot)
    told = Told()
    await told.of_commands(world, evil)
    assert world.relay.changed, "the relay did nothing"
    assert told.codes & evil.told if evil.told else not told.codes, told.codes
    world.relay.stop_listening()
    auditor = await world.user(name="auditor")
    lost = TRIES - await tries(await auditor.select(iccid=UICC, wait_s=10))
    assert told.ran <= lost <= told.ran + told.may_have_run
    if not evil.told:
        assert (told.ran, lost) == (2, 2)
    for message in world.relay.heard:
        shown = encode(message)
        assert WRONG_PIN[5:].hex().encode() not in shown
        assert base64.b64encode(WRONG_PIN[3:]) not in shown
