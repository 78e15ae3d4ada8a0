# SPDX-License-Identifier: Apache-2.0
"""Whatever is sealed, and whatever a relay makes of it."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.sealing import NOW, Ca
from wsrc.sealing.boxes import Direction, Opened, Opener, Sealer
from wsrc.sealing.encoding import MAX_NUMBER, NONCE_OCTETS, pack
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.keys import Keys, derive
from wsrc.sealing.known_hosts import KnownHosts
from wsrc.sealing.modes import Mode
from wsrc.sealing.proofs import Claim, Proof, Prover, Verifier
from wsrc.sealing.signing import is_signed
from wsrc.sealing.terms import Ask, Asked, Card, Said, Terms

KEY = bytes(range(32))
KINDS = st.sampled_from(["c_apdu", "r_apdu", "batch", "error"]) | st.text(max_size=8)
NUMBERS = st.integers(1, MAX_NUMBER)
NONCES = st.binary(min_size=NONCE_OCTETS, max_size=NONCE_OCTETS)
SHORT = st.text(st.characters(codec="utf-8"), max_size=3)
SOME = st.lists(SHORT, max_size=3).map(tuple)

BOX = st.fixed_dictionaries({
    "kind": KINDS,
    "seq": NUMBERS,
    "session": SHORT,
    "direction": st.sampled_from(Direction),
    "text": st.binary(max_size=80),
    "pad_octets": st.integers(1, 64),
})  # fmt: skip


def sealed(b: dict[str, Any], ran: int = 0) -> bytes:
    sealer = Sealer(KEY, b["direction"], b["session"], b["pad_octets"])
    return sealer.seal(b["kind"], b["seq"], b["text"], ran)


def opened(b: dict[str, Any], box: bytes) -> Opened:
    return Opener(KEY, b["direction"], b["session"]).open(b["kind"], b["seq"], box)


def refuses(b: dict[str, Any], box: bytes) -> None:
    with pytest.raises(SealError) as caught:
        opened(b, box)
    assert caught.value.fault is Fault.BOX


@given(BOX, st.integers(0, MAX_NUMBER))
def test_what_is_sealed_is_opened_as_it_was(b: dict[str, Any], ran: int) -> None:
    assert opened(b, sealed(b, ran)) == Opened(b["text"], ran)


@given(BOX, st.data())
def test_a_box_with_any_bit_changed_never_opens(b: dict[str, Any], data: st.DataObject) -> None:
    box = bytearray(sealed(b))
    bit = data.draw(st.integers(0, 8 * len(box) - 1))
    box[bit // 8] ^= 1 << bit % 8
    refuses(b, bytes(box))


@given(BOX, st.data())
def test_a_box_that_was_cut_or_has_more_never_opens(b: dict[str, Any], data: st.DataObject) -> None:
    box = sealed(b)
    refuses(b, box[: data.draw(st.integers(0, len(box) - 1))])
    refuses(b, box[data.draw(st.integers(1, len(box))) :])
    refuses(b, box + data.draw(st.binary(min_size=1)))


@given(BOX, BOX)
def test_a_box_that_was_moved_never_opens(b: dict[str, Any], other: dict[str, Any]) -> None:
    bound = ("kind", "seq", "session", "direction")
    if [b[each] for each in bound] != [other[each] for each in bound]:
        refuses(other, sealed(b))


@given(st.lists(st.tuples(KINDS, st.integers(-1, 6), st.binary(max_size=2), st.integers(0, 2))))
def test_a_number_is_never_sealed_twice_with_another_text(
    asked: list[tuple[str, int, bytes, int]],
) -> None:
    """Whatever is asked in whatever order, a number has one box, and every copy is that."""
    sealer = Sealer(KEY, Direction.REQUESTS, "s")
    last, box = ("", 0, b"", 0), b""
    for each in asked:
        if each == last:
            assert sealer.seal(*each) == box
        elif each[1] > last[1]:
            last, box = each, sealer.seal(*each)
        else:
            with pytest.raises(SealError) as caught:
                sealer.seal(*each)
            assert caught.value.fault is Fault.NUMBER


TERMS = st.builds(
    Terms,
    st.builds(Ask, NONCES, SOME, st.sampled_from(Mode)),
    st.builds(Asked, SHORT, SHORT, SOME, SHORT, SHORT),
    st.builds(Card, SHORT, SHORT, SHORT, st.binary(max_size=3), SHORT, SOME, SHORT),
    st.builds(
        Said, NONCES, SOME, st.sampled_from(Mode), SHORT, st.binary(max_size=3), st.booleans()
    ),
    st.binary(max_size=3),
)


@given(TERMS, TERMS)
def test_two_different_transcripts_never_have_the_same_octets(one: Terms, other: Terms) -> None:
    assert (one.octets() == other.octets()) is (one == other)


@given(TERMS, st.data())
def test_what_goes_from_one_field_of_a_transcript_to_the_next_shows(
    terms: Terms, data: st.DataObject
) -> None:
    """Those that differ in where a field ends are the ones that a careless encoding mixes up."""
    asked = terms.asked
    both = asked.user + asked.principal
    cut = data.draw(st.integers(0, len(both)))
    other = terms._replace(asked=asked._replace(user=both[:cut], principal=both[cut:]))
    assert (terms.octets() == other.octets()) is (terms == other)


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_parts_are_packed_in_one_way(one: list[bytes], other: list[bytes]) -> None:
    assert (pack(*one) == pack(*other)) is (one == other)


@given(TERMS, st.binary(max_size=3), st.binary(max_size=3))
def test_what_is_signed_sealed_and_derived_is_never_the_same(
    terms: Terms, certificate: bytes, sealed_secret: bytes
) -> None:
    certificates = (certificate,) if certificate else ()
    made = {
        terms.octets(),
        terms.signed_by_host(),
        terms.signed_by_user(sealed_secret),
        terms.info(certificates),
        terms.context(certificates, sealed_secret),
    }
    assert len(made) == 5


CA = Ca()
TRUSTED = (CA.hosts(), KnownHosts("", "wss://relay.example", "known_hosts"))
(CERTIFICATE,) = CA.identity("bench.example").certificates
CHANGES = st.lists(
    st.tuples(st.integers(0, len(CERTIFICATE) - 1), st.integers(0, 255)), min_size=1, max_size=4
)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(CHANGES, st.integers(0, 1))
def test_no_certificate_does_more_than_to_be_refused(
    changes: list[tuple[int, int]], which: int
) -> None:
    changed = bytearray(CERTIFICATE)
    for at, octet in changes:
        changed[at] = octet
    with suppress(SealError):
        signer = TRUSTED[which].check("bench", [bytes(changed)], NOW)
        assert not is_signed(signer.certificate, bytes(64), b"octets")
        assert which == 1 or bytes(changed) == CERTIFICATE


CLAIMS = st.builds(Claim, st.integers(0, 3), SHORT, SHORT, NONCES)


def keys(session: str) -> Keys:
    return derive(KEY, session, bytes(32))


@given(
    st.lists(st.tuples(CLAIMS, st.sampled_from(["given", "again", "forged", "moved", "lost"]))),
    st.data(),
)
def test_only_a_new_proof_for_its_own_connection_resumes(
    asked: list[tuple[Claim, str]], data: st.DataObject
) -> None:
    user, card = Prover(keys("s")), Verifier(keys("s"))
    used: list[tuple[Claim, Proof]] = []
    for claim, what in asked:
        proof = user.prove(claim)
        if what == "given":
            card.check(claim, proof)
            used.append((claim, proof))
        elif what == "lost":
            card.lost()
            if used:
                card.check(*used[-1])
        elif what == "again" and used:
            _refused(card, *data.draw(st.sampled_from(used)))
        elif what == "forged":
            mac = bytes(len(proof.mac))
            _refused(card, claim, proof._replace(mac=mac))
            _refused(card, claim, Prover(keys("t")).prove(claim))
        elif what == "moved":
            other = data.draw(CLAIMS.filter(claim.__ne__))
            _refused(card, other, proof)


def _refused(card: Verifier, claim: Claim, proof: Proof) -> None:
    with pytest.raises(SealError) as caught:
        card.check(claim, proof)
    assert caught.value.fault is Fault.PROOF
