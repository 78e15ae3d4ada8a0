# SPDX-License-Identifier: Apache-2.0
"""
What an evil relay does to a sealed session, each by its name.

Before each of them it has carried another session, with a card host of the same CA that it has the
certificate and the key of: `Loot` is what it kept of that.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from tests.support.evil_relay import Change, EvilRelay
from tests.support.sealed_world import WRONG_PIN
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import boxed, messages as m
from wsrc.sealing.handshake import Offer
from wsrc.sealing.signing import Identity, digest, sign
from wsrc.sealing.suites import Suite, new_key
from wsrc.sealing.terms import Terms

LOW_ORDER = bytes(32)
"""The point of order 2 of X25519 (RFC 7748 section 6.1): every secret with it is the same."""


class Loot(NamedTuple):
    """
    What a relay has, besides what goes by.

    Attributes:
        relay: The relay.
        asked, answer: A request of another session, and its answer.
        offer: What its card host has offered.
        identity: That card host, as whom the relay can sign.
        stranger: Somebody whom no CA knows.
    """

    relay: EvilRelay
    asked: m.Sealed
    answer: m.SealedResp
    offer: m.SealOffer
    identity: Identity
    stranger: Identity


class Evil(NamedTuple):
    """
    One thing that a relay does.

    Attributes:
        name: What it does.
        change: Makes what changes messages.
        user: Settings of the user, besides those that it has.
        told: Codes of what the user is told, one of them at least once; empty where it notices
            nothing, since nothing is to be noticed.
    """

    name: str
    change: Callable[[Loot], Change]
    user: Mapping[str, Any] = {}
    told: frozenset[ErrorCode] = frozenset((ErrorCode.SEAL_BOX,))


def _each(kind: type[m.Message], put: Callable[[Any, Loot], Iterable[m.Message]]) -> Any:
    """Return what makes something else of each message of a kind."""

    def make(loot: Loot) -> Change:
        return lambda message: put(message, loot) if isinstance(message, kind) else (message,)

    return make


def _set(kind: type[m.Message], **fields: Any) -> Any:
    """Return what sets fields of each message of a kind; a function is given message and loot."""

    def put(message: m.Message, loot: Loot) -> Iterable[m.Message]:
        new = {name: to(message, loot) if callable(to) else to for name, to in fields.items()}
        return (msgspec.structs.replace(message, **new),)

    return _each(kind, put)


def _flipped(message: Any, _: Loot) -> bytes:
    return bytes([message.box[0] ^ 1]) + message.box[1:]


def _cut(message: Any, _: Loot) -> bytes:
    return bytes(message.box[:-1])


def _names(message: Any) -> dict[str, Any]:
    return {"id": message.id, "session": message.session}


# Requests and answers


def _own_command(asked: m.Sealed, _: Loot) -> Iterable[m.Message]:
    return (m.CApdu(**_names(asked), seq=asked.seq, command=Octets(WRONG_PIN)),)


def _twice(asked: m.Sealed, _: Loot) -> Iterable[m.Message]:
    return asked, asked


def _earlier_as_well(asked: m.Sealed, loot: Loot) -> Iterable[m.Message]:
    """Deliver what was asked before once more after it, also under the numbers that come."""
    first = loot.relay.of(m.Sealed)[0]
    later = (msgspec.structs.replace(first, seq=(asked.seq or 0) + more) for more in (1, 2))
    return asked, first, *later


def _first_answer(answer: m.SealedResp, loot: Loot) -> Iterable[m.Message]:
    """Keep the first answer back, and give it to the next number."""
    first = loot.relay.of(m.SealedResp)[0]
    if answer.seq == first.seq:
        return _not_executed(answer, loot)
    return (msgspec.structs.replace(answer, box=first.box),)


def _not_executed(answer: m.SealedResp, _: Loot) -> Iterable[m.Message]:
    why, outcome = "Not now.", Outcome.NOT_EXECUTED
    return (m.error(ErrorCode.CANCELLED, why, outcome=outcome, **_names(answer)),)


def _not_executed_on_its_word(answer: m.SealedResp, _: Loot) -> Iterable[m.Message]:
    why, outcome = "Not now.", Outcome.NOT_EXECUTED
    word = bytes(32)
    return (m.error(ErrorCode.CANCELLED, why, outcome=outcome, word=word, **_names(answer)),)


def _own_response(answer: m.SealedResp, _: Loot) -> Iterable[m.Message]:
    return (m.RApdu(**_names(answer), seq=answer.seq, response=Octets(), sw="9000"),)


def _ended(word: bytes | None) -> Callable[[m.SealedResp, Loot], Iterable[m.Message]]:
    """Return what says that the session ended before anything was begun."""

    def put(answer: m.SealedResp, _: Loot) -> Iterable[m.Message]:
        code, why = ErrorCode.CARD_NOT_PRESENT, "Gone."
        return (m.SessionEnded(session=answer.session, code=code, message=why, seq=0, word=word),)

    return put


def _no_such_session(resumed: m.Resumed, _: Loot) -> Iterable[m.Message]:
    return (m.error(ErrorCode.NO_SUCH_SESSION, "No.", **_names(resumed)),)


def _both(one: Any, other: Any) -> Any:
    """Return what does one thing to a message, and another to what comes of that."""

    def make(loot: Loot) -> Change:
        first, second = one(loot), other(loot)
        return lambda message: (each for some in first(message) for each in second(some))

    return make


# How a session begins


def _seal(**fields: Any) -> Callable[[Any, Loot], Any]:
    """Return what sets fields of `seal` of a message."""

    def put(message: Any, loot: Loot) -> Any:
        if message.seal is None:
            return None
        new = {name: to(message, loot) if callable(to) else to for name, to in fields.items()}
        return msgspec.structs.replace(message.seal, **new)

    return put


def _signed(identity: Callable[[Loot], Identity], **fields: Any) -> Callable[[Any, Loot], Any]:
    """Return what signs an offer, of which fields are set, as somebody else."""

    def put(message: m.SelectCardAck, loot: Loot) -> m.SealOffer | None:
        if message.seal is None:
            return None
        who = identity(loot)
        offer: Offer = boxed.offer_of(
            msgspec.structs.replace(message.seal, certificates=who.certificates, **fields)
        )
        (select,) = (each for each in loot.relay.of(m.SelectCard) if each.seal is not None)
        (attach,) = (each for each in loot.relay.said if isinstance(each, m.Attach))
        assert select.seal is not None
        ask, asked = boxed.ask_of(select.seal), boxed.asked_of(attach)
        terms = Terms(ask, asked, offer.card, offer.said, digest(who.certificates[0]))
        return boxed.said_of(offer._replace(signature=sign(who.key, terms.signed_by_host())))

    return put


def _as_other_host(loot: Loot) -> Identity:
    return loot.identity


def _as_stranger(loot: Loot) -> Identity:
    return loot.stranger


def _own_secret_first(asked: m.Sealed, _: Loot) -> Iterable[m.Message]:
    if asked.secret is None:
        return (asked,)
    own = msgspec.structs.replace(asked, secret=m.SealSecret(sealed=b"x" * 1_168))
    return own, asked


def _secret_again(asked: m.Sealed, loot: Loot) -> Iterable[m.Message]:
    return (msgspec.structs.replace(asked, secret=loot.relay.of(m.Sealed)[0].secret),)


def _own_secret_later(asked: m.Sealed, loot: Loot) -> Iterable[m.Message]:
    if asked.secret is not None:
        return (asked,)
    return (msgspec.structs.replace(asked, secret=loot.asked.secret),)


_HOST = frozenset((ErrorCode.SEAL_HOST,))
_TERMS = frozenset((ErrorCode.SEAL_TERMS,))
_SECRET = frozenset((ErrorCode.SEAL_SECRET,))
_SUITE = frozenset((ErrorCode.SEAL_SUITE,))
_REQUIRED = frozenset((ErrorCode.SEAL_REQUIRED,))
_ANY = frozenset((ErrorCode.CANCELLED, ErrorCode.SEAL_BOX, ErrorCode.SEAL_NUMBER))
_ACK = m.SelectCardAck

EVILS = (
    Evil("changes the box of a request", _set(m.Sealed, box=_flipped)),
    Evil("cuts the box of a request", _set(m.Sealed, box=_cut)),
    Evil("empties the box of a request", _set(m.Sealed, box=b"")),
    Evil("moves a request to the next number", _set(m.Sealed, seq=lambda it, _: it.seq + 1)),
    Evil(
        "moves a request to number 0",
        _set(m.Sealed, seq=0),
        told=frozenset((ErrorCode.BAD_MESSAGE,)),
    ),
    Evil(
        "moves a request to another session",
        _set(m.Sealed, session=lambda _, loot: loot.asked.session),
        user={"timeout_s": 0.5},
        told=frozenset((ErrorCode.COMMAND_TIMEOUT,)),
    ),
    Evil(
        "moves a request of another session here",
        _set(m.Sealed, box=lambda _, loot: loot.asked.box),
    ),
    Evil("sends an answer as a request", _set(m.Sealed, box=lambda _, loot: loot.answer.box)),
    Evil("says that a request is a batch", _set(m.Sealed, of="batch")),
    Evil("says that a request is one that nobody knows", _set(m.Sealed, of="x")),
    Evil("says that a command resets the card", _set(m.Sealed, resets=True)),
    Evil(
        "sends a command of its own instead",
        _each(m.Sealed, _own_command),
        told=frozenset((ErrorCode.BAD_MESSAGE,)),
    ),
    Evil("delivers each request twice", _each(m.Sealed, _twice), told=frozenset()),
    Evil(
        "replays the first request after each, under later numbers too",
        _each(m.Sealed, _earlier_as_well),
        told=frozenset(),
    ),
    Evil("changes the box of an answer", _set(m.SealedResp, box=_flipped)),
    Evil("cuts the box of an answer", _set(m.SealedResp, box=_cut)),
    Evil("says that an answer is an error", _set(m.SealedResp, of="error")),
    Evil(
        "gives the answer of another session",
        _set(m.SealedResp, box=lambda _, loot: loot.answer.box),
    ),
    Evil(
        "sends a request back as its answer",
        _set(m.SealedResp, box=lambda _, loot: loot.relay.of(m.Sealed)[-1].box),
    ),
    Evil("delays an answer into the next number", _each(m.SealedResp, _first_answer)),
    Evil(
        "answers by itself that nothing was executed",
        _each(m.SealedResp, _not_executed),
        told=frozenset(),
    ),
    Evil(
        "answers by itself, with a word of its own",
        _each(m.SealedResp, _not_executed_on_its_word),
        told=frozenset(),
    ),
    Evil(
        "answers by itself that nothing was executed, and lets nobody ask",
        _both(_each(m.SealedResp, _not_executed), _each(m.Resumed, _no_such_session)),
        told=frozenset((ErrorCode.CANCELLED,)),
    ),
    Evil(
        "says that the session ended, and lets nobody ask",
        _both(_each(m.SealedResp, _ended(None)), _each(m.Resumed, _no_such_session)),
        told=frozenset((ErrorCode.CARD_NOT_PRESENT,)),
    ),
    Evil(
        "answers by itself without a box",
        _each(m.SealedResp, _own_response),
        user={"keep_s": 1.0},
        told=frozenset((ErrorCode.CONNECTION_LOST,)),
    ),
    Evil(
        "answers by itself with a box of its own",
        _set(m.SealedResp, box=lambda it, _: bytes(len(it.box))),
    ),
    Evil(
        "says that the session ended before anything was begun",
        _each(m.SealedResp, _ended(None)),
        told=frozenset(),
    ),
    Evil(
        "says so with a word of its own",
        _each(m.SealedResp, _ended(bytes(32))),
        told=frozenset(),
    ),
    Evil("strips the ask", _set(m.Attach, seal=None), told=_REQUIRED),
    Evil("strips the offer", _set(_ACK, seal=None), told=_REQUIRED),
    Evil("strips the secret", _set(m.Sealed, secret=None), told=_SECRET),
    Evil("names another session", _set(_ACK, session="another"), told=_HOST),
    Evil("has the card shared", _set(m.Attach, share="shared"), told=_HOST),
    Evil("has TPDUs passed as they are", _set(m.Attach, raw_tpdu=True), told=_HOST),
    Evil(
        "says that both have a weak suite",
        _set(m.Attach, seal=_seal(suites=("p256",))),
        told=_HOST,
    ),
    Evil("names a suite that nobody knows", _set(m.Attach, seal=_seal(suites=("x",))), told=_SUITE),
    Evil("puts a key of its own into the offer", _set(_ACK, seal=_seal(key=bytes(32))), told=_HOST),
    Evil(
        "puts the nonce of the card host away",
        _set(_ACK, seal=_seal(nonce=b"")),
        told=_TERMS,
    ),
    Evil("swaps the offers of two hosts", _set(_ACK, seal=lambda _, loot: loot.offer), told=_HOST),
    Evil(
        "signs as another card host of the CA",
        _set(_ACK, seal=_signed(_as_other_host)),
        told=_SECRET,
    ),
    Evil(
        "signs as another card host, where the card is not that one's to announce",
        _set(_ACK, seal=_signed(_as_other_host)),
        user={"card_hosts": ("bench.example",)},
        told=_HOST,
    ),
    Evil(
        "sits between with a key of its own, where the card is not that one's to announce",
        _set(
            _ACK,
            seal=_signed(_as_other_host, key=new_key(Suite.X25519).public, suite="x25519"),
        ),
        user={"card_hosts": ("bench.*",)},
        told=_HOST,
    ),
    Evil("signs as somebody without a CA", _set(_ACK, seal=_signed(_as_stranger)), told=_HOST),
    Evil(
        "has a key of low order signed",
        _set(
            _ACK,
            seal=_signed(_as_other_host, key=LOW_ORDER, suite="x25519", suites=("x25519",)),
        ),
        told=frozenset((ErrorCode.SEAL_KEY,)),
    ),
    Evil(
        "has a suite signed that nobody knows",
        _set(_ACK, seal=_signed(_as_other_host, suite="x", suites=("x",))),
        told=_SUITE,
    ),
    Evil(
        "has a weaker suite signed than both have",
        _set(_ACK, seal=_signed(_as_other_host, suite="p256")),
        told=_SUITE,
    ),
    Evil(
        "has another card signed",
        _set(_ACK, seal=_signed(_as_other_host, iccid="8988211000000430028")),
        told=_TERMS,
    ),
    Evil("sends a secret of its own first", _each(m.Sealed, _own_secret_first), told=_SECRET),
    Evil(
        "sends the secret of another session later",
        _each(m.Sealed, _own_secret_later),
        told=_SECRET,
    ),
    Evil("sends the secret twice", _each(m.Sealed, _secret_again), told=frozenset()),
)
"""All of them; `signs as another card host` is that of the CA whose key the relay has."""
