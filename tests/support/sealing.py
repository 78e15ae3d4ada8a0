# SPDX-License-Identifier: Apache-2.0
"""A user and a card host that seal a session, in memory, and what an evil relay may change."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from wsrc.certs.making import Issuer, Kind, Period, make_ca, make_leaf, new_key
from wsrc.net.certificates import subject_of
from wsrc.sealing.encoding import NONCE_OCTETS
from wsrc.sealing.handshake import Agreed, Expected, Host, Offer, Offered, agree
from wsrc.sealing.keys import SECRET_OCTETS
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import Identity
from wsrc.sealing.suites import Suite, available
from wsrc.sealing.terms import Ask, Asked, Card
from wsrc.sealing.trust import HOST_ROLE, USER_ROLE, Authority, Trust

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
VALID = Period(NOW - timedelta(days=1), NOW + timedelta(days=60))
USER_NONCE, HOST_NONCE, LINK_NONCE = (bytes([n]) * NONCE_OCTETS for n in (0xA1, 0xB2, 0xC3))
MASTER = bytes(range(SECRET_OCTETS))
SESSION = "5f0c0123456789abcdef0123456789ab"
CARD = Card(
    "bench",
    "Reader 00 00@bench",
    "Reader 00 00",
    bytes.fromhex("3b9c11"),
    "8988211000000430010",
    ("89049032000000000000000000000001",),
    "blue",
)
ASK = Ask(USER_NONCE, tuple(Suite), Mode.REQUIRED)
ASKED = Asked(SESSION, "exclusive", ("raw_tpdu", "T0"), "anna@desk", "anna@example.com")


class Ca:
    """A CA in memory, made with the code of `wsrc-certs`."""

    def __init__(self, name: str = "a CA") -> None:
        key = new_key()
        self.certificate = make_ca(key, name, VALID)
        self._issuer = Issuer(self.certificate, key)

    def identity(
        self, name: str, kind: Kind = Kind.CARD_HOST, *, valid: Period = VALID
    ) -> Identity:
        """Return the certificate of a name, and its key."""
        key = new_key()
        made = make_leaf(key.public_key(), kind, [name], valid, self._issuer)
        return Identity((made.public_bytes(Encoding.DER),), key)

    def hosts(self, names: Sequence[str] | None = None, **more: Any) -> Authority:
        """Believe its card hosts."""
        return Authority([self.certificate], subject_of, HOST_ROLE, names, **more)

    def users(self, names: Sequence[str] | None = None, **more: Any) -> Authority:
        """Believe its users."""
        return Authority([self.certificate], subject_of, USER_ROLE, names, **more)


def self_signed(name: str = "bench", key: ec.EllipticCurvePrivateKey | None = None) -> Identity:
    """Return a certificate that nobody but its own key has signed."""
    key = key or new_key()
    return Identity((make_ca(key, name, VALID).public_bytes(Encoding.DER),), key)


def number_of(identity: Identity) -> tuple[bytes, int]:
    """Return what a revocation list has of a certificate."""
    certificate = x509.load_der_x509_certificate(identity.certificates[0])
    return certificate.issuer.public_bytes(), certificate.serial_number


def expected(
    selected: Callable[[Card], bool] = lambda card: card.iccid == CARD.iccid,
    user: str | None = "anna@desk",
    **changed: Any,
) -> Expected:
    """Return what the user knows by itself, with some of it changed."""
    asked = ASKED._replace(**changed)
    return Expected(asked.session, asked.share, asked.ways, selected, user)


class Scene:
    """
    A card host of a CA and what it offers to a user.

    Args:
        suites: What the user has.
        host: The card host.
    """

    def __init__(self, suites: Sequence[str] | None = None, host: Host | None = None) -> None:
        self.ca = Ca()
        self.identity = self.ca.identity("bench.example")
        self.host = host or Host(self.identity, Mode.PREFERRED)
        self.ask = ASK._replace(suites=tuple(available() if suites is None else suites))
        self.offered = self.offer()

    def offer(self, **changed: Any) -> Offered:
        """Return an offer for the session, for what was asked with changes."""
        return self.host.offer(self.ask, ASKED._replace(**changed), CARD, HOST_NONCE)

    def agree(
        self, offer: Offer | None = None, trust: Trust | None = None, **changed: Any
    ) -> Agreed:
        """Have the user check an offer."""
        offer = offer or self.offered.offer
        return agree(self.ask, expected(**changed), offer, trust or self.ca.hosts(), NOW)
