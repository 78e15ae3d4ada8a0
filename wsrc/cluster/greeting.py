# SPDX-License-Identifier: Apache-2.0
"""
Two nodes prove to each other who they are, and agree on keys.

    caller                                answerer
    Hello ──────────────────────────────▶
          ◀────────────────────────────── Answer: a one-time key, signed
    Proof: a secret, sealed to it; signed ▶
          ◀──────────────── what is sealed with keys that come of the secret

Whose name is the smaller calls. A signature is over the cluster, both names, and all that was said
before it; the keys come of the secret and the same. Both ends have shown then that they are alive
and are who they are, and who learns the keys of certificates later can open nothing.

The answerer remembers nothing of a hello: the proof brings back all that it needs. So nobody can
fill its memory, or push an honest node out of it. A one-time key makes one road, and lives for
some seconds.

Nodes without certificates leave chains and signatures empty, and prove nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wsrc.cluster.boxes import KEY_OCTETS, NUMBER_OCTETS, Boxes
from wsrc.cluster.credentials import Credentials, GreetingError
from wsrc.sealing.encoding import NONCE_OCTETS, pack
from wsrc.sealing.faults import SealError
from wsrc.sealing.keys import SECRET_OCTETS
from wsrc.sealing.signing import digest, is_signed, sign
from wsrc.sealing.suites import OneTimeKey, available, best_of, new_key, seal_to, suite_of
from wsrc.sealing.trust import MAX_CERTIFICATE_OCTETS, MAX_CHAIN

VERSION = 1
"""The highest version that is spoken here; two nodes speak the lower of theirs."""

RUN_DIGITS = 16
"""Hexadecimal digits of a run."""

KEY_S = 10.0
"""How long an answerer offers a one-time key, in seconds; it takes proofs for twice as long."""

MAX_GREETING_OCTETS = 2**17
"""Octets of a greeting."""

_PURPOSE = b"WSRC node 1 "

Run = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
_Words = Annotated[tuple[_Word, ...], msgspec.Meta(max_length=64)]
_Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_OCTETS, max_length=NONCE_OCTETS)]
_Key = Annotated[bytes, msgspec.Meta(max_length=2_048)]
_Signature = Annotated[bytes, msgspec.Meta(max_length=1_024)]
_Certificate = Annotated[bytes, msgspec.Meta(max_length=MAX_CERTIFICATE_OCTETS)]
_Chain = Annotated[tuple[_Certificate, ...], msgspec.Meta(max_length=MAX_CHAIN)]
_Part = Annotated[bytes, msgspec.Meta(max_length=16_384)]


class Hello(msgspec.Struct, frozen=True):
    """
    What a caller says first.

    Attributes:
        version: The highest that it speaks.
        cluster: Name of its cluster.
        run: Its run.
        nonce: `NONCE_OCTETS` random octets.
        suites: How it can seal a secret.
        features: What it can do besides.
    """

    version: Annotated[int, msgspec.Meta(ge=1)]
    cluster: _Word
    run: Run
    nonce: _Nonce
    suites: _Words
    features: _Words


class Offer(msgspec.Struct, frozen=True):
    """
    What an answerer says: version and suite for both, and a one-time key of that suite.

    `asked` is the nonce of the hello that is answered.
    """

    version: Annotated[int, msgspec.Meta(ge=1)]
    run: Run
    asked: _Nonce
    nonce: _Nonce
    suite: _Word
    key: _Key
    features: _Words


class Answer(msgspec.Struct, frozen=True):
    """An offer, encoded, and who signs it; nothing where there are no certificates."""

    offer: _Part
    chain: _Chain
    signature: _Signature


class Proof(msgspec.Struct, frozen=True):
    """The hello and the offer as they were encoded, the sealed secret, and who signs all that."""

    hello: _Part
    offer: _Part
    sealed: _Key
    chain: _Chain
    signature: _Signature


class Greeted(NamedTuple):
    """
    What two nodes have agreed on.

    Attributes:
        run: Of the other node.
        version: What both speak.
        features: What both can do.
        boxes: Seals and opens the datagrams of the road.
        certificate: Of the other node, where it has one.
        chain: The certificates that it has shown, its own first; none where it has none.
    """

    run: str
    version: int
    features: frozenset[str]
    boxes: Boxes
    certificate: x509.Certificate | None
    chain: tuple[bytes, ...]


class Me(NamedTuple):
    """
    What a node is to others.

    Attributes:
        name: What it is called.
        cluster: What its cluster is called.
        run: `RUN_DIGITS` hexadecimal digits that no other start of it has.
        features: What it can do, besides what version 1 is.
        credentials: What it proves that with now; None proves nothing and believes everybody.
        new_nonce: Makes `NONCE_OCTETS` random octets.
        epoch: Returns the seconds since 1970, UTC; only certificates are judged by it.
        suites: How it can seal.
    """

    name: str
    cluster: str
    run: str
    features: frozenset[str]
    credentials: Callable[[], Credentials | None]
    new_nonce: Callable[[], bytes]
    epoch: Callable[[], float]
    suites: tuple[str, ...] = available()


class Caller:
    """
    The end that greets first.

    Args:
        me: Who it is.
        other: Name of the other node.
    """

    def __init__(self, me: Me, other: str) -> None:
        self._me, self._other = me, other
        features = tuple(sorted(me.features))
        self._nonce = me.new_nonce()
        said = Hello(VERSION, me.cluster, me.run, self._nonce, me.suites, features)
        self.hello = msgspec.msgpack.encode(said)

    def answered(self, octets: bytes) -> tuple[bytes, Greeted] | None:
        """
        Take an answer; return the proof, and what is agreed on if the other takes that.

        What answers another hello, perhaps one of an earlier run, comes to nothing.

        Raises:
            GreetingError: If it is not of the other node, or does not answer the hello.
        """
        me = self._me
        answer = _decoded(octets, Answer)
        offer = _decoded(answer.offer, Offer)
        if offer.asked != self._nonce:
            return None
        if offer.version > VERSION:
            raise GreetingError("answers in a version that is not known here")
        between = pack(me.cluster.encode(), me.name.encode(), self._other.encode())
        said = pack(between, self.hello, answer.offer)
        certificate = _checked(me, self._other, answer.chain, answer.signature, b"answer", said)
        secret = me.new_nonce()
        credentials = me.credentials()
        chain = credentials.own.certificates if credentials is not None else ()
        whose = digest(chain[0]) if chain else b""
        try:
            sealed = seal_to(suite_of(offer.suite), offer.key, secret, _secret_info(said, whose))
        except SealError as exc:
            raise GreetingError("offers no one-time key that is known here") from exc
        signature = _signed(credentials, b"proof", pack(said, sealed))
        proof = Proof(self.hello, answer.offer, sealed, chain, signature)
        number, mine, others = _keys(secret, pack(said, sealed, whose))
        boxes = Boxes(number, mine, others)
        both = me.features.intersection(offer.features)
        return msgspec.msgpack.encode(proof), Greeted(
            offer.run, offer.version, both, boxes, certificate, answer.chain
        )


class Answerer:
    """
    The end that is greeted.

    Args:
        me: Who it is.
        other: Name of the other node.
    """

    def __init__(self, me: Me, other: str) -> None:
        self._me, self._other = me, other
        self._offered: list[_Offered] = []
        self._last = b""

    def hello(self, octets: bytes, now: float) -> bytes:
        """
        Answer a hello.

        Raises:
            GreetingError: If it is of another cluster, or has nothing in common with what is here.
        """
        me = self._me
        hello = self._read(octets)
        if not self._offered or now - self._offered[-1].at >= KEY_S:
            self._offered = [*self._offered[-1:], _Offered(now, me.new_nonce(), {})]
        offer = self._offer(hello, self._offered[-1])
        said = pack(self._between(), octets, offer)
        credentials = me.credentials()
        chain = credentials.own.certificates if credentials is not None else ()
        return msgspec.msgpack.encode(Answer(offer, chain, _signed(credentials, b"answer", said)))

    def proved(self, octets: bytes, now: float) -> Greeted | None:
        """
        Take a proof; return what is agreed on, or None for one that was taken before, or is late.

        Raises:
            GreetingError: If it is not of the other node, or does not fit what was offered.
        """
        me = self._me
        mark = digest(octets)
        if mark == self._last:
            return None
        proof = _decoded(octets, Proof)
        offer = _decoded(proof.offer, Offer)
        offered = next((each for each in self._offered if each.nonce == offer.nonce), None)
        if offered is None or now - offered.at >= 2 * KEY_S:
            return None
        hello = self._read(proof.hello)
        if self._offer(hello, offered) != proof.offer:
            raise GreetingError("proves who it is for what was not offered to it")
        said = pack(self._between(), proof.hello, proof.offer)
        signed = pack(said, proof.sealed)
        certificate = _checked(me, self._other, proof.chain, proof.signature, b"proof", signed)
        whose = digest(proof.chain[0]) if proof.chain else b""
        try:
            secret = offered.keys[offer.suite].open(proof.sealed, _secret_info(said, whose))
        except SealError as exc:
            raise GreetingError("sealed its secret to another key") from exc
        if len(secret) != SECRET_OCTETS:
            raise GreetingError("sealed a secret of another length")
        self._offered, self._last = [], mark
        number, others, mine = _keys(secret, pack(said, proof.sealed, whose))
        both, boxes = me.features.intersection(hello.features), Boxes(number, mine, others)
        return Greeted(hello.run, offer.version, both, boxes, certificate, proof.chain)

    def run_of(self, octets: bytes) -> str:
        """
        Return the run that says hello.

        Raises:
            GreetingError: If it is of another cluster, or no hello.
        """
        return self._read(octets).run

    def _read(self, octets: bytes) -> Hello:
        hello = _decoded(octets, Hello)
        if hello.cluster != self._me.cluster:
            raise GreetingError(f"is of the cluster {hello.cluster!r}, not of {self._me.cluster!r}")
        return hello

    def _between(self) -> bytes:
        me = self._me
        return pack(me.cluster.encode(), self._other.encode(), me.name.encode())

    def _offer(self, hello: Hello, offered: "_Offered") -> bytes:
        """Return the offer that answers a hello; always the same."""
        me = self._me
        try:
            suite = best_of(hello.suites, me.suites)
        except SealError as exc:
            raise GreetingError("has no way of sealing in common with this node") from exc
        key = offered.keys.get(suite)
        if key is None:
            key = offered.keys[suite] = new_key(suite)
        version, features = min(hello.version, VERSION), tuple(sorted(me.features))
        said = Offer(version, me.run, hello.nonce, offered.nonce, suite, key.public, features)
        return msgspec.msgpack.encode(said)


class _Offered(NamedTuple):
    """One-time keys by suite, under one nonce, since when they are offered."""

    at: float
    nonce: bytes
    keys: dict[str, OneTimeKey]


T = TypeVar("T", bound=msgspec.Struct)


def _decoded(octets: bytes, kind: type[T]) -> T:
    if len(octets) > MAX_GREETING_OCTETS:
        raise GreetingError("sends a greeting that is too long")
    try:
        return msgspec.msgpack.decode(octets, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise GreetingError(f"sends no {kind.__name__.lower()} that is understood") from exc


def _signed(credentials: Credentials | None, what: bytes, said: bytes) -> bytes:
    return b"" if credentials is None else sign(credentials.own.key, pack(_PURPOSE + what, said))


def _checked(  # noqa: PLR0913, PLR0917 - who says what, and proves it how
    me: Me, name: str, chain: tuple[bytes, ...], signature: bytes, what: bytes, said: bytes
) -> x509.Certificate | None:
    """Return whose a signature is, which is the node of a name; None where nothing is proved."""
    credentials = me.credentials()
    if credentials is None:
        if chain:
            raise GreetingError("has a certificate, and this node has none; give it cluster_cert")
        return None
    if not chain:
        raise GreetingError("has no certificate; give it cluster_cert")
    when = datetime.fromtimestamp(me.epoch(), UTC)
    certificate = credentials.nodes.check(name, chain, when)
    if not is_signed(certificate, signature, pack(_PURPOSE + what, said)):
        raise GreetingError("does not have the key of the certificate that it shows")
    return certificate


def shown_in(me: Me, other: str, road: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """
    Return the certificates that a node has now, and the signature with which it shows them.

    Args:
        me: The node.
        other: To which node it shows them.
        road: Number of the road in which it does, which no other road has.
    """
    credentials = me.credentials()
    if credentials is None:
        return (), b""
    chain = credentials.own.certificates
    return chain, _signed(credentials, b"renewal", _renewal(me.cluster, me.name, other, road))


def check_shown(me: Me, other: str, road: bytes, chain: tuple[bytes, ...], signed: bytes) -> None:
    """
    See that certificates are of the other node, which shows them in a road.

    Raises:
        GreetingError: If they are not.
    """
    _checked(me, other, chain, signed, b"renewal", _renewal(me.cluster, other, me.name, road))


def _renewal(cluster: str, shows: str, to: str, road: bytes) -> bytes:
    return pack(cluster.encode(), shows.encode(), to.encode(), road)


def _secret_info(said: bytes, whose: bytes) -> bytes:
    return pack(_PURPOSE + b"secret", said, whose)


def _keys(secret: bytes, said: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the number of the road, the key of the caller, and that of the answerer."""
    salt = digest(pack(_PURPOSE + b"keys", said))
    made = HKDF(SHA256(), 2 * KEY_OCTETS + NUMBER_OCTETS, salt, _PURPOSE + b"road").derive(secret)
    return made[2 * KEY_OCTETS :], made[:KEY_OCTETS], made[KEY_OCTETS : 2 * KEY_OCTETS]
