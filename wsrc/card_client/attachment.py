# SPDX-License-Identifier: Apache-2.0
"""A card in the hands of a session: its requests become answers, each with an outcome."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from wsrc.card.ahead import MAX_OCTETS
from wsrc.card.apdu import (
    MAX_COMMAND_OCTETS,
    is_sw_pattern,
    parse_command,
    sw_matches,
)
from wsrc.card.slot import Initialization, Share
from wsrc.card_client import blocking, verbs
from wsrc.card_client.blocking import Line
from wsrc.card_client.reading_ahead import ReadingAhead, may_reach_card
from wsrc.card_client.worker import Steps
from wsrc.errors import (
    BadApduError,
    CardError,
    ErrorCode,
    GuardedError,
    Outcome,
    RefusedError,
)
from wsrc.octets import Octets
from wsrc.principal import run_and_owner
from wsrc.protocol import messages as m
from wsrc.readers.base import CardProtocol, Direct, ResetKind
from wsrc.session import CardEnd

if TYPE_CHECKING:
    from wsrc.protocol.boxed import CardBoxes

# Longer than the aim: what a session asks of its card, one command or many, and what is read ahead.

_log = logging.getLogger(__name__)

T = TypeVar("T")

_RESETS = {Initialization.RESET: ResetKind.WARM, Initialization.UNPOWER: ResetKind.COLD}
ROOM_DIGITS = 150_000
"""What must be left in a message for another command of a batch to begin: its response."""


class Call(Protocol):
    """Runs a function of one command, with a limit; the card is released where it ends later."""

    async def __call__(
        self, held: Direct, function: Callable[[], T], steps: Steps | None = None, /
    ) -> T:
        """
        Return the result of the function; what takes many commands tells the steps.

        Raises:
            CardUnresponsiveError: If it, or one of the steps, took too long.
        """
        ...


class Room(NamedTuple):
    """
    What a batch, and what is read ahead, may take.

    No command of a batch begins later than `batch_s` after the first, and none is read ahead later
    than `ahead_s` after the answer that it goes with, or while `wanted` returns that somebody waits
    for the card. `longest` returns how many octets a message to the server may have.
    """

    batch_s: float
    longest: Callable[[], int]
    ahead_s: float = 0.0
    wanted: Callable[[], bool] = lambda: False


class Done(NamedTuple):
    """
    An answer, and what else came of the request.

    `failure` is what went wrong after the answer. `reset` and `iccid` are how the card is after a
    reset, where there was one.
    """

    answer: m.ForwardedAck
    failure: CardError | None = None
    reset: m.ResetResp | m.ReconnectAck | None = None
    iccid: str | None = None


class Held:
    """
    One session with a reader, whatever is in it.

    `end` has the numbers of its requests, `commands` is how many were given to the card, and
    `since` when the session began, in monotonic seconds. `was_reset` tells that another session
    reset the card, which the user does not know yet. `boxes` and `offer` are there where the
    session is sealed.

    Args:
        asked: What was asked for; `keep_s` is what is granted.
        direct: The reader.
        call: Reaches the reader.
    """

    def __init__(self, asked: m.Attach, direct: Direct, call: Call) -> None:
        self.session = asked.session
        self._owner = run_and_owner(asked.instance)[1]
        self.end = CardEnd(asked.session, asked.secret, asked.keep_s, owner=self._owner)
        self.boxes: CardBoxes | None = None
        self.offer: m.SealOffer | None = None
        self.direct = direct
        self.share = asked.share
        self.was_reset = False
        self.in_batch: int | None = None
        self.cancelled: int | None = None
        self.since = time.monotonic()
        self.commands = 0
        self._asked = asked
        self._call = call

    @property
    def atr(self) -> bytes:
        """Answer to reset; empty where no card is powered."""
        return b""

    def seal(self, boxes: "CardBoxes", offer: m.SealOffer) -> None:
        """Have the session sealed, from its first request on."""
        self.boxes, self.offer = boxes, offer
        self.end = CardEnd(self.session, None, self._asked.keep_s, boxes, owner=self._owner)

    @property
    def holder(self) -> str:
        """What its user is called, where the server said so."""
        return self._asked.holder or ""

    def running(self, info: m.ReaderInfo) -> m.RunningSession:
        """Describe the session for a server that does not know of it; `info` is of the reader."""
        asked, direct = self._asked, self.share is Share.DIRECT
        return m.RunningSession(
            session=self.session,
            reader=info.reader,
            insertion=info.insertion if direct else asked.insertion,
            holder=asked.holder or "",
            keep_s=self.end.keep_s,
            share=self.share,
            instance=asked.instance,
        )

    async def carry_out(self, asked: m.Forwarded, reader_name: str) -> Done:
        """
        Do what is asked of the reader.

        Raises:
            RefusedError: If the reader cannot do that, or the card is meant.
            CardError: If it failed.
        """
        if not isinstance(asked, m.ReaderQuestion):
            why = "The session is for the reader alone; select the card without the share 'direct'."
            raise RefusedError(ErrorCode.NOT_SUPPORTED, why)
        answer = await self._call(
            self.direct, lambda: verbs.carry_out(asked, self.direct, reader_name)
        )
        return Done(answer)

    def attached(self) -> m.AttachAck:
        """Return the answer to `attach`."""
        return m.AttachAck(
            session=self.session, atr=Octets(), keep_s=self.end.keep_s, seal=self.offer
        )

    def break_off(self) -> None:
        """Begin no further command of the batch that runs, if one does."""
        self.cancelled = self.in_batch


class Attachment(Held):
    """
    One session with one powered card.

    Args:
        asked: What was asked for; `keep_s` is what is granted.
        line: The card.
        call: Reaches the reader.
        room: What a batch may take.
    """

    def __init__(self, asked: m.Attach, line: Line, call: Call, room: Room) -> None:
        super().__init__(asked, line.connection, call)
        self.line = line
        self.connection = line.connection
        self._raw_tpdu = asked.raw_tpdu
        self._look_ahead = asked.raw_tpdu and asked.look_ahead
        self._ahead = ReadingAhead(line, lambda command: self._exchange(command, ahead=True))
        self._room = room

    def attached(self) -> m.AttachAck:
        """Return the answer to `attach`."""
        return m.AttachAck(
            session=self.session,
            atr=Octets(self.connection.atr),
            protocol=self.connection.protocol,
            keep_s=self.end.keep_s,
            features=None if self.line.features is None else Octets(self.line.features),
            seal=self.offer,
        )

    @property
    def atr(self) -> bytes:
        """Answer to reset."""
        return self.connection.atr

    async def carry_out(self, asked: m.Forwarded, reader_name: str) -> Done:
        """
        Do what is asked of the card or the reader.

        Raises:
            BadApduError: It is no command APDU; nothing was sent.
            RefusedError: If the reader cannot do that.
            CardError: If it failed.
        """
        match asked:
            case m.CApdu():
                return Done(*await self.command(asked))
            case m.Batch():
                return Done(*await self.batch(asked))
            case m.ResetReq():
                reset, iccid = await self.reset(asked)
                return Done(reset, None, reset, iccid)
            case m.Reconnect():
                reconnected, iccid = await self.reconnect(asked)
                return Done(reconnected, None, reconnected, iccid)
            case _:
                if may_reach_card(asked):
                    self.line.next_reads.stop()
                return await super().carry_out(asked, reader_name)

    async def command(self, asked: m.CApdu) -> tuple[m.RApdu, CardError | None]:
        """
        Run one command; return its answer, and what went wrong after it.

        Raises:
            BadApduError: If it is no command APDU; nothing was sent.
            GuardedError: If the card is kept from it, and that is no status word.
            CardError: If it failed.
        """
        self._ahead.begin(asked.used_ahead)
        try:
            response, sw = await self._transmit(asked.command)
        except GuardedError as refusal:
            if refusal.sw is None:
                raise
            return m.RApdu(
                id=asked.id, session=self.session, response=Octets(), sw=refusal.sw
            ), None
        ahead, failure = None, None
        following = self.line.look_ahead(asked.command, sw) if self._look_ahead else None
        if following is not None:
            ahead, failure = await self._fetch(Octets(following))
        if failure is None and self._asked.read_ahead:
            failure = await self._read_ahead(len(response))
        answer = m.RApdu(
            id=asked.id,
            session=self.session,
            response=response,
            sw=sw,
            ahead=ahead,
            read_ahead=tuple(self._ahead.read),
        )
        return answer, failure

    async def _read_ahead(self, sent_octets: int) -> CardError | None:
        """
        Read what the program is about to ask for, if that is known; return what went wrong.

        Who shares the card may change it before it is asked for: there nothing is read ahead.
        """
        room, steps = self._room, Steps()
        fits = 2 * (sent_octets + 2 * MAX_OCTETS) <= room.longest()
        run = self._ahead.run(room.ahead_s, room.wanted, steps)
        if run is None or self.share is not Share.EXCLUSIVE or not fits:
            return None
        try:
            await self._call(self.connection, run, steps)
        except CardError as exc:
            return exc
        return None

    async def batch(self, asked: m.Batch) -> tuple[m.BatchResp, CardError | None]:
        """
        Run commands until one fails, is not answered as expected, or is kept from the card.

        It ends as well where the batch is cancelled.

        Raises:
            BadApduError: If any step cannot work; nothing was sent.
        """
        self._check(asked)
        self.in_batch, self.cancelled = asked.id, None
        try:
            return await self._steps(asked)
        finally:
            self.in_batch = None

    async def _steps(self, asked: m.Batch) -> tuple[m.BatchResp, CardError | None]:
        """Run the commands of a batch, all in one call of the thread."""
        batch, steps = _Batch(), Steps()
        failure: CardError | None = None
        try:
            await self._call(self.connection, lambda: self._run(asked, batch, steps), steps)
        except CardError as exc:
            failure, batch.error = exc, m.error(exc.code, str(exc), outcome=exc.outcome)
        answer = m.BatchResp(
            id=asked.id,
            session=self.session,
            results=tuple(batch.results),
            stopped=batch.stopped,
            error=batch.error,
        )
        return answer, failure

    def _run(self, asked: m.Batch, batch: "_Batch", steps: Steps) -> None:
        """Run the commands of a batch in this thread, as far as it goes."""
        deadline = time.monotonic() + self._room.batch_s
        for at, step in enumerate(asked.steps):
            batch.error = self._broken_off(deadline, batch.results)
            if batch.error is not None:
                return
            steps.next()
            try:
                response, sw = self._exchange(step.command)
            except GuardedError as refusal:
                batch.refused(at, refusal)
                return
            batch.results.append(m.StepResult(response=response, sw=sw))
            if not sw_matches(step.expect, sw):
                batch.stopped = at
                return

    async def reset(self, asked: m.ResetReq) -> tuple[m.ResetResp, str | None]:
        """
        Reset the card; return the answer, and the ICCID that the card has now if it could be asked.

        Raises:
            CardError: If the card does not come up again.
        """
        was = await self._call(self.connection, lambda: self._reset(asked.kind, ()))
        answer = m.ResetResp(
            id=asked.id, session=self.session, atr=Octets(was.atr), protocol=was.protocol
        )
        return answer, was.iccid

    async def reconnect(self, asked: m.Reconnect) -> tuple[m.ReconnectAck, str | None]:
        """
        Reset the card if asked to; return the answer, and the ICCID if the card was asked.

        Raises:
            RefusedError: If the card has none of the protocols, or another is in force.
            CardError: If the card does not come up again.
        """
        kind, iccid = _RESETS.get(asked.initialization), None
        if kind is not None:
            was = await self._call(self.connection, lambda: self._reset(kind, asked.protocols))
            iccid = was.iccid
        protocol = self.connection.protocol
        if asked.protocols and protocol not in asked.protocols:
            why = f"The card runs in {protocol}; another protocol needs a reset."
            raise RefusedError(ErrorCode.PROTOCOL_MISMATCH, why)
        answer = m.ReconnectAck(
            id=asked.id,
            session=self.session,
            atr=Octets(self.connection.atr),
            protocol=protocol,
        )
        return answer, iccid

    async def _fetch(self, get_response: Octets) -> tuple[m.StepResult | None, CardError | None]:
        """
        Fetch what a T=0 card announces by 61xx, as its user would next.

        Where the card refuses it, its user is to hear that from the card itself.
        """
        try:
            data, sw = await self._transmit(get_response)
        except GuardedError:
            return None, None
        except CardError as exc:
            return None, exc
        refused = not data and sw[0] == "6" and sw[1] not in "123"
        return None if refused else m.StepResult(response=data, sw=sw), None

    def _broken_off(self, deadline: float, results: Sequence[m.StepResult]) -> m.Error | None:
        """Return why the next command of a batch must not begin, if so."""
        not_executed = Outcome.NOT_EXECUTED
        if self.cancelled is not None:
            return m.error(ErrorCode.CANCELLED, "The batch was cancelled.", outcome=not_executed)
        if time.monotonic() > deadline:
            why = f"The batch took longer than {self._room.batch_s:g} s; the rest was not sent."
            return m.error(ErrorCode.COMMAND_TIMEOUT, why, outcome=not_executed)
        digits = sum(2 * len(result.response) + 64 for result in results)
        if digits > self._room.longest() - ROOM_DIGITS:
            why = "The responses of the batch fill a message; the rest was not sent."
            return m.error(ErrorCode.TOO_MANY, why, outcome=not_executed)
        return None

    def _check(self, asked: m.Batch) -> None:
        if not 1 <= len(asked.steps) <= m.MAX_BATCH:
            raise BadApduError(f"a batch has 1 to {m.MAX_BATCH} commands, not {len(asked.steps)}")
        for at, step in enumerate(asked.steps, start=1):
            wrong = next((p for p in step.expect if not is_sw_pattern(p)), None)
            if wrong is not None:
                raise BadApduError(
                    f"command {at} of the batch expects {wrong[:8]!r}; a status word is four "
                    "hexadecimal digits, x standing for any"
                )
            try:
                _check_apdu(step.command, raw_tpdu=self._raw_tpdu)
            except BadApduError as exc:
                raise BadApduError(f"command {at} of the batch: {exc}") from exc

    async def _transmit(self, command: Octets) -> tuple[Octets, str]:
        _check_apdu(command, raw_tpdu=self._raw_tpdu)
        return await self._call(self.connection, lambda: self._exchange(command))

    def _reset(self, kind: ResetKind, protocols: Sequence[CardProtocol]) -> blocking.WasReset:
        """Reset the card, in the thread of the reader."""
        was = blocking.reset(self.line, kind, protocols)
        if self.line.trace is not None:
            self.line.trace.powered(self.session, was.atr)
        return was

    def _exchange(self, command: Octets, *, ahead: bool = False) -> tuple[Octets, str]:
        """Exchange a command that was checked, in the thread of the reader."""
        trace, octets = self.line.trace, bytes(command)
        try:
            answer = self.line.transmit(octets, raw_tpdu=self._raw_tpdu, ahead=ahead)
        except CardError:
            if trace is not None:
                trace.exchanged(self.session, octets, b"", ahead=ahead)
            raise
        self.commands += not ahead
        if trace is not None:
            trace.exchanged(self.session, octets, answer, ahead=ahead)
        sw = answer[-2:].hex()
        header, size = command[:4].hex(" "), len(command) - 4
        _log.debug("%s + %d octets -> %s", header, size, sw)
        return Octets(answer[:-2]), sw


class _Batch:
    """How far a batch came."""

    def __init__(self) -> None:
        self.results: list[m.StepResult] = []
        self.stopped: int | None = None
        self.error: m.Error | None = None

    def refused(self, at: int, refusal: GuardedError) -> None:
        """End at a command that the card is not given."""
        if refusal.sw is None:
            self.error = m.error(refusal.code, str(refusal), outcome=Outcome.NOT_EXECUTED)
        else:
            self.results.append(m.StepResult(response=Octets(), sw=refusal.sw))
            self.stopped = at


def _check_apdu(command: bytes, *, raw_tpdu: bool) -> None:
    if len(command) > MAX_COMMAND_OCTETS:
        raise BadApduError(f"it has {len(command)} octets, more than {MAX_COMMAND_OCTETS}")
    if raw_tpdu and len(command) < 4:
        raise BadApduError(f"a TPDU has at least 4 octets; this one has {len(command)}")
    if not raw_tpdu:
        parse_command(command)
