# SPDX-License-Identifier: Apache-2.0
"""A real server, over TLS: hidden cards, and sessions of others, are as if they did not exist."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.tokens import TokenWorld, running_with_tokens
from tests.support.world import LIMIT_S, hosting, uicc, until
from wsrc.errors import ConnectionLostError, ErrorCode
from wsrc.net.bearer import Token
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.net.websocket import Link
from wsrc.octets import Octets
from wsrc.protocol import messages as m

MINE, DARK, ABSENT = "8988211000000430010", "8988211000000430028", "8988211000000430036"
SECRET = "5e" * 32

POLICY = f"""
[[grant]]
to = ["bob"]
cards = {{ iccid = "{MINE}" }}
may = ["use", "share", "direct", "events"]

[[grant]]
to = ["ann"]
cards = "*"
may = ["use", "share", "direct", "events", "list"]

[[host]]
who = ["farm"]
announces = "*"
"""


async def received(link: Link) -> tuple[m.Message, bytes]:
    async with asyncio.timeout(LIMIT_S):
        return await link.receive()


class Lab:
    """A server with a policy and tokens, and a card host with two cards."""

    def __init__(self, served: TokenWorld, stack: AsyncExitStack) -> None:
        self.served = served
        self._stack = stack
        self._id = 0

    async def token(self, name: str, expires_in_s: float | None = None) -> Path:
        role = m.ClientType.CARD if name == "farm" else m.ClientType.USER
        file = self.served.made(name, role, expires_in_s)
        await until(lambda: self.served.knows(file))
        return file

    async def user(self, name: str, expires_in_s: float | None = None) -> Link:
        """Connect as a user with a new token, and greet."""
        token = Token((await self.token(name, expires_in_s)).read_text().strip())
        link = await self._stack.enter_async_context(
            dial(
                self.served.user_url,
                client_context(self.served.certificates.ca),
                connect_s=LIMIT_S,
                ping_s=LIMIT_S,
                token=token,
            )
        )
        link.send(m.Hello(client_type=m.ClientType.USER, version=m.VERSION))
        assert isinstance((await received(link))[0], m.HelloAck)
        return link

    async def ready(self, link: Link, iccid: str) -> None:
        """Wait until a user sees a card that is ready."""

        async def seen() -> bool:
            answer, _ = await self.asked(link, m.ListCards(id=self.new_id(), iccid=iccid))
            assert isinstance(answer, m.ListCardsAck)
            return [card.state for card in answer.cards] == [m.CardState.READY]

        await until(seen)

    async def asked(self, link: Link, request: m.Message) -> tuple[m.Message, bytes]:
        link.send(request)
        return await received(link)

    def new_id(self) -> int:
        self._id += 1
        return self._id


@asynccontextmanager
async def lab(certificates: Certificates, folder: Path) -> AsyncIterator[Lab]:
    policy = folder / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    async with (
        running_with_tokens(certificates, folder, policy=policy) as served,
        AsyncExitStack() as stack,
    ):
        made = Lab(served, stack)
        farm, cards = await made.token("farm"), [uicc(MINE), uicc(DARK)]
        where = served.card_url
        await stack.enter_async_context(
            hosting(where, certificates, cards, "bench", token_file=farm)
        )
        yield made


def taking(id_: int, iccid: str) -> m.SelectCard:
    return m.SelectCard(id=id_, iccid=iccid, secret=SECRET, keep_s=60.0)


def resuming(taken: m.SelectCardAck) -> m.Resume:
    """Claim a session, as its user does who has lost the connection."""
    assert taken.session is not None
    assert taken.card is not None
    where = {"host": taken.card.host, "reader": taken.card.reader}
    return m.Resume(id=6, session=taken.session, secret=SECRET, **where)


async def test_13_over_tls_a_hidden_card_is_answered_in_the_octets_of_an_absent_one(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        ann, bob = await made.user("ann"), await made.user("bob")
        await made.ready(ann, DARK)
        await made.ready(bob, MINE)
        taken, _ = await made.asked(ann, taking(5, DARK))
        assert isinstance(taken, m.SelectCardAck)
        assert taken.session is not None
        for make in (
            lambda iccid: m.ListCards(id=7, iccid=iccid),
            lambda iccid: m.ListReaders(id=7, any=iccid),
            lambda iccid: m.WatchReaders(id=7, iccid=iccid),
            lambda iccid: m.SelectCard(id=7, iccid=iccid),
            lambda iccid: m.SelectCard(id=7, iccid=iccid, wait_s=0.2),
            lambda iccid: m.SelectCard(id=7, any=iccid, then=m.CApdu(id=8, command=Octets(4))),
        ):
            answers: list[list[bytes]] = []
            for iccid in (DARK, ABSENT):
                answer, text = await made.asked(bob, make(iccid))
                texts = [text.replace(iccid.encode(), b"ICCID")]
                if isinstance(answer, m.Waiting):
                    texts.append((await received(bob))[1].replace(iccid.encode(), b"ICCID"))
                answers.append(texts)
            assert answers[0] == answers[1]
        told = [
            (await made.asked(bob, m.CApdu(id=9, session=session, command=Octets(4))))[1].replace(
                session.encode(), b"SESSION"
            )
            for session in (taken.session, "0" * len(taken.session))
        ]
        assert told[0] == told[1]


async def test_13_over_tls_a_session_is_resumed_by_its_principal_and_by_nobody_else(
    certificates: Certificates, tmp_path: Path
) -> None:
    """The token of its user has ended meanwhile, and its connection with it."""
    async with lab(certificates, tmp_path) as made:
        looker = await made.user("ann")
        await made.ready(looker, MINE)
        bob = await made.user("bob", expires_in_s=3.0)
        taken, _ = await made.asked(bob, taking(5, MINE))
        assert isinstance(taken, m.SelectCardAck)
        assert taken.keep_s > 0
        assert taken.session is not None
        with pytest.raises(ConnectionLostError, match="The token of this client has expired"):
            await received(bob)
        resume = resuming(taken)
        refused, _ = await made.asked(looker, resume)
        assert isinstance(refused, m.Error)
        assert refused.code is ErrorCode.NO_SUCH_SESSION
        again = await made.user("bob")
        assert isinstance((await made.asked(again, resume))[0], m.Resumed)


async def test_13_over_tls_the_session_of_a_revoked_principal_ends_at_once(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with lab(certificates, tmp_path) as made:
        bob, ann = await made.user("bob"), await made.user("ann")
        await made.ready(bob, MINE)
        taken, _ = await made.asked(bob, taking(5, MINE))
        assert isinstance(taken, m.SelectCardAck)
        assert taken.session is not None
        made.served.revoke("bob")
        with pytest.raises(ConnectionLostError, match="revoked"):
            await received(bob)
        await made.ready(ann, MINE)
        again = await made.user("bob")
        resume = resuming(taken)
        refused, _ = await made.asked(again, resume)
        assert isinstance(refused, m.Error | m.SessionEnded)
        assert made.served.app.counts["sessions"] == 0
