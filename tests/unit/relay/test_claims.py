# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.claims: who is found by what, and that memory has a bound."""

from wsrc.protocol import messages as m
from wsrc.relay.claims import FIRST_NUMBER, MAX_REMEMBERED, Claims, Remembered, signs_of
from wsrc.relay.records import CardPeer, UserPeer


def resume(id_: int, session: str, host: str | None = None) -> m.Resume:
    """Make a claim for the reader `r` of a host."""
    return m.Resume(id=id_, session=session, secret="s", host=host, reader="r")


def test_the_signs_of_a_session_are_its_name_and_its_place() -> None:
    assert signs_of(resume(1, "a", "bench")) == [("a",), ("bench", "r")]
    assert signs_of(resume(1, "a")) == [("a",)]
    assert signs_of(m.Resume(session="a", secret="s", host="bench")) == [("a",)]


def test_claims_that_wait_are_found_in_their_order() -> None:
    claims, user = Claims(), UserPeer(1)
    a, b, c = (claims.add(user, resume(n, s, "bench")) for n, s in enumerate("abb"))
    assert a.number > FIRST_NUMBER
    assert claims.waiting_for([("a",), ("b",)]) == []
    for claim in (c, b, a):
        claims.wait(claim)
    assert claims.waiting_for([("b",)]) == [b, c]
    assert claims.waiting_for([("a",), ("bench", "r"), ("x",)]) == [a, b, c]
    assert (claims.count("b"), claims.count("x"), len(claims)) == (2, 0, 3)


def test_a_claim_that_is_asked_does_not_wait() -> None:
    claims, user, peer = Claims(), UserPeer(1), CardPeer(2)
    claim = claims.add(user, resume(7, "a"))
    claims.wait(claim)
    claims.ask(claim, peer)
    assert claims.waiting_for([("a",)]) == []
    assert peer.claims == {claim.number: claim}
    assert claims.numbered(claim.number) is claim
    claims.wait(claim)
    assert (claim.peer, peer.claims) == (None, {})
    assert claims.waiting_for([("a",)]) == [claim]


def test_nothing_is_left_of_claims_that_are_removed() -> None:
    claims, user, peer = Claims(), UserPeer(1), CardPeer(2)
    both = [claims.add(user, resume(n, "a")) for n in (1, 2)]
    claims.wait(both[0])
    claims.ask(both[1], peer)
    for claim in both:
        claims.remove(claim)
    assert (len(claims), claims.count("a")) == (0, 0)
    assert (user.claims, peer.claims, claims._waiting) == ({}, {}, {})


def test_of_too_many_sessions_the_oldest_is_forgotten() -> None:
    memory: Remembered[int] = Remembered()
    for number in range(MAX_REMEMBERED):
        memory.put(str(number), number)
    memory.put("0", 100)
    memory.put("one more", 200)
    assert (memory.get("0"), memory.get("1"), memory.get("2")) == (100, None, 2)
    assert (memory.pop("one more"), memory.pop("one more")) == (200, None)
