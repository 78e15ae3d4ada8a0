# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing against tests/vectors/sealing.json."""

import json
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.paths import VECTORS
from tests.support.sealing_vectors import Json, ask_of, keys_of, octets, offer_of, terms_of
from wsrc.net.certificates import subject_of
from wsrc.sealing.boxes import Direction, Opened, Opener, Sealer
from wsrc.sealing.encoding import pack
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.handshake import Agreed, Expected, Offered, Secret, agree
from wsrc.sealing.keys import Keys
from wsrc.sealing.proofs import Claim, Proof, Prover, Verifier
from wsrc.sealing.suites import Suite, key_of
from wsrc.sealing.trust import HOST_ROLE, USER_ROLE, Authority

V = json.loads((VECTORS / "sealing.json").read_text("utf-8"))
NOW = datetime.fromisoformat(V["now"])
CA = x509.load_der_x509_certificate(bytes.fromhex(V["ca"]))
HOSTS, USERS = (Authority([CA], subject_of, role) for role in (HOST_ROLE, USER_ROLE))


def each(list_: str) -> Any:
    return pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in V[list_]])


def agreed(v: Json) -> Agreed:
    asked = v["asked"]
    expected = Expected(asked["session"], asked["share"], tuple(asked["ways"]), lambda _: True)
    return agree(ask_of(v), expected, offer_of(v), HOSTS, NOW)


@each("packing")
def test_parts_are_packed(v: Json) -> None:
    assert pack(*map(octets, v["parts"])) == octets(v["octets"])


@each("sessions")
def test_the_octets_of_terms(v: Json) -> None:
    terms, certificates = terms_of(v), tuple(map(octets, v["user_certificates"]))
    assert terms.octets() == octets(v["transcript"])
    assert terms.signed_by_host() == octets(v["signed_by_host"])
    assert terms.info(certificates) == octets(v["info"])
    assert terms.context(certificates, octets(v["sealed"])) == octets(v["salt"])


@each("sessions")
def test_a_user_finds_the_offer_good(v: Json) -> None:
    user = agreed(v)
    assert (user.suite, user.signer.name) == (Suite(v["said"]["suite"]), "bench.example")
    public = user.signer.certificate.public_key()
    info = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert info == octets(v["signer"])


@each("sessions")
def test_a_card_host_opens_the_secret(v: Json) -> None:
    key = key_of(Suite(v["said"]["suite"]), octets(v["private_key"]))
    assert key.public == octets(v["said"]["key"])
    assert key.open(octets(v["sealed"]), octets(v["info"])) == octets(v["master"])
    certificates = tuple(map(octets, v["user_certificates"]))
    secret = Secret(octets(v["sealed"]), certificates, octets(v["user_signature"]))
    offered = Offered(offer_of(v), terms_of(v), key, USERS)
    assert offered.accept(secret, NOW) == keys_of(v)


@each("offers_that_are_refused")
def test_a_user_refuses_an_offer(v: Json) -> None:
    (session,) = [s for s in V["sessions"] if s["name"] == v["session"]]
    changed = dict(session)
    for name, value in v["changed"].items():
        changed[name] = session[name] | value if isinstance(value, dict) else value
    with pytest.raises(SealError) as caught:
        agreed(changed)
    assert caught.value.fault is Fault(v["fault"])


@each("boxes")
def test_a_box(v: Json) -> None:
    bound = octets(v["key"]), Direction(v["direction"]), v["session"]
    sealer = Sealer(*bound, v["pad_octets"])
    assert sealer.seal(v["kind"], v["seq"], v["text"].encode(), v["ran"]) == octets(v["box"])
    found = Opener(*bound).open(v["kind"], v["seq"], octets(v["box"]))
    assert found == Opened(v["text"].encode(), v["ran"])
    plain = v["ran"].to_bytes(8) + v["text"].encode() + b"\x80"
    plain += bytes(-len(plain) % v["pad_octets"])
    sealed = AESGCM(octets(v["key"])).encrypt(
        octets(v["nonce"]), plain, octets(v["associated_data"])
    )
    assert sealed == octets(v["box"])


@each("boxes_that_do_not_open")
def test_a_box_that_does_not_open(v: Json) -> None:
    opener = Opener(octets(v["key"]), Direction(v["direction"]), v["session"])
    with pytest.raises(SealError) as caught:
        opener.open(v["kind"], v["seq"], octets(v["box"]))
    assert caught.value.fault is Fault.BOX


@each("proofs")
def test_a_proof(v: Json) -> None:
    key = octets(v["key"])
    claim = Claim(v["seq"], v["host"], v["reader"], octets(v["nonce"]))
    keys = Keys(v["session"], b"", b"", key, b"")
    Verifier(keys).check(claim, Proof(v["counter"], octets(v["mac"])))
    mac = HMAC(key, SHA256())
    mac.update(octets(v["octets"]))
    assert mac.finalize() == octets(v["mac"])


@each("words")
def test_a_word(v: Json) -> None:
    keys, mac, numbers = (
        Keys(v["session"], b"", b"", b"", octets(v["key"])),
        octets(v["mac"]),
        v["numbers"],
    )
    user = Prover(keys)
    match v["says"], numbers:
        case "resumed", [counter, seq, taken]:
            for _ in range(counter):
                user.prove(Claim(0, "", "", bytes(32)))
            assert user.resumed(seq, taken, mac)
        case "refused", [seq]:
            assert user.refused(seq, mac)
        case _, [taken]:
            assert user.ended(taken, mac)
