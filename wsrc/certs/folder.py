# SPDX-License-Identifier: Apache-2.0
"""The folder of a CA: its key, what it has signed, what it has revoked. Nothing is overwritten."""

import fcntl
import os
import re
import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wsrc.certs import making
from wsrc.certs.making import BadNameError, Issuer, Kind, Period
from wsrc.errors import ConfigError

CA, CA_KEY, CRL, RETIRED = "ca.pem", "ca-key.pem", "crl.pem", "retired"
"""Files of the CA, and the folder of certificates that were replaced or revoked."""

CA_DAYS, LEAF_DAYS, DUE_DAYS = 3650, 397, 30
"""How long a CA and a certificate are valid, and when before its end one is due for renewal."""

BEFORE = timedelta(hours=1)
"""How long before it was made a certificate is valid already: clocks differ a little."""

_PRIVATE, _PUBLIC = 0o600, 0o644
_MOST_STEM = 200
_UNUSUAL = re.compile(r"[^A-Za-z0-9@._-]")


class Issued(NamedTuple):
    """A certificate of the folder."""

    name: str
    certificate: x509.Certificate
    path: Path
    key: Path
    revoked: datetime | None = None

    @property
    def kind(self) -> Kind | None:
        """What it is for."""
        return making.kind_of(self.certificate)

    @property
    def ends(self) -> datetime:
        """When it ends."""
        return self.certificate.not_valid_after_utc


class Folder:
    """
    A CA in a folder, for one program at a time; every method locks it.

    Each raises ConfigError for what cannot be, with nothing changed, and OSError where files cannot
    be read or written.

    Args:
        path: The folder; `init` makes it.
        now: The time, with its zone.
    """

    def __init__(self, path: Path, now: datetime | None = None) -> None:
        self.path = path
        self._now = now or datetime.now(UTC)

    @property
    def ca(self) -> Path:
        """The certificate of the CA."""
        return self.path / CA

    @property
    def crl(self) -> Path:
        """The revocation list."""
        return self.path / CRL

    def init(self, name: str | None = None, days: float = CA_DAYS) -> x509.Certificate:
        """Make the folder, a CA and an empty revocation list."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            for file in (CA, CA_KEY, CRL):
                if (self.path / file).exists():
                    raise ConfigError("dir", f"{self.path / file} is there already")
            key = making.new_key()
            period = self._period(days)
            certificate = making.make_ca(key, name or f"WSRC CA {secrets.token_hex(4)}", period)
            crl = making.make_crl((), 1, period, Issuer(certificate, key))
            self._write_new({CA_KEY: making.pem_of(key), CA: _pem(certificate), CRL: _pem(crl)})
        return certificate

    def issue(self, kind: Kind, names: Sequence[str], days: float = LEAF_DAYS) -> Issued:
        """Make a key and a certificate, in files that are called by the first of the names."""
        with self._locked():
            issuer = self._issuer()
            key = making.new_key()
            try:
                made = making.make_leaf(
                    key.public_key(), kind, names, self._period(days, issuer), issuer
                )
            except BadNameError as exc:
                raise ConfigError("name", str(exc)) from exc
            stem = self._free_stem(names[0])
            self._write_new({f"{stem}-key.pem": making.pem_of(key), f"{stem}.pem": _pem(made)})
        return self._issued(stem, made)

    def renew(self, name: str, days: float = LEAF_DAYS, *, new_key: bool = False) -> Issued:
        """
        Replace a certificate by one with the same names that ends later; the old one is retired.

        Args:
            name: Of the certificate.
            days: How long the new one is valid.
            new_key: Whether it is for a new key; else for the one of the old certificate.
        """
        with self._locked():
            issuer, old = self._issuer(), self._known(name)
            key = making.new_key() if new_key else None
            public = key.public_key() if key is not None else old.certificate.public_key()
            if not isinstance(public, ec.EllipticCurvePublicKey):
                raise ConfigError("name", f"the key of {old.path} is none that is made here")
            made = making.renewed(old.certificate, public, self._period(days, issuer), issuer)
            self._retire(old, with_key=new_key)
            if key is not None:
                self._replace(old.key, making.pem_of(key), _PRIVATE)
            self._replace(old.path, _pem(made), _PUBLIC)
        return self._issued(old.name, made)

    def renew_ca(self, days: float = CA_DAYS) -> x509.Certificate:
        """Replace the certificate of the CA by one of the same key and name; and the list."""
        with self._locked():
            old = self._issuer()
            made = making.renewed(old.certificate, old.key.public_key(), self._period(days), old)
            self._retire(self._issued("ca", old.certificate), with_key=False)
            self._replace(self.ca, _pem(made), _PUBLIC)
            self._write_crl(self._revoked(), Issuer(made, old.key))
        return made

    def renew_crl(self) -> None:
        """Make the revocation list anew, with the same entries."""
        with self._locked():
            self._write_crl(self._revoked(), self._issuer())

    def revoke(self, name: str) -> list[Issued]:
        """
        Revoke the certificate of a name and those that it replaced; return those.

        Its files go where the retired ones are, so that the name can be given anew.
        """
        with self._locked():
            issuer, revoked = self._issuer(), self._revoked()
            stem = _stem(name)
            there = [each for each in self.issued() if each.name == stem]
            concerned = [*there, *self._retired(stem)]
            if not concerned:
                self._known(name)
            new = [
                each
                for each in concerned
                if each.certificate.serial_number not in revoked and each.ends > self._now
            ]
            if not new:
                raise ConfigError("name", f"no certificate of {name} is valid still")
            when = self._now.replace(microsecond=0)
            self._write_crl(
                revoked | {each.certificate.serial_number: when for each in new}, issuer
            )
            for each in there:
                self._retire(each, with_key=True)
                each.path.unlink()
        return new

    def issued(self) -> list[Issued]:
        """Return every certificate that is neither retired nor of a CA, by name."""
        self._issuer_certificate()
        revoked = self._revoked()
        found: list[Issued] = []
        for path in sorted(self.path.glob("*.pem")):
            if path.name in {CA, CA_KEY, CRL} or path.stem.endswith("-key"):
                continue
            certificate = _certificate(path)
            when = revoked.get(certificate.serial_number)
            found.append(self._issued(path.stem, certificate)._replace(revoked=when))
        return found

    def due(self, within: timedelta) -> list[Issued]:
        """Return the certificates that end within this time."""
        return [each for each in self.issued() if each.ends - self._now < within]

    def ca_ends(self) -> datetime:
        """Return when the CA ends."""
        return self._issuer_certificate().not_valid_after_utc

    def crl_ends(self) -> datetime | None:
        """Return until when the revocation list is to be believed."""
        return self._crl().next_update_utc

    # Files

    @contextmanager
    def _locked(self) -> Generator[None]:
        try:
            number = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError as exc:
            raise ConfigError("dir", f"there is no folder {self.path}; make it with init") from exc
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def _issuer(self) -> Issuer:
        certificate = self._issuer_certificate()
        if certificate.not_valid_after_utc <= self._now:
            ended = certificate.not_valid_after_utc
            raise ConfigError("dir", f"the CA ended on {ended:%Y-%m-%d}; renew it with: renew ca")
        path = self.path / CA_KEY
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError as exc:
            raise ConfigError("dir", f"the key of the CA, {path}, is not there") from exc
        except (ValueError, TypeError) as exc:
            raise ConfigError("dir", f"{path} is no private key in PEM form") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            key.public_key() != certificate.public_key()
        ):
            raise ConfigError("dir", f"{path} is not the key of the CA in {self.ca}")
        return Issuer(certificate, key)

    def _issuer_certificate(self) -> x509.Certificate:
        if not self.ca.exists():
            raise ConfigError("dir", f"there is no CA in {self.path}; make one with init")
        return _certificate(self.ca)

    def _crl(self) -> x509.CertificateRevocationList:
        try:
            return x509.load_pem_x509_crl(self.crl.read_bytes())
        except FileNotFoundError as exc:
            where = "bring it back from the server, which has a copy"
            raise ConfigError("dir", f"there is no revocation list {self.crl}; {where}") from exc
        except ValueError as exc:
            raise ConfigError("dir", f"{self.crl} is no revocation list in PEM form") from exc

    def _revoked(self) -> dict[int, datetime]:
        return {each.serial_number: each.revocation_date_utc for each in self._crl()}

    def _write_crl(self, revoked: dict[int, datetime], issuer: Issuer) -> None:
        old = self._crl().extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        period = Period(
            (self._now - BEFORE).replace(microsecond=0), issuer.certificate.not_valid_after_utc
        )
        made = making.make_crl(revoked.items(), old + 1, period, issuer)
        self._replace(self.crl, _pem(made), _PUBLIC)

    def _period(self, days: float, issuer: Issuer | None = None) -> Period:
        try:
            period = Period(self._now - BEFORE, self._now + timedelta(days=days))
        except OverflowError as exc:
            raise ConfigError("days", f"{days:g} days end after all calendars") from exc
        if issuer is None:
            return period
        # What outlives its CA is refused by whoever checks the chain.
        return Period(period.start, min(period.end, issuer.certificate.not_valid_after_utc))

    def _known(self, name: str) -> Issued:
        stem = _stem(name)
        found = next((each for each in self.issued() if each.name == stem), None)
        if found is None:
            names = ", ".join(each.name for each in self.issued()) or "none"
            raise ConfigError(
                "name", f"there is no certificate of {name} in {self.path}; there are: {names}"
            )
        return found

    def _free_stem(self, name: str) -> str:
        stem = _stem(name)
        if stem in {"ca", "crl"} or stem.endswith("-key"):
            raise ConfigError("name", f"a file of {name!r} is called as one of another; change it")
        for file in (f"{stem}.pem", f"{stem}-key.pem"):
            if (self.path / file).exists():
                how = "renew or revoke it, or choose another name"
                raise ConfigError("name", f"{self.path / file} is there already; {how}")
        return stem

    def _issued(self, stem: str, certificate: x509.Certificate) -> Issued:
        return Issued(stem, certificate, self.path / f"{stem}.pem", self.path / f"{stem}-key.pem")

    def _retired(self, stem: str) -> Iterator[Issued]:
        for path in sorted((self.path / RETIRED).glob("*.pem")):
            name, _, serial = path.stem.rpartition("+")
            if name == stem and not serial.endswith("-key"):
                yield Issued(stem, _certificate(path), path, path)

    def _retire(self, old: Issued, *, with_key: bool) -> None:
        """Keep what is about to be replaced; the certificate itself stays for now."""
        folder = self.path / RETIRED
        folder.mkdir(mode=0o700, exist_ok=True)
        stem = f"{old.name}+{old.certificate.serial_number:x}"
        self._replace(folder / f"{stem}.pem", _pem(old.certificate), _PUBLIC)
        if with_key and old.key.exists():
            old.key.replace(folder / f"{stem}-key.pem")

    def _write_new(self, files: dict[str, bytes]) -> None:
        """Write files that are not there yet, all or none."""
        written: list[Path] = []
        try:
            for name, octets in files.items():
                path = self.path / name
                _write(path, octets, _PRIVATE if name.endswith("-key.pem") else _PUBLIC)
                written.append(path)
        except BaseException:
            for path in written:
                path.unlink()
            raise

    @staticmethod
    def _replace(path: Path, octets: bytes, mode: int) -> None:
        """Write a file in whole: whoever reads it has the old one or the new one."""
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            _write(beside, octets, mode)
            beside.replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                beside.unlink()
            raise


def _write(path: Path, octets: bytes, mode: int) -> None:
    """Make a file that nobody else may read at any moment, if it is private."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        try:
            os.fchmod(file.fileno(), mode)
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise


def _pem(made: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as exc:
        raise ConfigError("dir", f"{path} is no certificate in PEM form") from exc


def _stem(name: str) -> str:
    return _UNUSUAL.sub("_", name)[:_MOST_STEM]
