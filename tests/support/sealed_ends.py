# SPDX-License-Identifier: Apache-2.0
"""Both ends of a sealed session, and what goes to and fro between them."""

from collections.abc import Iterator
from itertools import count

import msgspec

from tests.support.sealing import LINK_NONCE, MASTER, NOW, SESSION, Scene
from tests.support.session_ends import sent, settled
from wsrc.errors import (
    ErrorCode,
    Outcome,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.boxed import CardBoxes, UserBoxes
from wsrc.sealing.ends import CardSeal, UserSeal
from wsrc.session import CardEnd, State, UserEnd, Verdict

KEEP_S = 60.0
COMMAND = m.CApdu(command=Octets.fromhex("00a40000"))


class Ends:
    """A user and a card end that have agreed on keys."""

    def __init__(self, longest: int = 1 << 20, keep_s: float = KEEP_S) -> None:
        scene = Scene()
        self.host = CardBoxes(CardSeal(scene.offered), lambda: NOW, lambda: longest)
        secret, keys = scene.agree().seal(MASTER)
        self.boxes = UserBoxes(UserSeal(secret, keys), lambda: LINK_NONCE)
        self.user = UserEnd(SESSION, "", keep_s, "bench", "r1", self.boxes)
        self.card = CardEnd(SESSION, None, KEEP_S, self.host)
        self.ids: Iterator[int] = count(1)

    def ask(self, request: m.Plain = COMMAND) -> m.Sealed:
        asked = sent(self.user.ask(request))
        assert isinstance(asked, m.Sealed)
        return asked

    def take(self, asked: m.Sealed) -> m.Plain:
        """Have the card end take a request in hand."""
        plain = self.host.open(asked, self.card.taken)
        assert self.card.receive(asked) is Verdict.EXECUTE
        return plain

    def answer(self, sw: str = "9000") -> m.SealedResp:
        said = self.card.answered(m.RApdu(session=SESSION, response=Octets(), sw=sw))
        assert isinstance(said, m.SealedResp)
        return said

    def run(self) -> None:
        """Have one command run, and its answer arrive."""
        self.take(self.ask())
        assert isinstance(settled(self.user.answered(self.answer())), m.RApdu)

    def doubting(self, said: m.Error | m.SessionEnded) -> m.Resume:
        """Have the server say something without a word; return how the card end is asked."""
        tell = self.user.ended if isinstance(said, m.SessionEnded) else self.user.answered
        asked = sent(tell(said))  # type: ignore[arg-type] # each is told of its kind
        assert isinstance(asked, m.Resume)
        assert self.user.state is State.ASKING
        return msgspec.structs.replace(asked, nonce=LINK_NONCE)

    def proof(self) -> m.Resume:
        asked = sent(self.user.connected())
        assert isinstance(asked, m.Resume)
        return asked

    def resume(self) -> m.Resume:
        self.user.disconnected(1.0)
        self.card.disconnected(1.0)
        asked = self.proof()
        self.card.connected()
        return msgspec.structs.replace(asked, nonce=LINK_NONCE)


def refusal(ends: Ends, word: bytes | None = None) -> m.Error:
    code = ErrorCode.CANCELLED
    return m.error(code, "Not now.", session=SESSION, outcome=Outcome.NOT_EXECUTED, word=word)
