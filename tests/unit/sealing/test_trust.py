# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.trust: what is remembered of a chain that was good, and for how long."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.sealing import NOW, VALID, Ca, number_of
from wsrc.certs.making import Issuer, Kind, Period, make_leaf, new_key
from wsrc.net.certificates import subject_of
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.trust import (
    HOST_ROLE,
    MAX_CERTIFICATE_OCTETS,
    MAX_CHAIN,
    MAX_FOUND,
    Authority,
    certificates,
)


def test_a_chain_that_was_good_is_not_looked_at_again() -> None:
    ca = Ca()
    trust, chain = ca.hosts(), ca.identity("bench.example").certificates
    assert trust.check("", chain, NOW) is trust.check("", chain, NOW + timedelta(days=1))


def test_a_certificate_that_ends_is_refused_though_it_was_good() -> None:
    ca = Ca()
    trust, chain = ca.hosts(), ca.identity("bench.example").certificates
    trust.check("", chain, NOW)
    for now in (
        VALID.end + timedelta(seconds=1),
        VALID.end + timedelta(days=1),
        VALID.start - timedelta(days=1),
    ):
        with pytest.raises(SealError, match="not valid") as caught:
            trust.check("", chain, now)
        assert caught.value.fault is Fault.HOST


def test_a_chain_ends_with_its_first_certificate_that_ends() -> None:
    ca = Ca()
    valid = Period(VALID.start, NOW + timedelta(hours=1))
    trust, chain = ca.hosts(), ca.identity("bench.example", valid=valid).certificates
    trust.check("", chain, NOW)
    with pytest.raises(SealError, match="not valid"):
        trust.check("", chain, NOW + timedelta(hours=2))


def test_what_is_remembered_has_a_bound() -> None:
    ca = Ca()
    trust = ca.hosts()
    chains = [ca.identity(f"bench{n}.example").certificates for n in range(MAX_FOUND + 3)]
    first = trust.check("", chains[0], NOW)
    for chain in chains[1:]:
        trust.check("", chain, NOW)
    assert trust.check("", chains[0], NOW) is not first


def test_what_was_refused_is_looked_at_again() -> None:
    ca = Ca()
    bad = ca.identity("anna@example.com", Kind.USER).certificates
    trust = ca.hosts()
    for _ in range(2):
        with pytest.raises(SealError, match="is for WSRC user"):
            trust.check("", bad, NOW)


def test_a_list_of_revocations_holds_for_users_as_well() -> None:
    ca = Ca()
    user = ca.identity("anna@example.com", Kind.USER)
    with pytest.raises(SealError, match="certificate of the user of anna") as caught:
        ca.users(revoked={number_of(user)}).check("", user.certificates, NOW)
    assert caught.value.fault is Fault.USER


def test_a_chain_has_bounds_that_are_looked_at_before_it_is_read() -> None:
    (leaf,) = Ca().identity("bench.example").certificates
    assert len(certificates([leaf] * MAX_CHAIN)) == MAX_CHAIN
    for chain, sentence in (
        ([leaf] * (MAX_CHAIN + 1), "not 6"),
        ([], "not 0"),
        ([leaf, bytes(MAX_CERTIFICATE_OCTETS + 1)], "at most 16384 octets"),
    ):
        with pytest.raises(ValueError, match=sentence):
            certificates(chain)
    with pytest.raises(ValueError, match="pars"):
        certificates([bytes(MAX_CERTIFICATE_OCTETS)])


def test_certificates_between_the_own_and_the_ca_are_followed() -> None:
    middle, root = new_key(), new_key()
    ca = signed("root", root, "root", root, ca=1)
    between = signed("between", middle, "root", root, ca=0)
    host = make_leaf(
        new_key().public_key(), Kind.CARD_HOST, ["bench.example"], VALID, Issuer(between, middle)
    )
    trust = Authority([ca], subject_of, HOST_ROLE)
    chain = [each.public_bytes(Encoding.DER) for each in (host, between)]
    assert trust.check("", chain, NOW).name == "bench.example"
    with pytest.raises(SealError, match="is not good"):
        trust.check("", chain[:1], NOW)


def signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: str,
    issuer: ec.EllipticCurvePrivateKey,
    *,
    ca: int,
) -> x509.Certificate:
    """Return the certificate of a CA that signs `ca` more CAs in a row."""
    subject, signer = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, by)
    )
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID.start)
        .not_valid_after(VALID.end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=ca), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
        .sign(issuer, hashes.SHA256())
    )
