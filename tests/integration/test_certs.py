# SPDX-License-Identifier: Apache-2.0
"""`wsrc-certs`: what it makes, what it leaves alone, and what it says (issue 13, 1)."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.pki import Pki
from tests.support.processes import argv, environment
from wsrc.certs.cli import program
from wsrc.certs.folder import Folder
from wsrc.certs.making import Kind
from wsrc.errors import ConfigError
from wsrc.net.certificates import Role, subject_of

# Longer than the aim: every kind of certificate, and all that can be wrong with one.

DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "certs")
    made.init()
    return made


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def revoked(folder: Folder) -> set[int]:
    crl = x509.load_pem_x509_crl(folder.crl.read_bytes())
    public = certificate(folder.ca).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(public)
    return {each.serial_number for each in crl}


def tree(path: Path) -> dict[Path, bytes]:
    return {each: each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}


def certs(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(program, [*arguments, "--dir", str(path)])


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_13_files_have_the_modes_that_they_need(tmp_path: Path, umask: int) -> None:
    folder = Folder(tmp_path / "certs")
    before = os.umask(umask)
    try:
        folder.init()
        for kind, name in ((Kind.SERVER, "relay.example"), (Kind.USER, "a@b.example")):
            folder.issue(kind, [name])
        folder.renew("relay.example", new_key=True)
    finally:
        os.umask(before)
    modes = {p.name: p.stat().st_mode & 0o777 for p in folder.path.rglob("*")}
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert modes.pop("retired") == 0o700
    assert len(modes) == 9
    for name, mode in modes.items():
        assert mode == (0o600 if name.endswith("-key.pem") else 0o644), name


@pytest.mark.parametrize(
    ("kind", "names", "shown", "usage"),
    [
        (
            Kind.SERVER,
            ["relay.example", "*.lab.example", "192.0.2.7", "2001:db8::1"],
            ["relay.example", "*.lab.example", "192.0.2.7", "2001:db8::1"],
            ExtendedKeyUsageOID.SERVER_AUTH,
        ),
        (Kind.USER, ["a@b.example"], ["a@b.example"], ExtendedKeyUsageOID.CLIENT_AUTH),
        (Kind.USER, ["urn:x:1"], ["urn:x:1"], ExtendedKeyUsageOID.CLIENT_AUTH),
        (Kind.CARD_HOST, ["bench-3"], ["bench-3"], ExtendedKeyUsageOID.CLIENT_AUTH),
        (Kind.NODE, ["relay_1"], ["relay_1"], ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
)
def test_13_a_certificate_says_what_it_is_for_and_is_signed_by_the_ca(
    folder: Folder, kind: Kind, names: list[str], shown: list[str], usage: x509.ObjectIdentifier
) -> None:
    made = folder.issue(kind, names).certificate
    made.verify_directly_issued_by(certificate(folder.ca))
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert isinstance(made.signature_hash_algorithm, hashes.SHA256)
    extensions = made.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each.value) for each in san] == shown
    assert timedelta(days=390) < made.not_valid_after_utc - datetime.now(UTC) < timedelta(days=398)


@pytest.mark.parametrize(
    ("kind", "role"),
    [(Kind.USER, Role.USER), (Kind.CARD_HOST, Role.CARD_HOST), (Kind.NODE, Role.NODE)],
)
def test_13_a_clients_certificate_says_its_role(folder: Folder, kind: Kind, role: Role) -> None:
    made = folder.issue(kind, ["bench"]).certificate
    subject = subject_of(made.public_bytes(Encoding.DER))
    assert (subject.name, subject.roles) == ("bench", {role})
    assert subject.serial == made.serial_number


def test_13_openssl_takes_what_is_made(folder: Folder) -> None:
    for kind, purpose in ((Kind.SERVER, "sslserver"), (Kind.USER, "sslclient")):
        made = folder.issue(kind, [f"{kind}.example"])
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-crl_check"]
        command += ["-CRLfile", str(folder.crl), "-CAfile", str(folder.ca), str(made.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.SERVER, "a b"),
        (Kind.SERVER, "grün.example"),
        (Kind.SERVER, "-x.example"),
        (Kind.SERVER, "a..example"),
        (Kind.SERVER, "x" * 300),
        (Kind.SERVER, ""),
        (Kind.USER, "Jane Doe"),
        (Kind.USER, "*"),
        (Kind.USER, "ci-*"),
        (Kind.USER, "jürgen@example.org"),
        (Kind.USER, "a@"),
        (Kind.USER, "a\n@b"),
        (Kind.USER, "a,b@example.org"),
        (Kind.USER, "a.@example.org"),
        (Kind.USER, ".a@example.org"),
        (Kind.USER, "a..b@example.org"),
        (Kind.USER, "ca"),
        (Kind.USER, "crl"),
        (Kind.CARD_HOST, "bench-key"),
        (Kind.CARD_HOST, ""),
        (Kind.NODE, "relay.example"),
        (Kind.NODE, "-a"),
        (Kind.NODE, "a-"),
        (Kind.NODE, "x" * 41),
        (Kind.NODE, "a*"),
        (Kind.NODE, ""),
    ],
)
def test_13_a_name_that_cannot_be_is_refused_and_nothing_is_made(
    folder: Folder, kind: Kind, name: str
) -> None:
    before = tree(folder.path)
    with pytest.raises(ConfigError):
        folder.issue(kind, [name])
    assert tree(folder.path) == before


def test_13_nothing_is_overwritten(folder: Folder) -> None:
    folder.issue(Kind.SERVER, ["relay"])
    before = tree(folder.path)
    with pytest.raises(ConfigError, match="there already"):
        folder.init()
    for kind in Kind:
        with pytest.raises(ConfigError, match="there already"):
            folder.issue(kind, ["relay"])
    assert tree(folder.path) == before


def test_13_half_made_files_do_not_stay(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(folder.path)
    written: list[int] = []

    def full(number: int) -> None:
        written.append(number)
        if len(written) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("wsrc.certs.folder.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.issue(Kind.USER, ["a"])
    assert tree(folder.path) == before


def test_13_renewal_keeps_the_key_the_names_and_the_old_certificate(folder: Folder) -> None:
    old = folder.issue(Kind.SERVER, ["relay.example", "192.0.2.7"], days=3)
    key = old.key.read_bytes()
    new = folder.renew("relay.example")
    assert old.key.read_bytes() == key
    assert certificate(old.path) == new.certificate
    assert new.certificate.serial_number != old.certificate.serial_number
    assert new.certificate.public_key() == old.certificate.public_key()
    assert new.ends > old.ends + 300 * DAY
    new.certificate.verify_directly_issued_by(certificate(folder.ca))
    san = x509.SubjectAlternativeName
    assert new.certificate.extensions.get_extension_for_class(
        san
    ) == old.certificate.extensions.get_extension_for_class(san)
    [kept] = (folder.path / "retired").iterdir()
    assert certificate(kept) == old.certificate


def test_13_a_new_key_is_made_when_that_is_asked_for(folder: Folder) -> None:
    old = folder.issue(Kind.USER, ["a"])
    new = folder.renew("a", new_key=True)
    assert new.certificate.public_key() != old.certificate.public_key()
    key = load_pem_private_key(new.key.read_bytes(), None)
    assert key.public_key() == new.certificate.public_key()
    assert len(list((folder.path / "retired").iterdir())) == 2


def test_13_a_revocation_concerns_all_certificates_of_the_name(folder: Folder) -> None:
    other = folder.issue(Kind.USER, ["b"])
    first = folder.issue(Kind.USER, ["a"])
    second = folder.renew("a", new_key=True)
    assert revoked(folder) == set()
    assert len(folder.revoke("a")) == 2
    serials = {first.certificate.serial_number, second.certificate.serial_number}
    assert revoked(folder) == serials
    with pytest.raises(ConfigError, match="no certificate of a is valid still"):
        folder.revoke("a")
    third = folder.issue(Kind.USER, ["a"])
    assert revoked(folder) == serials
    folder.revoke("b")
    assert revoked(folder) == serials | {other.certificate.serial_number}
    assert third.certificate.serial_number not in revoked(folder)


def test_13_each_revocation_list_has_a_higher_number_and_ends_with_the_ca(folder: Folder) -> None:
    numbers = []
    for name in ("a", "b"):
        folder.issue(Kind.USER, [name])
        folder.revoke(name)
        crl = x509.load_pem_x509_crl(folder.crl.read_bytes())
        numbers.append(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert numbers == [2, 3]
    assert folder.crl_ends() == folder.ca_ends()


def test_13_a_renewed_ca_stands_behind_what_the_old_one_signed(tmp_path: Path) -> None:
    young = Folder(tmp_path)
    young.init(days=20)
    leaf = young.issue(Kind.USER, ["a"])
    assert leaf.ends == young.ca_ends()
    young.renew_ca()
    leaf.certificate.verify_directly_issued_by(certificate(young.ca))
    assert young.ca_ends() - datetime.now(UTC) > 3000 * DAY
    assert young.crl_ends() == young.ca_ends()
    assert young.renew("a").ends > leaf.ends


def test_13_a_revocation_list_that_is_made_anew_has_the_same_entries(folder: Folder) -> None:
    folder.issue(Kind.USER, ["a"])
    folder.revoke("a")
    before = revoked(folder)
    folder.renew_crl()
    assert revoked(folder) == before != set()
    crl = x509.load_pem_x509_crl(folder.crl.read_bytes())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3


def test_13_whoever_reads_a_file_that_is_renewed_has_all_of_the_old_one(folder: Folder) -> None:
    old = folder.issue(Kind.USER, ["a"])
    before = old.path.read_bytes()
    with old.path.open("rb") as reading:
        folder.renew("a")
        assert reading.read() == before
    assert old.path.read_bytes() != before


def test_13_a_ca_that_ends_soon_is_renewed_by_night_with_what_it_signed(tmp_path: Path) -> None:
    path = tmp_path / "certs"
    young = Folder(path)
    young.init(days=10)
    old = young.issue(Kind.USER, ["a"])
    done = certs(path, "renew")
    assert done.exit_code == 0, done.output
    assert "Renewed the CA until" in done.output
    assert "Renewed a until" in done.output
    assert "Nothing else ends within 30 days." in done.output
    assert young.ca_ends() - datetime.now(UTC) > 3000 * DAY
    assert certificate(old.path).not_valid_after_utc > old.ends + 300 * DAY


def test_13_an_ended_ca_signs_nothing(tmp_path: Path) -> None:
    Folder(tmp_path).init(days=10)
    later = Folder(tmp_path, datetime.now(UTC) + 11 * DAY)
    with pytest.raises(ConfigError, match="the CA ended on"):
        later.issue(Kind.USER, ["a"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.ca.unlink(), "there is no CA in"),
        (lambda f: f.ca.write_text("x"), "is no certificate in PEM form"),
        (lambda f: (f.path / "ca-key.pem").unlink(), "is not there"),
        (lambda f: (f.path / "ca-key.pem").write_text("x"), "is no private key in PEM form"),
        (
            lambda f: (f.path / "ca-key.pem").write_bytes((f.path / "a-key.pem").read_bytes()),
            "is not the key of the CA",
        ),
        (lambda f: f.crl.unlink(), "bring it back from the server"),
        (lambda f: f.crl.write_text("x"), "is no revocation list in PEM form"),
    ],
)
def test_13_a_spoilt_folder_is_one_sentence(folder: Folder, spoil: object, said: str) -> None:
    folder.issue(Kind.USER, ["a"])
    assert callable(spoil)
    spoil(folder)
    before = tree(folder.path)
    with pytest.raises(ConfigError, match=said):
        folder.revoke("a")
    assert tree(folder.path) == before


# The command


def test_13_the_command_says_what_to_copy_where(tmp_path: Path) -> None:
    path = tmp_path / "certs"
    for arguments, parts in (
        (["init"], ["ca.pem", "tls_client_ca", "crl.pem", "tls_crl", "ca-key.pem", "stays here"]),
        (["server", "relay.example"], ["relay.example.pem", "tls_cert", "tls_key", "tls_crl"]),
        (["card-host", "bench"], ["bench.pem", "bench-key.pem", "tls_ca", "wsrc-card-client"]),
        (["node", "east"], ["east.pem", "east-key.pem", "cluster_cert", "cluster_key"]),
        (["user", "t@example.org"], ["t@example.org.pem", "t@example.org-key.pem", "tls_ca"]),
        (["renew", "bench"], ["Renewed bench until", "bench.pem"]),
        (["renew", "--within", "500"], ["Renewed relay.example", "Renewed t@example.org"]),
        (["renew", "ca"], ["Renewed the CA until", "to every machine"]),
        (["renew", "crl"], ["Renewed the revocation list"]),
        (["renew"], ["Nothing else ends within 30 days."]),
        (["revoke", "bench"], ["Revoked 3 certificates of bench", "crl.pem"]),
        (["revoke", "relay.example"], ["Clients do not look at the list"]),
        (["show"], ["ca  until", "crl  until", "t@example.org  user: t@example.org, until"]),
        (["show", "t@example.org"], ["t@example.org  user"]),
    ):
        done = certs(path, *arguments)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        assert [part for part in parts if part not in done.output] == [], done.output


def test_13_a_revoked_certificate_that_is_there_is_shown_as_such(folder: Folder) -> None:
    made = folder.issue(Kind.USER, ["a"])
    pem = made.path.read_bytes()
    folder.revoke("a")
    made.path.write_bytes(pem)
    assert f"until revoked on {datetime.now(UTC):%Y-%m-%d}" in certs(folder.path, "show").output


def test_13_a_certificate_of_another_program_is_shown_too(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.foreign("x", [x509.DNSName("a.example")])
    pki.foreign("y", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    pki.foreign("z", usage=None)
    shown = certs(tmp_path, "show")
    assert shown.exit_code == 0
    assert "x  of another maker: a.example, until" in shown.output
    assert "y  server: nobody that can be named, until" in shown.output
    assert "z  of another maker: nobody that can be named, until" in shown.output


def test_13_a_folder_that_others_see_is_complained_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert f"chmod 700 {tmp_path}" in certs(tmp_path, "init").output


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["show"], 2, "dir: there is no CA in"),
        (["user", "a"], 2, "dir: there is no folder"),
        (["init", "--dir", "/proc/none/certs"], 74, "/proc/none"),
        (["user"], 2, "Missing argument"),
        (["init", "--days", "-1"], 2, "--days"),
    ],
)
def test_13_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    done = subprocess.run(
        argv("wsrc-certs", *arguments),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert said in done.stderr
    if "Usage" not in done.stderr:
        assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", program.commands)
def test_13_each_command_has_its_help(command: str) -> None:
    done = CliRunner().invoke(program, [command, "--help"])
    assert done.exit_code == 0
    assert "--dir" in done.output
