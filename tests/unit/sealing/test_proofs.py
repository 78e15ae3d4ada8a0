# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.proofs: resuming a session, and what a card host says of requests."""

from typing import Any

import pytest

from tests.support.sealing import LINK_NONCE
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.keys import Keys, derive
from wsrc.sealing.proofs import Claim, Proof, Prover, Verifier

KEYS = derive(bytes(range(32)), "5f0c", bytes(32))
OTHER = derive(bytes(range(32)), "5f0d", bytes([1]) * 32)
CLAIM = Claim(3, "bench", "Reader@bench", LINK_NONCE)


def ends(keys: Keys = KEYS) -> tuple[Prover, Verifier]:
    return Prover(keys), Verifier(keys)


def refuses(card: Verifier, claim: Claim, proof: Proof) -> None:
    with pytest.raises(SealError) as caught:
        card.check(claim, proof)
    assert caught.value.fault is Fault.PROOF


def test_a_session_is_resumed_by_proof_again_and_again() -> None:
    user, card = ends()
    for seq in (0, 3, 3, 9):
        claim = CLAIM._replace(seq=seq)
        card.check(claim, user.prove(claim))


def test_a_copy_of_a_proof_is_refused() -> None:
    user, card = ends()
    proof = user.prove(CLAIM)
    card.check(CLAIM, proof)
    refuses(card, CLAIM, proof)


def test_two_users_who_resume_with_one_proof_do_not_both() -> None:
    user, card = ends()
    proof = user.prove(CLAIM)
    refuses(card, CLAIM._replace(nonce=bytes(32)), proof)
    card.check(CLAIM, proof)
    refuses(card, CLAIM._replace(nonce=bytes(32)), proof)


def test_an_old_proof_is_refused_though_it_was_never_seen() -> None:
    user, card = ends()
    old = user.prove(CLAIM)
    card.check(CLAIM, user.prove(CLAIM))
    refuses(card, CLAIM, old)


CHANGES: dict[str, dict[str, Any]] = {
    "the nonce of another connection": {"nonce": bytes(32)},
    "another number": {"seq": 4},
    "another host": {"host": "bench2"},
    "another reader": {"reader": "X@bench"},
    "a host for a reader": {"host": "benc", "reader": "hReader@bench"},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_proof_for_something_else_is_refused(changed: str) -> None:
    user, card = ends()
    refuses(card, CLAIM._replace(**CHANGES[changed]), user.prove(CLAIM))


def test_a_proof_of_another_session_or_with_another_counter_is_refused() -> None:
    _, card = ends()
    refuses(card, CLAIM, Prover(OTHER).prove(CLAIM))
    refuses(card, CLAIM, Prover(KEYS).prove(CLAIM)._replace(counter=2))


@pytest.mark.parametrize(
    ("claim", "proof"),
    [
        (CLAIM, Proof(0, bytes(32))),
        (CLAIM, Proof(2**53, bytes(32))),
        (CLAIM, Proof(-1, bytes(32))),
        (CLAIM, Proof(1, b"")),
        (CLAIM._replace(seq=-1), Proof(1, bytes(32))),
        (CLAIM._replace(seq=2**53), Proof(1, bytes(32))),
        (CLAIM._replace(nonce=b""), Proof(1, bytes(32))),
    ],
)
def test_what_is_malformed_is_refused(claim: Claim, proof: Proof) -> None:
    refuses(Verifier(KEYS), claim, proof)


def test_a_proof_that_was_refused_is_in_nobodys_way() -> None:
    user, card = ends()
    proof = user.prove(CLAIM)
    refuses(card, CLAIM, Proof(2**53 - 1, bytes(32)))
    card.check(CLAIM, proof)


def test_a_server_that_lost_the_card_host_may_ask_the_last_once_more() -> None:
    user, card = ends()
    old, last = user.prove(CLAIM), user.prove(CLAIM)
    card.check(CLAIM, last)
    card.lost()
    refuses(card, CLAIM, old)
    refuses(card, CLAIM._replace(nonce=bytes(32)), last)
    card.check(CLAIM, last)
    refuses(card, CLAIM, last)
    card.check(CLAIM, user.prove(CLAIM))


def test_a_user_knows_the_answer_to_its_last_proof_from_any_other() -> None:
    user, card = ends()
    card.check(CLAIM, user.prove(CLAIM))
    first = card.resumed(3, 2)
    assert user.resumed(3, 2, first)
    assert not user.resumed(3, 3, first)
    assert not user.resumed(2, 2, first)
    assert not user.resumed(3, 2, first[:-1])
    proof = user.prove(CLAIM)
    assert not user.resumed(3, 2, first)
    card.check(CLAIM, proof)
    assert user.resumed(3, 2, card.resumed(3, 2))


def test_nobody_but_the_card_host_says_that_a_request_is_not_begun() -> None:
    user, card = ends()
    word = card.refused(5)
    assert user.refused(5, word)
    assert not user.refused(6, word)
    assert not user.refused(5, b"")
    assert not user.refused(5, Verifier(OTHER).refused(5))
    assert not user.ended(5, word)


def test_nobody_but_the_card_host_says_after_which_request_a_session_ended() -> None:
    user, card = ends()
    word = card.ended(5)
    assert user.ended(5, word)
    assert not user.ended(4, word)
    assert not user.refused(5, word)
    assert not user.ended(5, Verifier(OTHER).ended(5))
