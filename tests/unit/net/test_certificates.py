# SPDX-License-Identifier: Apache-2.0
"""Whose a certificate is, in which role, and which are revoked (issue 13, 1)."""

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.pki import Pair, Pki
from wsrc.certs.making import Kind
from wsrc.net.certificates import Role, Subject, lists_in, revoked_by, subject_of

URI = x509.UniformResourceIdentifier("urn:wsrc:7")
EMAIL = x509.RFC822Name("a@b.example")
DNS = x509.DNSName("a.example")
ADDRESS = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def read(pair: Pair) -> Subject:
    certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    return subject_of(certificate.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("names", "common_name", "principal"),
    [
        ([URI, EMAIL, DNS], "cn", "urn:wsrc:7"),
        ([EMAIL, URI], "cn", "a@b.example"),
        ([DNS, EMAIL], "cn", "a.example"),
        ([ADDRESS, DNS], "cn", "a.example"),
        ([ADDRESS], "Jürgen", "Jürgen"),
        ([], "cn", "cn"),
    ],
)
def test_13_the_principal_is_the_first_name_of_the_san_else_the_common_name(
    pki: Pki, names: list[x509.GeneralName], common_name: str, principal: str
) -> None:
    found = read(pki.foreign("x", names, common_name))
    assert (found.name, found.roles) == (principal, frozenset())


@pytest.mark.parametrize("common_name", [None, "a\x1b[2J", "a\u202eb", "two\nlines"])
def test_13_who_has_no_name_that_can_be_shown_is_nobody(pki: Pki, common_name: str | None) -> None:
    with pytest.raises(ValueError, match="name"):
        read(pki.foreign("x", [ADDRESS], common_name))


@pytest.mark.parametrize("san", ["3004a3020500", "ffff", "3002", "30058203e4f6fc"])
def test_13_who_has_a_name_that_cannot_be_read_is_nobody(pki: Pki, san: str) -> None:
    """An X.400 address, octets that are no DER, a length that is wrong, a name that is no ASCII."""
    with pytest.raises(ValueError, match=r".+"):
        read(pki.foreign("x", (), "a", san=bytes.fromhex(san)))


def test_13_a_name_is_not_longer_than_one_may_be(pki: Pki) -> None:
    with pytest.raises(ValueError, match="too long"):
        read(pki.foreign("x", [x509.UniformResourceIdentifier("urn:" + "x" * 300)]))


def test_13_a_role_is_said_by_the_subject(pki: Pki) -> None:
    assert read(pki.client("u", Kind.USER)).roles == {Role.USER}
    assert read(pki.client("c", Kind.CARD_HOST)).roles == {Role.CARD_HOST}


def test_13_a_list_names_what_is_revoked(pki: Pki, tmp_path: Path) -> None:
    gone, there = read(pki.revoked("gone")), read(pki.client("there"))
    other = Pki(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(pki.folder.crl.read_bytes() + other.folder.crl.read_bytes())
    cas = {"tls_client_ca": pki.folder.ca, "tls_card_ca": other.folder.ca}
    for revoked in (
        revoked_by(pki.folder.crl, {"tls_client_ca": pki.folder.ca}),
        revoked_by(both, cas),
    ):
        assert (gone.issuer, gone.serial) in revoked
        assert (there.issuer, there.serial) not in revoked
    with pytest.raises(ValueError, match="no list of a CA in tls_card_ca"):
        revoked_by(pki.folder.crl, cas)
    with pytest.raises(ValueError, match="signed by no CA of tls_client_ca"):
        revoked_by(both, {"tls_client_ca": pki.folder.ca})


def test_13_a_list_that_another_ca_of_the_same_name_signed_is_none(tmp_path: Path) -> None:
    one, other = Pki(tmp_path / "1"), Pki(tmp_path / "2")
    for each in (one, other):
        for path in each.path.glob("*.pem"):
            path.unlink()
        each.folder.init("the same")
    with pytest.raises(ValueError, match="signed by no CA"):
        revoked_by(other.folder.crl, {"tls_client_ca": one.folder.ca})


def test_13_a_file_with_a_certificate_is_no_file_of_lists(pki: Pki, tmp_path: Path) -> None:
    """OpenSSL would trust it."""
    file = tmp_path / "crl.pem"
    for text in (b"", b"nonsense", pki.folder.ca.read_bytes() + pki.folder.crl.read_bytes()):
        file.write_bytes(text)
        with pytest.raises(ValueError, match="nothing else"):
            lists_in(file)
