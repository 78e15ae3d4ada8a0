# SPDX-License-Identifier: Apache-2.0
"""Whatever a peer sends, of either kind, and however it ends: others keep their sessions."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.models.strategies import messages, near_messages
from tests.support.raw_peer import LIMIT_S, PING, TEXT, RawPeer, frame, raw_peer
from wsrc.protocol.codec import encode
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)
INFO = {"reader": "r1", "name": "r1", "state": "ready", "insertion": 1, "atr": "3b00"}
FEATURES = ["batch", "cancel", "pcsc", "raw_tpdu", "resume", "share"]
HELLO: dict[str, Any] = {"readers": [INFO], "features": FEATURES}


class Innocents:
    """A server, a card client and a user who has its card, in a loop of their own."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.session = ""
        self._stack = AsyncExitStack()
        self._seq = 0
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        enter = self._stack.enter_async_context
        self.app = await enter(serve(PLAIN))
        self.host = await enter(
            raw_peer(self.app.card_port, hello="card", name="bench", instance="c", **HELLO)
        )
        self.user = await enter(raw_peer(self.app.user_port, instance="u"))
        self.user.say("select_card", id=1, any="r1", secret="5e" * 16, keep_s=60)
        self.session = (await self.host.hear("attach"))["session"]
        self.host.say("attach_ack", session=self.session, atr="3b00", keep_s=60)
        await self.user.hear("select_card_ack")

    def close(self) -> None:
        self.runner.run(self._stack.aclose())
        self.runner.close()

    def meet(self, role: str, *, greeted: bool, frames: list[bytes], abrupt: bool) -> None:
        """Let a peer say something and go, and use the card meanwhile and after it."""

        async def main() -> None:
            async with asyncio.timeout(LIMIT_S):
                await self._meet(role, greeted=greeted, frames=frames, abrupt=abrupt)

        self.runner.run(main())

    async def _meet(self, role: str, *, greeted: bool, frames: list[bytes], abrupt: bool) -> None:
        port = self.app.user_port if role == "user" else self.app.card_port
        fields = HELLO if role == "card" else {}
        async with raw_peer(port, hello=role if greeted else None, **fields) as hostile:
            hostile.write(b"".join(frames))
            await self.use()
            if not abrupt:
                hostile.close(1000)
                await hostile.gone()
        await self.use()

    async def use(self) -> None:
        """Have the card run a command; its session is as it was."""
        self._seq += 1
        command = {"session": self.session, "seq": self._seq, "command": "00a40000"}
        self.user.say("c_apdu", id=self._seq, **command)
        asked = await self._only(self.host, "c_apdu")
        assert asked["id"] == self._seq
        answer = {"response": "", "sw": "9000", "seq": self._seq}
        self.host.say("r_apdu", id=self._seq, session=self.session, **answer)
        assert (await self._only(self.user, "r_apdu"))["id"] == self._seq

    async def _only(self, peer: RawPeer, msg_type: str) -> dict[str, Any]:
        """Hear a message, and before it nothing of the session."""
        while True:
            message = await peer.hear()
            if message["msg_type"] == msg_type:
                return message
            assert message["msg_type"] == "resume", message
            refused = {"code": "no_such_session", "message": "No."}
            peer.say("error", id=message["id"], session=message["session"], **refused)


@pytest.fixture(scope="module")
def innocents() -> Iterator[Innocents]:
    made = Innocents()
    yield made
    made.close()


def of_the_session(fields: dict[str, Any], session: str) -> dict[str, Any]:
    """Name the session and the reader of others wherever a message names one."""
    known = {"session": session, "reader": "r1", "target": 1, "id": 1, "host": "bench"}
    return {name: known.get(name, value) for name, value in fields.items()}


TEXTS = st.one_of(
    messages.map(lambda message: json.loads(encode(message))),
    near_messages,
)
RAW = st.one_of(
    st.binary(max_size=40),
    st.builds(
        frame,
        st.binary(max_size=200),
        st.integers(0, 255),
    ),
    st.builds(lambda code: frame(code.to_bytes(2), 0x88), st.integers(0, 5000)),
    st.sampled_from(
        [
            frame(b"", 0x88),
            frame(b"x" * 130, 0x80 | PING),
            frame(b"{", TEXT),
            b"\x81\x02{}",
            frame(b'{"msg_type":"hello","client_type":"card","x":"\xff"}'),
        ]
    ),
)


@pytest.mark.parametrize("role", ["user", "card"])
@settings(max_examples=100)
@given(
    said=st.lists(st.one_of(TEXTS, RAW), max_size=5),
    greeted=st.booleans(),
    theirs=st.booleans(),
    abrupt=st.booleans(),
)
def test_e32_no_peer_takes_the_sessions_of_others_with_it(
    innocents: Innocents,
    role: str,
    said: list[dict[str, Any] | bytes],
    greeted: bool,
    theirs: bool,
    abrupt: bool,
) -> None:
    frames: list[bytes] = []
    for each in said:
        if isinstance(each, bytes):
            frames.append(each)
        else:
            fields = of_the_session(each, innocents.session) if theirs else each
            frames.append(frame(json.dumps(fields).encode()))
    innocents.meet(role, greeted=greeted, frames=frames, abrupt=abrupt)
