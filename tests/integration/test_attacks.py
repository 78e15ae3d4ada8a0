# SPDX-License-Identifier: Apache-2.0
"""Frames, offers, cards and guesses of a hostile peer, while a session goes on (issue 13)."""

import logging
import re
import secrets
from contextlib import AsyncExitStack

import pytest

from tests.support.certificates import Certificates
from tests.support.innocent import ATTACKER, THEIRS, innocent, told
from tests.support.raw_peer import (
    LAST,
    LOOPS,
    PING,
    TEXT,
    LoopFactory,
    frame,
    raw_peer,
    run,
)
from tests.support.world import READ_ICCID, World, running, uicc, until
from wsrc.errors import AmbiguousCardError, ErrorCode
from wsrc.net.tls import client_context
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import CloseCode

RSV1 = 0x40

OFFERS = (
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits; server_no_context_takeover",
    "permessage-deflate, x-webkit-deflate-frame, permessage-bzip2",
)

HEAD_OF_2_63 = bytes([LAST | TEXT, 0xFF]) + (1 << 63).to_bytes(8) + bytes(4)
HEAD_OF_TOO_MUCH = bytes([LAST | TEXT, 0xFF]) + (MAX_MESSAGE_OCTETS + 1).to_bytes(8) + bytes(4)
PIECES = frame(b"[", TEXT) + frame(b"[" * 60_000, 0) * 20
BAD_FRAMES = {
    "compressed": (frame(b"\x00", LAST | RSV1 | TEXT), CloseCode.PROTOCOL_ERROR),
    "compressed ping": (frame(b"", LAST | RSV1 | PING), CloseCode.PROTOCOL_ERROR),
    "2^63 octets": (HEAD_OF_2_63, CloseCode.TOO_LONG),
    "too long": (HEAD_OF_TOO_MUCH, CloseCode.TOO_LONG),
    "too long in fragments": (PIECES, CloseCode.TOO_LONG),
    "a fragment of nothing": (frame(b"x", 0), CloseCode.PROTOCOL_ERROR),
    "a message in a message": (frame(b"x", TEXT) * 2, CloseCode.PROTOCOL_ERROR),
    "a ping in fragments": (frame(b"x", PING), CloseCode.PROTOCOL_ERROR),
    "a long ping": (frame(b"x" * 126, LAST | PING), CloseCode.PROTOCOL_ERROR),
}


@LOOPS
def test_13_no_compression_is_agreed_on_whatever_is_offered(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    async def main() -> None:
        async with running(certificates) as world, innocent(world) as session:
            tls = client_context(world.ca)
            for offer in OFFERS:
                header = f"Sec-WebSocket-Extensions: {offer}\r\n".encode()
                for kind, port in ports(world):
                    async with raw_peer(port, tls=tls, hello=kind, headers=header) as peer:
                        assert b"extensions" not in peer.upgrade.lower()
                        peer.write(frame(b"\xaa\x56\x2a\x01\x00", LAST | RSV1 | TEXT))
                        assert await peer.told_to_close() == CloseCode.PROTOCOL_ERROR
            await session.works()

    run(loop_factory, main())


def ports(world: World) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return the ports of a server, with the kind of client that each is for."""
    return ("user", world.app.user_port), ("card", world.app.card_port)


@LOOPS
def test_13_an_oversized_or_broken_frame_ends_its_own_connection_alone(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running(certificates) as world, innocent(world) as session:
            tls = client_context(world.ca)
            for what, (octets, code) in BAD_FRAMES.items():
                for kind, port in ports(world):
                    async with raw_peer(port, tls=tls, hello=kind, source=ATTACKER) as peer:
                        peer.write(octets)
                        assert (what, await peer.told_to_close()) == (what, code)
                    await session.works()
            await session.others_get_in()

    run(loop_factory, main())
    assert [r for r in caplog.records if r.levelno > logging.WARNING] == []


@LOOPS
def test_13_fragments_without_end_are_no_message_and_harm_nobody(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    """A message of which an octet comes at a time, and empty fragments after it."""

    async def main() -> None:
        async with running(certificates) as world, innocent(world) as session:
            tls = client_context(world.ca)
            async with raw_peer(world.app.user_port, tls=tls, source=ATTACKER) as peer:
                peer.write(frame(b"[", TEXT))
                for _ in range(10):
                    peer.write(frame(b"", 0) * 500 + frame(b" ", 0) * 500)
                    await peer.drain()
                    await session.works()
                peer.write(frame(b"", LAST | PING))
                await session.others_get_in()

    run(loop_factory, main())


@LOOPS
def test_13_a_card_host_that_announces_the_card_of_another_gets_none_of_its_commands(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    """A session stays where it is, and who selects is told that there are two."""

    async def main() -> None:
        async with running(certificates) as world, innocent(world) as session:
            impostor = await world.host([uicc(THEIRS)], "impostor")
            await session.works()
            user = await world.user()
            with pytest.raises(AmbiguousCardError) as caught:
                await user.select(iccid=THEIRS)
            assert len(caught.value.candidates) == 2
            await session.works()
            impostor.stop.set()
            await until(lambda: world.counts["cards"] == 1)
            await session.works()

    run(loop_factory, main())


@LOOPS
def test_13_a_user_that_guesses_sessions_is_told_nothing_and_counted(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Random names and secrets, and the right name with random secrets."""
    caplog.set_level(logging.INFO)
    guesses = 50

    async def main() -> None:
        async with running(certificates) as world, innocent(world) as session:
            tls = client_context(world.ca)
            await world.host([uicc("8988211999000000019")], "ours")
            user = await world.user("owner")
            async with user.select(reader="Simulated UICC 00 00@ours") as card:
                await card.transmit(READ_ICCID[0])
                known, reader = session_on(world, "ours")
                answers = set()
                async with raw_peer(world.app.user_port, tls=tls, source=ATTACKER) as thief:
                    for number in range(guesses):
                        name = known if number % 2 else secrets.token_hex(16)
                        thief.say(
                            "resume", id=number + 1, session=name, secret=secrets.token_hex(32),
                            seq=0, host="ours", reader=reader,
                        )  # fmt: skip
                        said = await thief.hear("error")
                        assert said.pop("id") == number + 1
                        assert said.pop("session") == name
                        answers.add((said["code"], said.get("outcome"), said.get("lease")))
                assert answers == {(ErrorCode.NO_SUCH_SESSION, None, None)}
                assert (await card.transmit(READ_ICCID[0])).sw == 0x9000
            await session.works()
            counts = world.app.bitten
            assert counts["resumes_not_given"] == guesses // 2
            assert counts["resumes_of_unknown_sessions"] == guesses // 2

    run(loop_factory, main())
    assert told(caplog, "is not given to")[0] <= 2
    assert told(caplog, "asks for a session that is not known")[0] <= 2
    assert not any(re.search(r"[0-9a-f]{64}", line) for line in caplog.messages)


@LOOPS
def test_13_claims_to_sessions_of_absent_hosts_have_a_limit(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    """They wait for their card host, and no more of them than one user may have."""
    most = 12

    async def main() -> None:
        limits = {"max_waiting_per_principal": most, "unlimited_from": ("127.0.0.1/32",)}
        async with running(certificates, **limits) as world, innocent(world) as session:
            tls = client_context(world.ca)
            async with AsyncExitStack() as stack:
                for number in range(3):
                    one = raw_peer(world.app.user_port, tls=tls, source=ATTACKER)
                    thief = await stack.enter_async_context(one)
                    for guess in range(8):
                        name = secrets.token_hex(16)
                        thief.say("resume", id=guess + 1, session=name, secret="x", seq=0)
                    thief.say("list_cards", id=99)
                    refused = 0
                    while (said := await thief.hear())["msg_type"] != "list_cards_ack":
                        assert (said["code"], said["retry_after_s"]) == (ErrorCode.TOO_MANY, 1.0)
                        refused += 1
                    assert refused == [0, 4, 8][number]
                assert world.counts["claims"] == most
                await session.works()
            await until(lambda: world.counts["claims"] == 0)
            assert world.app.bitten == {"max_waiting_per_principal": 12}

    run(loop_factory, main())


def session_on(world: World, host: str) -> tuple[str, str]:
    """Return the session of the one card of a host, and its reader."""
    (lease,) = [
        lease
        for lease in world.app._peers.relay._state.sessions.values()
        if lease.slot.peer.name == host
    ]
    return lease.session, lease.slot.reader
