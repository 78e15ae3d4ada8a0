# SPDX-License-Identifier: Apache-2.0
"""
How both ends come to the same keys: the card host offers, the user checks and seals a secret.

    user                                            card host
    Ask ────────── select_card ─── attach ────────▶  Host.offer: a one-time key, signed
    agree ◀─────── select_card_ack ── attach_ack ──  Offer
    Agreed.seal ── the first request ─────────────▶  Offered.accept: the same keys; the key goes
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.keys import SECRET_OCTETS, Keys, derive
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import Identity, digest, is_signed, sign
from wsrc.sealing.suites import OneTimeKey, available, best_of, new_key, seal_to, suite_of
from wsrc.sealing.terms import Ask, Asked, Card, Said, Terms, check_ask, check_said
from wsrc.sealing.trust import Signer, Trust

_BY_CERTIFICATE = "The owner of this card host accepts users by certificate only; give tls_cert."


class Offer(NamedTuple):
    """
    What a card host says with `attach_ack`, and the user is given with `select_card_ack`.

    `user` and `principal` are those of `Asked` as the card host was told them.
    """

    card: Card
    user: str
    principal: str
    said: Said
    certificates: tuple[bytes, ...]
    signature: bytes


class Secret(NamedTuple):
    """
    What the user says with the first request, and again until one is answered.

    `certificates` and `signature` are there where the user proves who it is.
    """

    sealed: bytes
    certificates: tuple[bytes, ...] = ()
    signature: bytes = b""


class Host:
    """
    What a card host seals with.

    Args:
        identity: Its certificates and their key.
        mode: `required` or `preferred`.
        users: Whose signatures of secrets it believes; None looks at none.
        wants_user: Whether it takes no secret without a signature that it believes.
        suites: What it has.
    """

    def __init__(
        self,
        identity: Identity,
        mode: Mode,
        users: Trust | None = None,
        *,
        wants_user: bool = False,
        suites: tuple[str, ...] | None = None,
    ) -> None:
        self._identity = identity
        self._certificate = digest(identity.certificates[0])
        self._mode = mode
        self._users = users
        self._wants_user = wants_user
        self._suites = available() if suites is None else suites

    def offer(
        self, ask: Ask, asked: Asked, card: Card, nonce: bytes, key: OneTimeKey | None = None
    ) -> "Offered":
        """
        Make and sign a one-time key for a session; nothing of it is kept but what is returned.

        Args:
            ask: What the user said.
            asked: What came with it.
            card: The card, once it was reset.
            nonce: `NONCE_OCTETS` random octets.
            key: The one-time key, where it is not to be made.

        Raises:
            SealError: If the user has no suite in common, or what it said is malformed.
        """
        check_ask(ask)
        suite = best_of(ask.suites, self._suites)
        key = key or new_key(suite)
        said = Said(nonce, tuple(self._suites), self._mode, suite, key.public, self._wants_user)
        terms = Terms(ask, asked, card, said, self._certificate)
        signature = sign(self._identity.key, terms.signed_by_host())
        certificates = self._identity.certificates
        offer = Offer(card, asked.user, asked.principal, said, certificates, signature)
        return Offered(offer, terms, key, self._users)


class Offered:
    """
    The card host's end from the offer to the first request; `offer` is for the user.

    `user` is who signed the secret that was taken, if the user has a certificate.
    """

    def __init__(self, offer: Offer, terms: Terms, key: OneTimeKey, users: Trust | None) -> None:
        self.offer = offer
        self.user: Signer | None = None
        self._terms = terms
        self._key: OneTimeKey | None = key
        self._users = users
        self._taken: tuple[Secret, Keys] | None = None

    @property
    def taken(self) -> Secret | None:
        """The secret that was taken."""
        return None if self._taken is None else self._taken[0]

    def accept(self, secret: Secret, now: datetime) -> Keys:
        """
        Take the secret of the user; return the keys that come of it.

        The first is the only one: its copy gives the same keys, any other is refused, and after
        one that was refused none is taken. The one-time key is forgotten whatever comes of it.

        Raises:
            SealError: If it does not open, is not the first, or is not of an accepted user.
        """
        if self._taken is not None and secret == self._taken[0]:
            return self._taken[1]
        key, self._key = self._key, None
        if key is None:
            why = "Another secret came for this session; select the card again."
            raise SealError(Fault.SECRET, why)
        terms = self._terms
        user = self._checked(secret, now)
        master = key.open(secret.sealed, terms.info(secret.certificates))
        if len(master) != SECRET_OCTETS:
            why = f"A secret has {SECRET_OCTETS} octets, that of the user {len(master)}."
            raise SealError(Fault.SECRET, why)
        context = terms.context(secret.certificates, secret.sealed)
        keys = derive(master, terms.asked.session, context)
        self._taken, self.user = (secret, keys), user
        return keys

    def _checked(self, secret: Secret, now: datetime) -> Signer | None:
        if self._users is None or not secret.certificates:
            if self._terms.said.wants_user:
                raise SealError(Fault.USER, _BY_CERTIFICATE)
            return None
        signer = self._users.check("", secret.certificates, now)
        said = self._terms.signed_by_user(secret.sealed)
        if not is_signed(signer.certificate, secret.signature, said):
            raise SealError(Fault.USER, f"The signature of user {signer.name} is not good.")
        return signer


class Expected(NamedTuple):
    """
    What a user knows by itself, and takes from no offer.

    Attributes:
        session, share, ways: As in `Asked`.
        selected: Whether a card is the one that was selected.
        user: What the server is to call the user; None where that does not matter.
    """

    session: str
    share: str
    ways: tuple[str, ...]
    selected: Callable[[Card], bool]
    user: str | None = None


class Agreed:
    """
    The user's end once the offer was found good.

    `signer` is the card host, `card` what it signed of the card, `suite` how the secret is sealed.
    """

    def __init__(self, terms: Terms, signer: Signer) -> None:
        self.signer = signer
        self.card = terms.card
        self.suite = suite_of(terms.said.suite)
        self.wants_user = terms.said.wants_user
        self._terms = terms

    def seal(self, master: bytes, identity: Identity | None = None) -> tuple[Secret, Keys]:
        """
        Seal a secret; return it as it is sent, and the keys that come of it.

        Args:
            master: `SECRET_OCTETS` random octets, used for nothing else.
            identity: The user's, where it proves who it is.

        Raises:
            SealError: If the one-time key is none, or the card host wants a user with a
                certificate and there is none.
        """
        assert len(master) == SECRET_OCTETS
        if identity is None and self.wants_user:
            raise SealError(Fault.USER, _BY_CERTIFICATE)
        certificates = () if identity is None else identity.certificates
        terms = self._terms
        sealed = seal_to(self.suite, terms.said.key, master, terms.info(certificates))
        signature = b"" if identity is None else sign(identity.key, terms.signed_by_user(sealed))
        keys = derive(master, terms.asked.session, terms.context(certificates, sealed))
        return Secret(sealed, certificates, signature), keys


def agree(ask: Ask, expected: Expected, offer: Offer, trust: Trust, now: datetime) -> Agreed:
    """
    Check the offer of a card host.

    Args:
        ask: What this user has said.
        expected: What else it knows by itself.
        offer: What came.
        trust: Whose signatures it believes.
        now: The time, with its zone.

    Raises:
        SealError: If the offer is not good, not for what was asked, or for another card.
    """
    said, card = offer.said, offer.card
    check_said(said)
    signer = trust.check(card.host, offer.certificates, now)
    asked = Asked(expected.session, expected.share, expected.ways, offer.user, offer.principal)
    terms = Terms(ask, asked, card, said, digest(offer.certificates[0]))
    who = signer.name or card.host
    if not is_signed(signer.certificate, offer.signature, terms.signed_by_host()):
        why = (
            f"The signature of card host {who} is not good: what it was asked is not what this "
            "program asked, or somebody poses as it."
        )
        raise SealError(Fault.HOST, why)
    if suite_of(said.suite) is not best_of(ask.suites, said.suites):
        why = f"Card host {who} seals by {said.suite}, though both have something better."
        raise SealError(Fault.SUITE, why)
    if not expected.selected(card):
        why = f"Card host {who} answers for another card than the one that was selected."
        raise SealError(Fault.TERMS, why)
    if expected.user is not None and offer.user != expected.user:
        why = f"Card host {who} was told that its user is {offer.user[:64]!r}."
        raise SealError(Fault.TERMS, why)
    return Agreed(terms, signer)
