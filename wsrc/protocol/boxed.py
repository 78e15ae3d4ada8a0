# SPDX-License-Identifier: Apache-2.0
"""Messages of a sealed session, into boxes and out of them, at both ends."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar, get_args

import msgspec

from wsrc.errors import ErrorCode, Outcome, RefusedError, RemoteProtocolError, WsrcError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, decode, decoder_of, encode
from wsrc.protocol.kinds import PLAIN, resets, wish_of
from wsrc.sealing.ends import CardSeal, LateSeal, UserSeal
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.handshake import Offer, Secret
from wsrc.sealing.modes import Mode
from wsrc.sealing.proofs import Claim, Proof
from wsrc.sealing.terms import Ask, Asked, Card, Said

AROUND_OCTETS = 512
"""What a message has beside its box, at most, and what a box has beside its text."""


def room_for(longest: int, pad_octets: int) -> int:
    """Return how many octets a text may have whose box is in a message of that length."""
    return max(0, (longest - AROUND_OCTETS) * 3 // 4 - pad_octets)


def ask_of(said: m.SealAsk) -> Ask:
    """
    Return what a user wants.

    Raises:
        SealError: If it names no mode of this version.
    """
    if said.mode not in {Mode.REQUIRED, Mode.PREFERRED}:
        raise SealError(Fault.TERMS, f"There is no mode {said.mode[:40]!r} of sealing.")
    return Ask(said.nonce, said.suites, Mode(said.mode))


def asked_of(attach: m.Attach) -> Asked:
    """Return what is asked of a card host, as it came to it."""
    ways = ways_of(attach.protocols, raw_tpdu=attach.raw_tpdu)
    user, principal = attach.holder or "", attach.principal or ""
    return Asked(attach.session, str(attach.share), ways, user, principal)


def ways_of(protocols: Iterable[str], *, raw_tpdu: bool) -> tuple[str, ...]:
    """Return how a card is to be used, as the terms have it."""
    return (*(("raw_tpdu",) if raw_tpdu else ()), *map(str, protocols))


def card_of(host: str, info: m.ReaderInfo, atr: bytes) -> Card:
    """Return a card as its host, and nobody else, knows it."""
    return Card(
        host, info.reader, info.name, bytes(atr), info.iccid or "", info.eids, info.label or ""
    )


def said_of(offer: Offer) -> m.SealOffer:
    """Return an offer as it is sent."""
    card, said = offer.card, offer.said
    return m.SealOffer(
        host=card.host,
        reader=card.reader,
        name=card.name,
        atr=Octets(card.atr),
        iccid=card.iccid,
        eids=card.eids,
        label=card.label,
        user=offer.user,
        principal=offer.principal,
        nonce=said.nonce,
        suites=tuple(map(str, said.suites)),
        mode=str(said.mode),
        suite=str(said.suite),
        key=said.key,
        wants_user=said.wants_user,
        certificates=offer.certificates,
        signature=offer.signature,
    )


def offer_of(said: m.SealOffer) -> Offer:
    """
    Return an offer that came; nothing of it is checked here but its words.

    Raises:
        SealError: If it names no mode of this version.
    """
    if said.mode not in {Mode.REQUIRED, Mode.PREFERRED}:
        raise SealError(Fault.TERMS, f"There is no mode {said.mode[:40]!r} of sealing.")
    mode = Mode(said.mode)
    chosen = Said(said.nonce, said.suites, mode, said.suite, said.key, said.wants_user)
    card = Card(
        said.host, said.reader, said.name, bytes(said.atr), said.iccid, said.eids, said.label
    )
    return Offer(card, said.user, said.principal, chosen, said.certificates, said.signature)


_TAGS: dict[type[m.Message], str] = {kind: tag for tag, kind in m.BY_TAG.items()}
_ANSWERS = frozenset(get_args(m.Answer)) - {m.SealedResp}
_TELLING = frozenset((m.Reconnect, m.EndTransaction))
"""Requests of which the server is told more than what they are."""

_NAMELESS = frozenset((m.CApdu, m.RApdu, m.ResetReq, m.ResetResp, m.Error))
"""What can do without `session`; all others have an empty one in a box."""

_Q = TypeVar("_Q", m.CApdu, m.RApdu)

_C_APDU, _R_APDU = _TAGS[m.CApdu], _TAGS[m.RApdu]
_COMMANDS, _RESPONSES = decoder_of(m.CApdu), decoder_of(m.RApdu)
"""What goes to and fro most has a short way, which says nothing of what is wrong."""


class UserBoxes:
    """
    The user's end of a sealed session, in messages.

    Args:
        seal: Its keys.
        nonce: Returns that of the connection that there is.
    """

    def __init__(self, seal: UserSeal, nonce: Callable[[], bytes]) -> None:
        self._seal = seal
        self._nonce = nonce

    def seal(self, request: m.Plain) -> m.Sealed:
        """
        Return a request, which has its number, as it is sent.

        Raises:
            SealError: If the number was used for another one.
        """
        assert request.seq is not None
        kind = _TAGS[type(request)]
        sealed = m.Sealed(
            id=request.id,
            seq=request.seq,
            session=request.session or "",
            of=kind,
            box=self._seal.seal(kind, request.seq, _text(request)),
        )
        secret, tells = self._seal.secret, type(request) in _TELLING
        if secret is None and not tells:
            return sealed
        return msgspec.structs.replace(
            sealed,
            secret=_sent(secret),
            share=wish_of(request) if tells else None,
            resets=tells and resets(request),
        )

    def open(self, answer: m.SealedResp) -> m.Answer:
        """
        Return what the card host has answered.

        Raises:
            RefusedError: If it has not, or the answer cannot be read.
        """
        text = self._seal.open(answer.of, answer.seq or 0, answer.box)
        response = _at_once(_RESPONSES, text, answer) if answer.of == _R_APDU else None
        if response is not None:
            return response
        inside = _read(text, answer)
        if type(inside) not in _ANSWERS:
            raise SealError(Fault.BOX, f"There is {answer.of[:40]!r} where an answer has to be.")
        return inside  # type: ignore[return-value] # its class was looked at

    def settled(self, seq: int) -> None:
        """Note that a program was told that a request has run, or may have."""
        self._seal.settled(seq)

    def prove(self, resume: m.Resume) -> m.Resume:
        """Return a `resume` with the proof that the session is ours, for this connection."""
        proof = self._seal.prove(_claim(resume, self._nonce()))
        return msgspec.structs.replace(
            resume,
            secret="",
            proof=m.SealProof(counter=proof.counter, mac=proof.mac),
            seal=_sent(self._seal.secret),
        )

    def resumed(self, seq: int, said: m.Resumed) -> bool:
        """Return whether the card host has said that to the last proof; `seq` was that of it."""
        return self._seal.resumed(seq, said.seq, said.word or b"")

    def refused(self, seq: int, word: bytes | None) -> bool:
        """Return whether the card host has said that a request is not begun."""
        return self._seal.refused(seq, word or b"")

    def ended(self, said: m.SessionEnded) -> bool:
        """Return whether the card host has said how the session ended."""
        return said.seq is not None and self._seal.ended(said.seq, said.word or b"")


class CardBoxes:
    """
    The card host's end of a sealed session, in messages.

    Args:
        seal: Its keys, or what they will come of.
        now: Returns the time, with its zone.
        longest: Returns how many octets a message to the server may have.
        pad_octets: To a multiple of what texts are padded.
    """

    def __init__(
        self,
        seal: CardSeal,
        now: Callable[[], datetime],
        longest: Callable[[], int],
        pad_octets: int = 1,
    ) -> None:
        self._seal = seal
        self._now = now
        self._longest = longest
        self._pad_octets = pad_octets

    @property
    def user(self) -> str | None:
        """The name in the certificate by which the user has proved who it is, if it has."""
        return None if self._seal.user is None else self._seal.user.name

    def open(self, request: m.Sealed, taken: int) -> m.Plain:
        """
        Return what the user asks.

        Args:
            request: What came; its number is not looked at otherwise.
            taken: Number of the request that was taken in hand last.

        Raises:
            RefusedError: If the user has not asked that, or not as it is told to the server; or it
                has a word that is not known.
        """
        _accept(self._seal, request.secret, self._now())
        text = self._seal.open(request.of, request.seq or 0, request.box, taken)
        if request.of == _C_APDU and request.share is None and not request.resets:
            command = _at_once(_COMMANDS, text, request)
            if command is not None:
                return command
        inside = _read(text, request)
        kind = type(inside)
        if kind is not PLAIN.get(request.of):
            raise SealError(Fault.BOX, f"There is {request.of[:40]!r} where a request has to be.")
        share, reset = (wish_of(inside), resets(inside)) if kind in _TELLING else (None, False)
        if share is not request.share or reset is not request.resets:
            why = "The server was told otherwise of the request than what is in its box."
            raise SealError(Fault.BOX, why)
        return inside  # type: ignore[return-value] # its class was looked at

    def seal(self, answer: m.Answer) -> m.SealedResp:
        """
        Return an answer, which has its number, as it is sent.

        One that no message has room for becomes an error, before it is sealed.

        Raises:
            SealError: If the number was used for another one.
        """
        text = _text(answer)
        if len(text) > room_for(self._longest(), self._pad_octets):
            answer = _too_long(answer)
            text = _text(answer)
        assert answer.seq is not None
        kind = _TAGS[type(answer)]
        sealed = m.SealedResp(
            id=answer.id,
            seq=answer.seq,
            session=answer.session or "",
            of=kind,
            box=self._seal.seal(kind, answer.seq, text),
        )
        if type(answer) is not m.Error:
            return sealed
        return msgspec.structs.replace(sealed, code=answer.code, outcome=answer.outcome)

    def proves(self, request: m.Resume) -> bool:
        """Return whether a `resume` is that of the user."""
        return _proves(self._seal, request, self._now())

    def late(self, *, given_back: bool) -> "LateBoxes | None":
        """
        Return what answers the user once the session is over.

        It holds no key of what was said. None where the user was never heard, and gave it back.
        """
        seal = self._seal.late()
        return LateBoxes(seal, self._now) if seal.was_heard or not given_back else None

    def lost(self) -> None:
        """Note that the server is lost."""
        self._seal.lost()

    def resumed(self, seq: int, taken: int) -> bytes:
        """Return the word that goes with `resumed`, after `proves`."""
        return self._seal.resumed(seq, taken)

    def heard(self, request: m.Sealed) -> None:
        """Take the secret of a request that is refused, without which there is no word on it."""
        with suppress(SealError):
            _accept(self._seal, request.secret, self._now())

    def refused(self, seq: int) -> bytes | None:
        """Return the word that a request is not begun."""
        return self._seal.refused(seq) or None

    def ended(self, taken: int) -> bytes | None:
        """Return the word that the session is over."""
        return self._seal.ended(taken) or None


class LateBoxes:
    """The card host's end of a sealed session that is over."""

    def __init__(self, seal: LateSeal, now: Callable[[], datetime]) -> None:
        self._seal = seal
        self._now = now

    def answer(self, request: m.Resume, said: m.SessionEnded) -> m.SessionEnded | None:
        """Return what is said to the user, with the word on it; None to anybody else."""
        if not _proves(self._seal, request, self._now()):
            return None
        return msgspec.structs.replace(said, word=self._seal.ended(said.seq or 0) or None)


def _proves(seal: CardSeal | LateSeal, request: m.Resume, now: datetime) -> bool:
    if request.proof is None:
        return False
    try:
        _accept(seal, request.seal, now)
        claim = _claim(request, request.nonce or b"")
        seal.check(claim, Proof(request.proof.counter, request.proof.mac))
    except SealError:
        return False
    return True


def _accept(seal: CardSeal | LateSeal, secret: m.SealSecret | None, now: datetime) -> None:
    if secret is not None:
        seal.accept(Secret(secret.sealed, secret.certificates, secret.signature or b""), now)


def _text(message: m.Plain | m.Answer) -> bytes:
    """Return what of a message is sealed: all but what is told to the server."""
    named = None if type(message) in _NAMELESS else ""
    return encode(msgspec.structs.replace(message, id=None, seq=None, session=named))


def _read(text: bytes, around: m.Sealed | m.SealedResp) -> m.Message:
    try:
        inside = decode(text)
    except UnreadableError as exc:
        raise RefusedError(exc.code, str(exc)) from exc
    except RemoteProtocolError as exc:
        raise SealError(Fault.BOX, f"What is in a sealed message cannot be read. {exc}") from exc
    if _TAGS.get(type(inside)) != around.of:
        raise SealError(Fault.BOX, "A sealed message is not what it is told to be.")
    return msgspec.structs.replace(inside, id=around.id, seq=around.seq, session=around.session)


def _at_once(
    decoder: "msgspec.json.Decoder[_Q]", text: bytes, around: m.Sealed | m.SealedResp
) -> _Q | None:
    """Return what is in a box, as `_read` does; None where that has something to say."""
    try:
        inside = decoder.decode(text)
    except (msgspec.DecodeError, WsrcError, UnicodeError, RecursionError):
        return None
    return msgspec.structs.replace(inside, id=around.id, seq=around.seq, session=around.session)


def _too_long(answer: m.Answer) -> m.Error:
    why = "The answer is longer than a message to the server may be."
    fields = {"id": answer.id, "seq": answer.seq, "session": m.session_of(answer)}
    return m.error(ErrorCode.TOO_MANY, why, outcome=Outcome.UNKNOWN, **fields)


def _claim(resume: m.Resume, nonce: bytes) -> Claim:
    return Claim(resume.seq, resume.host or "", resume.reader or "", nonce)


def _sent(secret: Secret | None) -> m.SealSecret | None:
    if secret is None:
        return None
    return m.SealSecret(
        sealed=secret.sealed,
        certificates=secret.certificates,
        signature=secret.signature or None,
    )
