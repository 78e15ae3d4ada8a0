# SPDX-License-Identifier: Apache-2.0
"""
Two sealed sessions of one card host, and a relay that does what it likes with their messages.

It keeps every box that it ever saw, and delivers any of them to either end of either session, as
any kind, under any number, as often as it likes, also changed. What must hold is that whoever
opens something has what the other end of that session sealed as just that.
"""

from typing import Any

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from tests.support.sealing import MASTER, NOW, Scene
from wsrc.sealing.ends import CardSeal, UserSeal
from wsrc.sealing.faults import SealError
from wsrc.sealing.handshake import Secret

KINDS = st.sampled_from(["c_apdu", "r_apdu", "batch"])
WHICH = st.integers(0, 1)


class EvilRelay(RuleBasedStateMachine):
    """See above."""

    boxes: Bundle[bytes] = Bundle("boxes")

    @initialize()
    def begin(self) -> None:
        scene = Scene(["x25519"])
        self.cards: list[CardSeal] = []
        self.users: list[UserSeal] = []
        self.secrets: list[Secret] = []
        self.sealed: dict[tuple[str, int, str, int], bytes] = {}
        self.numbers = {"user": [0, 0], "card": [0, 0]}
        self.taken, self.ran = [0, 0], [list[bytes](), list[bytes]()]
        for which, session in enumerate(("one", "two")):
            card = CardSeal(scene.offer(session=session))
            agreed = scene.agree(card.offer, session=session)
            user = UserSeal(*agreed.seal(MASTER[which:] + bytes(which)))
            assert user.secret is not None
            self.cards.append(card)
            self.users.append(user)
            self.secrets.append(user.secret)

    @rule(to=WHICH, of=WHICH)
    def deliver_a_secret(self, to: int, of: int) -> None:
        try:
            self.cards[to].accept(self.secrets[of], NOW)
        except SealError:
            assert to != of or not self._has_keys(to)

    def _has_keys(self, which: int) -> bool:
        return self.cards[which]._keyed is not None

    @rule(target=boxes, which=WHICH, kind=KINDS, text=st.binary(max_size=3), on=st.integers(1, 3))
    def a_user_asks(self, which: int, kind: str, text: bytes, on: int) -> bytes:
        return self._seal("user", self.users[which], which, kind, text, on)

    @rule(target=boxes, which=WHICH, kind=KINDS, text=st.binary(max_size=3), on=st.integers(1, 3))
    def a_card_host_answers(self, which: int, kind: str, text: bytes, on: int) -> bytes:
        if not self._has_keys(which):
            return b""
        return self._seal("card", self.cards[which], which, kind, text, on)

    def _seal(self, who: str, end: Any, which: int, kind: str, text: bytes, on: int) -> bytes:
        seq = self.numbers[who][which] = self.numbers[who][which] + on
        self.sealed[who, which, kind, seq] = text
        box: bytes = end.seal(kind, seq, text)
        return box

    @rule(target=boxes, box=boxes, bit=st.integers(0, 400))
    def change(self, box: bytes, bit: int) -> bytes:
        changed = bytearray(box or b"\0")
        changed[bit // 8 % len(changed)] ^= 1 << bit % 8
        return bytes(changed)

    @rule(box=boxes, to=WHICH, kind=KINDS, seq=st.integers(0, 8))
    def deliver_to_a_user(self, box: bytes, to: int, kind: str, seq: int) -> None:
        try:
            text = self.users[to].open(kind, seq, box)
        except SealError:
            return
        assert self.sealed["card", to, kind, seq] == text

    @rule(box=boxes, to=WHICH, kind=KINDS, seq=st.integers(0, 8))
    def deliver_to_a_card_host(self, box: bytes, to: int, kind: str, seq: int) -> None:
        """The card host takes what is higher than all before, as `wsrc.session` has it."""
        try:
            text = self.cards[to].open(kind, seq, box, self.taken[to])
        except SealError:
            return
        assert self.sealed["user", to, kind, seq] == text
        if seq > self.taken[to]:
            assert not self.taken[to], "the user was never told that anything has run"
            self.taken[to] = seq
            self.ran[to].append(text)


TestEvilRelay = EvilRelay.TestCase
TestEvilRelay.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.binary(max_size=200))
def test_a_secret_that_is_made_up_is_never_taken(sealed: bytes) -> None:
    card = CardSeal(Scene(["p256"]).offered)
    try:
        card.accept(Secret(sealed), NOW)
    except SealError:
        return
    raise AssertionError("it was taken")
