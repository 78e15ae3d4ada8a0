# SPDX-License-Identifier: Apache-2.0
"""A card that is ours, for programs that use asyncio; `aio` makes it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Self

import msgspec

from wsrc.card.apdu import Response
from wsrc.card.slot import CardProtocol, CardStatus, Disposition, Initialization, ResetKind, Share
from wsrc.errors import (
    BadHexError,
    ErrorCode,
    OutcomeUnknownError,
    WsrcError,
)
from wsrc.octets import BytesLike, from_wire
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.messages import CardInfo, Step
from wsrc.user_client.core import arguments
from wsrc.user_client.core.faults import from_error
from wsrc.user_client.core.read_ahead import SentAhead
from wsrc.user_client.core.seals import SealedWith
from wsrc.user_client.core.transacting import CardSession

# Longer than the aim: all that can be asked of a card, with what each may raise.

DETACH_S = 10.0
"""How long the server may take to confirm that a card was given back."""


class BatchResult(NamedTuple):
    """
    Result of a batch.

    `results` has one response for each command that was answered. `stopped` is the index of the
    command whose status word was not as expected. `error` says why the command after the last
    result was not answered.
    """

    results: tuple[Response, ...]
    stopped: int | None = None
    error: WsrcError | None = None


class BatchLimits(NamedTuple):
    """What a batch may have: so many commands, and octets of the message that carries them."""

    commands: int
    octets: int


class Status(NamedTuple):
    """What PC/SC says of a card; `protocol` is None where none was agreed on."""

    reader_name: str
    states: tuple[CardStatus, ...]
    protocol: CardProtocol | None
    atr: bytes


class IdleWarning(NamedTuple):
    """
    When the server takes a card back: RFC 3339 in UTC, in how many seconds, and why.

    `code` is LEASE_EXPIRED where it stays if it is used till then, RESERVED where it goes anyway.
    """

    until: str
    in_s: float
    code: ErrorCode = ErrorCode.LEASE_EXPIRED


class Card:
    """
    A card that is ours until `detach`, the end of `async with`, or the end of the connection.

    Requests go to the card one at a time; a second waits for the first. A caller that is
    cancelled gives up its command if the card has not begun it; the next command waits until
    that is known. Every method raises:

    * SessionLostError, if the card stopped being ours before: select it again;
    * NotExecutedError, if the command provably never reached the card;
    * OutcomeUnknownError, if it may have run;
    * CardWasResetError, if another who shares the card reset it: nothing was sent, `reconnect`;
    * CardError, if the card or the reader failed, with its `outcome`;
    * ConnectionLostError, if the connection was lost before;
    * LocalProtocolError, if an argument has a wrong type or a value that is not allowed:
      nothing was sent.

    Octets are bytes, a bytearray or a memoryview; they are copied before a method waits.

    `sealed` says who the card host is of a session that no server can read, None of another.
    """

    def __init__(  # noqa: PLR0913 - what was asked for and what was granted
        self,
        session: CardSession,
        info: CardInfo,
        *,
        raw_tpdu: bool,
        timeout_s: float,
        protocols: Sequence[CardProtocol] = (),
        features: bytes | None = None,
        sealed: SealedWith | None = None,
        share: Share = Share.EXCLUSIVE,
    ) -> None:
        self.info = info
        self.sealed = sealed
        self._features = None if features is None else bytes(features)
        self.atr: bytes = bytes(from_wire(info.identities.atr))
        self._session = session
        self._raw_tpdu = raw_tpdu
        self._timeout_s = timeout_s
        self._protocols = tuple(protocols)
        self._share = share
        self._ahead = SentAhead()
        session.sending = self._ahead.sending

    @property
    def session(self) -> str:
        """Name of the session; a secret between us and the server."""
        return self._session.name

    @property
    def protocol(self) -> CardProtocol | None:
        """Transmission protocol, where the card host told it."""
        return self.info.protocol

    @property
    def features(self) -> bytes | None:
        """What the reader answers to `control` 3400, None where its host did not tell."""
        return self._features

    @property
    def batch_limits(self) -> BatchLimits:
        """What a batch may have, as the server says on the connection that there is now."""
        told = self._session.limits
        return BatchLimits(
            told.batch_commands or m.MAX_BATCH, told.message_octets or MAX_MESSAGE_OCTETS
        )

    async def transmit(self, command: BytesLike, *, last: bool = False) -> Response:
        """
        Send one command APDU and return the response, whatever its status word.

        With `last` the card is given back as soon as it has answered, and reset: `detach` takes no
        round trip then.

        With `raw_tpdu` this is one TPDU; with `look_ahead` too, a GET RESPONSE right after the
        61xx that announced it mostly costs no round trip. With `read_ahead` the card has answered
        some reads before they are asked for.

        Raises:
            BadApduError: If it is no command APDU (ISO/IEC 7816-3 clause 12.1); nothing was sent.
        """
        asked = m.CApdu(command=arguments.command(command, "command", raw_tpdu=self._raw_tpdu))
        session, sent_ahead = self._session, self._ahead

        def known() -> m.RApdu | None:
            return sent_ahead.answer(asked.command, session.now(), in_reach=session.in_reach)

        last = arguments.flag(last, "last")
        answer = await session.ask(asked, self._timeout_s, known, last=last)
        assert isinstance(answer, m.RApdu)
        ahead = answer.ahead
        fetched = None if ahead is None else _response(ahead.response, ahead.sw)
        sent_ahead.put(asked.command[0], fetched, answer, session.now())
        return _response(answer.response, answer.sw)

    async def batch(self, steps: Sequence[Step | BytesLike], *, last: bool = False) -> BatchResult:
        """
        Run commands one after the other in one round trip: 1 to 256, or as the server says.

        With `last` the card is given back with the answer, as by `transmit`.

        Raises:
            BadApduError: If one is no command APDU; nothing was sent.
            LocalProtocolError: If there are too few or too many, or they are too long together;
                nothing was sent.
        """
        batch = arguments.batch(steps, self.batch_limits.commands, raw_tpdu=self._raw_tpdu)
        last = arguments.flag(last, "last")
        answer = await self._session.ask(batch, 2 * self._timeout_s, last=last)
        assert isinstance(answer, m.BatchResp)
        error = answer.error
        return BatchResult(
            tuple(_response(each.response, each.sw) for each in answer.results),
            answer.stopped,
            None if error is None else from_error(error, command=True),
        )

    async def reset(self, kind: ResetKind = ResetKind.COLD) -> bytes:
        """
        Reset the card and return its new ATR.

        It runs in one of the protocols that it was selected with, if any were named then.
        """
        kind = arguments.member(kind, ResetKind, "kind")
        if self._protocols:
            cold = kind is ResetKind.COLD
            initialization = Initialization.UNPOWER if cold else Initialization.RESET
            return await self.reconnect(initialization=initialization, protocols=self._protocols)
        answer = await self._ask(m.ResetReq(kind=kind))
        assert isinstance(answer, m.ResetResp)
        return self._note(answer)

    async def reconnect(
        self,
        *,
        share: Share | None = None,
        initialization: Initialization = Initialization.LEAVE,
        protocols: Sequence[CardProtocol] = (),
    ) -> bytes:
        """
        Agree on a protocol anew, after a reset if one is asked for, and return the ATR.

        Args:
            share: With whom the card is used from now on; as before if None.
            initialization: What is done with the card first.
            protocols: Those that may be used; none means any.

        Raises:
            CardBusyError: If others share a card that is to be ours alone.
            RefusedError: If the card has none of these protocols, or runs in another and is not
                to be reset.
        """
        reconnect = m.Reconnect(
            session="",
            share=None if share is None else arguments.member(share, Share, "share"),
            initialization=arguments.member(initialization, Initialization, "initialization"),
            protocols=arguments.members(protocols, CardProtocol, "protocols"),
        )
        answer = await self._ask(reconnect)
        assert isinstance(answer, m.ReconnectAck)
        self._share = reconnect.share or self._share
        if self._share is not Share.SHARED:
            self._session.guests.clear()
        return self._note(answer)

    async def begin(self) -> None:
        """
        Begin a transaction: those who share the card wait until it ends.

        Transactions nest. One that is not used for as long as the card host allows ends with a
        reset, and so does one whose owner vanishes. A caller that is cancelled has begun none.

        Raises:
            CardBusyError: If another's transaction did not end in time.
        """
        await self._session.begin(self._timeout_s)

    async def end(self, *, disposition: Disposition = Disposition.LEAVE) -> None:
        """
        End the transaction that was begun last.

        Raises:
            RefusedError: If there is none.
        """
        end = m.EndTransaction(session="", disposition=_disposition(disposition))
        await self._ask(end)

    async def abandon(self, *, disposition: Disposition = Disposition.LEAVE) -> None:
        """
        End the transaction that was begun last without waiting for long for a command in flight.

        After 10 s it ends before the next request, or with `detach`; what becomes of the card
        and of the connection is no error here.
        """
        disposition = _disposition(disposition)
        await self._session.abandon(disposition)

    @asynccontextmanager
    async def transaction(
        self, *, disposition: Disposition = Disposition.LEAVE
    ) -> AsyncGenerator[None, None]:
        """
        Hold a transaction in the block; an error of the block wins over one of ending it.

        A block that is cancelled ends its transaction as `abandon` does.
        """
        disposition = _disposition(disposition)
        await self.begin()
        try:
            yield
        except asyncio.CancelledError:
            await self.abandon(disposition=disposition)
            raise
        except Exception:
            with suppress(WsrcError):
                await self.end(disposition=disposition)
            raise
        await self.end(disposition=disposition)

    async def status(self) -> Status:
        """Return what the card host's PC/SC says of the card."""
        answer = await self._ask(m.Status(session=""))
        assert isinstance(answer, m.StatusAck)
        atr = bytes(answer.atr or b"")
        return Status(answer.reader_name, answer.states, answer.protocol, atr)

    async def control(self, number: int, octets: BytesLike = b"") -> bytes:
        """
        Send a control code to the reader itself and return its answer (SCardControl).

        Args:
            number: n where the control code is 0x42000000 + n on pcsc-lite, CTL_CODE(n) on
                Windows; in an answer, codes of features (number 3400) are such numbers as well.
            octets: What the reader is given.

        Raises:
            RefusedError: If the reader cannot do that; nothing was done.
        """
        number, data = arguments.whole(number, "number"), arguments.octets(octets, "octets")
        answer = await self._ask(m.Control(session="", number=number, data=data))
        assert isinstance(answer, m.ControlAck)
        return bytes(answer.response)

    async def get_attribute(self, name: str) -> bytes:
        """
        Return an attribute of the reader by its name of `wsrc.card.pcsc_numbers.ATTRIBUTES`.

        Raises:
            RefusedError: If there is no such name, or the reader has no such attribute.
        """
        answer = await self._ask(m.GetAttribute(session="", name=arguments.text(name, "name")))
        assert isinstance(answer, m.GetAttributeAck)
        return bytes(answer.value)

    async def set_attribute(self, name: str, value: BytesLike) -> None:
        """Set an attribute of the reader; errors as `get_attribute`."""
        name, octets = arguments.text(name, "name"), arguments.octets(value, "value")
        await self._ask(m.SetAttribute(session="", name=name, value=octets))

    async def allow(self, who: str) -> None:
        """
        Let a colleague share the card, and nobody else who was not let; the card is shared then.

        They take it with the share `shared`, without waiting, and find it as it is: a PIN that was
        verified is verified for them. A card that is shared with all already stays so.

        Args:
            who: Their principal, or their name as a server shows it.

        Raises:
            RefusedError: If they or we may not share it, or its host cannot.
        """
        session, limit_s = self._session, self._timeout_s
        await session.say(m.Allow(session="", who=arguments.text(who, "who")), limit_s)
        if who not in session.guests and (session.guests or self._share is not Share.SHARED):
            session.guests.append(who)
        if self._share is not Share.SHARED:
            await self.reconnect(share=Share.SHARED, protocols=self._protocols)

    async def lend(self, who: str) -> str:
        """
        Give the card back, and let a colleague have it next, before all who wait for it.

        It is reset for them. Return until when it is kept for them, RFC 3339 in UTC.

        Args:
            who: Their principal, or their name as a server shows it.

        Raises:
            RefusedError: If they may not have it.
            CardBusyError: If others share it.
        """
        session, limit_s = self._session, self._timeout_s
        answer = await session.say(m.Lend(session="", who=arguments.text(who, "who")), limit_s)
        assert isinstance(answer, m.LendAck)
        session.forget(f"The card was lent to {who}.")
        return answer.until

    def when_idle(self, tell: Callable[[IdleWarning], None]) -> None:
        """
        Call `tell` each time the server says that it takes the card back soon.

        It is not used, or it is reserved for another then.

        It must neither block nor raise.
        """
        told = arguments.function(tell, "tell")
        self._session.when_idle(lambda said: told(IdleWarning(said.until, said.in_s, said.code)))

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """
        Call `tell` once, as soon as the card stops being ours, with the reason.

        It is not called for a card that is given back. It must neither block nor raise.
        """
        self._session.when_over(arguments.function(tell, "tell"))

    async def detach(
        self, *, disposition: Disposition = Disposition.RESET, wait: bool = True
    ) -> None:
        """
        Give the card back; it is reset for the next user. A card that is gone is no error.

        Args:
            disposition: What is done with a card that others share; `EJECT` holds for the last
                as well, where the reader can do that.
            wait: Until the server has taken it. A client that is closed next, which tells the
                same, need not.
        """
        limit_s = min(DETACH_S, self._timeout_s)
        await self._session.detach(
            limit_s, _disposition(disposition), wait=arguments.flag(wait, "wait")
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.detach()

    async def _ask(self, request: m.Plain) -> m.Message:
        return await self._session.ask(request, self._timeout_s)

    def _note(self, now: m.ResetResp | m.ReconnectAck) -> bytes:
        """Note how the card is after a reset, and return its ATR."""
        if now.atr is not None:
            self.atr = bytes(now.atr)
        if now.protocol is not None:
            self.info = msgspec.structs.replace(self.info, protocol=now.protocol)
        return self.atr


def _disposition(given: Disposition) -> Disposition:
    return arguments.member(given, Disposition, "disposition")


def _response(data: bytes, sw: str) -> Response:
    try:
        octets = from_wire(sw)
    except BadHexError as exc:
        raise OutcomeUnknownError("The answer has a status word that is not hexadecimal.") from exc
    if len(octets) != 2:
        raise OutcomeUnknownError("The answer has a status word that does not have four digits.")
    return Response(bytes(data), int.from_bytes(octets))
