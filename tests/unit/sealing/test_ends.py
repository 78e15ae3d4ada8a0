# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.ends: both ends of a session, with whatever a relay does between them."""

import pytest

from tests.support.sealing import LINK_NONCE, MASTER, NOW, Scene
from wsrc.sealing.ends import CardSeal, UserSeal
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.handshake import Secret
from wsrc.sealing.proofs import Claim

CLAIM = Claim(1, "bench", "Reader 00 00@bench", LINK_NONCE)


class Ends:
    def __init__(self) -> None:
        scene = Scene()
        self.card = CardSeal(scene.offered)
        self.user = UserSeal(*scene.agree(self.card.offer).seal(MASTER))

    def ask(self, seq: int, taken: int, text: bytes = b"command") -> bytes:
        """Carry a request to the card host; return what it opens."""
        box = self.user.seal("c_apdu", seq, text)
        if self.user.secret is not None:
            self.card.accept(self.user.secret, NOW)
        return self.card.open("c_apdu", seq, box, taken)


def test_a_request_and_its_answer() -> None:
    ends = Ends()
    assert ends.ask(1, 0) == b"command"
    answer = ends.card.seal("r_apdu", 1, b"9000")
    assert ends.user.open("r_apdu", 1, answer) == b"9000"
    ends.user.settled(1)
    assert ends.ask(2, 1, b"next") == b"next"


def test_the_secret_goes_along_until_the_card_host_is_heard() -> None:
    ends = Ends()
    first = ends.user.secret
    assert first is not None
    for seq in (1, 2):
        assert ends.ask(seq, 0) == b"command"
        assert ends.user.secret is first
    ends.user.open("r_apdu", 2, ends.card.seal("r_apdu", 2, b"9000"))
    assert ends.user.secret is None
    ends.user.settled(2)
    assert ends.ask(3, 2) == b"command"


@pytest.mark.parametrize("what", ["refused", "ended", "resumed"])
def test_a_word_of_the_card_host_shows_that_it_has_the_secret(what: str) -> None:
    ends = Ends()
    proof = ends.user.prove(CLAIM)
    ends.ask(1, 0)
    ends.card.check(CLAIM, proof)
    heard = {
        "refused": lambda w: ends.user.refused(1, w),
        "ended": lambda w: ends.user.ended(0, w),
        "resumed": lambda w: ends.user.resumed(1, 0, w),
    }[what]
    said = {
        "refused": lambda: ends.card.refused(1),
        "ended": lambda: ends.card.ended(0),
        "resumed": lambda: ends.card.resumed(1, 0),
    }[what]()
    assert not heard(bytes(32))
    assert ends.user.secret is not None
    assert heard(said)
    assert ends.user.secret is None


def test_a_session_is_resumed_whose_first_request_never_came() -> None:
    ends = Ends()
    ends.user.seal("c_apdu", 1, b"lost on its way")
    proof = ends.user.prove(CLAIM)
    with pytest.raises(SealError, match="Nothing has said yet") as caught:
        ends.card.check(CLAIM, proof)
    assert caught.value.fault is Fault.PROOF
    assert ends.user.secret is not None
    ends.card.accept(ends.user.secret, NOW)
    ends.card.check(CLAIM, proof)
    assert ends.user.resumed(1, 0, ends.card.resumed(1, 0))
    assert ends.ask(2, 0, b"lost on its way") == b"lost on its way"


def test_nothing_is_opened_or_said_before_there_are_keys() -> None:
    ends = Ends()
    for early in (
        lambda: ends.card.open("c_apdu", 1, ends.user.seal("c_apdu", 1, b""), 0),
        lambda: ends.card.seal("r_apdu", 1, b""),
        lambda: ends.card.resumed(1, 0),
    ):
        with pytest.raises(SealError, match="Nothing has said yet") as caught:
            early()
        assert caught.value.fault is Fault.SECRET
    assert ends.card.refused(1) == ends.card.ended(0) == b""
    assert not ends.user.refused(1, b"")
    ends.card.lost()


def test_a_command_that_the_server_lied_about_is_not_run_twice() -> None:
    """It delivers number 1 and says that it was not executed; the user sends it again as 2."""
    ends = Ends()
    assert ends.ask(1, 0, b"VERIFY") == b"VERIFY"
    with pytest.raises(SealError, match="Request 1 was begun") as caught:
        ends.ask(2, 1, b"VERIFY")
    assert caught.value.fault is Fault.ORDER


def test_a_copy_of_the_request_in_hand_is_opened_as_before() -> None:
    ends = Ends()
    assert ends.ask(1, 0) == ends.ask(1, 1) == b"command"


def test_a_command_that_was_in_doubt_may_be_repeated_knowingly() -> None:
    ends = Ends()
    ends.ask(1, 0, b"VERIFY")
    ends.user.settled(1)
    assert ends.ask(2, 1, b"VERIFY") == b"VERIFY"


def test_a_server_that_lost_its_card_host_asks_the_same_once_more() -> None:
    ends = Ends()
    ends.ask(1, 0)
    proof = ends.user.prove(CLAIM)
    ends.card.check(CLAIM, proof)
    with pytest.raises(SealError):
        ends.card.check(CLAIM, proof)
    ends.card.lost()
    ends.card.check(CLAIM, proof)


def test_a_secret_that_comes_later_changes_no_keys() -> None:
    ends, other = Ends(), Ends()
    ends.ask(1, 0)
    assert other.user.secret is not None
    with pytest.raises(SealError, match="Another secret"):
        ends.card.accept(other.user.secret, NOW)
    with pytest.raises(SealError, match="Another secret"):
        ends.card.accept(Secret(b""), NOW)
    assert ends.ask(1, 1) == b"command"


# A session that is over


def test_what_is_left_of_a_session_tells_its_user_from_others() -> None:
    ends = Ends()
    ends.ask(1, 0)
    late, secret = ends.card.late(), ends.user.secret
    assert late.was_heard
    assert secret is not None
    late.accept(secret, NOW)
    with pytest.raises(SealError) as caught:
        late.accept(secret._replace(sealed=secret.sealed[::-1]), NOW)
    assert caught.value.fault is Fault.SECRET
    proof = ends.user.prove(CLAIM)
    late.check(CLAIM, proof)
    with pytest.raises(SealError, match="used before"):
        late.check(CLAIM, proof)


def test_what_is_left_of_a_session_has_no_key_of_a_box() -> None:
    ends = Ends()
    ends.ask(1, 0)
    late = ends.card.late()
    assert late._verifier is not None
    kept = late._verifier._keys
    assert (kept.requests, kept.answers) == (b"", b"")
    assert len(kept.proofs) == len(kept.words) == 32


def test_of_a_session_that_was_never_used_no_proof_is_good() -> None:
    late = Ends().card.late()
    assert not late.was_heard
    assert late.ended(0) == b""


def test_who_was_never_heard_comes_late_with_the_secret() -> None:
    ends = Ends()
    ends.user.seal("c_apdu", 1, b"command")
    late, secret = ends.card.late(), ends.user.secret
    assert secret is not None
    proof = ends.user.prove(CLAIM)
    with pytest.raises(SealError):
        late.check(CLAIM, proof)
    late.accept(secret, NOW)
    late.check(CLAIM, proof)
    assert ends.user.ended(0, late.ended(0))
    assert late._verifier is not None
    assert (late._offered, late._verifier._keys.requests) == (None, b"")
