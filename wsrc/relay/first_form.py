# SPDX-License-Identifier: Apache-2.0
"""
Peers that speak the first form of the protocol, made to look like peers of the present one.

The first form has neither request ids nor sessions: one question is open at a time, and a peer
is never sent what it did not ask for. Its card clients hold one card and do not identify it.
"""

from collections import deque
from collections.abc import Generator, Sequence

import msgspec

from wsrc.card.apdu import Response, sw_matches
from wsrc.card.identify import Identified, identify
from wsrc.card.identity import Identities
from wsrc.errors import ErrorCode, Outcome, RemoteProtocolError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, encode
from wsrc.relay.records import BATCH, CANCEL

MAX_QUEUED = 16
"""Questions that a first-form user may send before the first is answered."""

MAX_LISTED_OCTETS = 900_000
"""What the cards of a list may have together, which is one message in the first form."""

READER = "first-form-card-client"
"""Name of the one reader of a first-form card client."""

Exchange = Generator[m.Message, m.Message, m.Message]
"""Yields one question to a first-form card client, takes its answer, returns what came of all."""


class Traffic:
    """What came of a message: for the peer, and for the relay."""

    def __init__(self) -> None:
        self.to_peer: list[m.Message] = []
        self.to_relay: list[m.Message] = []


class FirstFormUser:
    """A user client of the first form."""

    def __init__(self) -> None:
        self._session: str | None = None
        self._attached = False
        self._id = 0
        self._asked = False
        self._queue: deque[m.Message | UnreadableError] = deque()
        self._cards: list[m.CardInfo] = []
        self._listed_octets = 0

    def from_peer(self, message: m.Message | UnreadableError, traffic: Traffic) -> None:
        """
        Take a message of the user client.

        Raises:
            RemoteProtocolError: If it asks on and on without waiting for answers.
        """
        if len(self._queue) >= MAX_QUEUED:
            raise RemoteProtocolError("Wait for the answer to a message before the next one.")
        self._queue.append(message)
        self._next(traffic)

    def to_peer(self, message: m.Message, traffic: Traffic) -> None:
        """Take a message that the relay has for the user client."""
        match message:
            case m.ListCardsAck(id=id_, cards=cards, next=after, more=more):
                if id_ != self._id or not self._asked:
                    return  # a page for which there was no room
                if self._list(cards) and after is not None:
                    if not more:
                        traffic.to_relay.append(self._pages(after))
                    return
                self._answer(m.ListCardsAck(cards=tuple(self._cards)), traffic)
                self._cards, self._listed_octets = [], 0
            case m.SelectCardAck(identities=identities, session=session):
                self._session, self._attached = session, True
                self._answer(m.SelectCardAck(identities=identities), traffic)
            case m.SessionEnded():
                self._attached = False
            case _:
                plain = _stripped(message)
                if plain is not None:
                    self._answer(plain, traffic)

    def _pages(self, after: int = 0) -> m.ListCards:
        """Ask for as many pages as come to one request."""
        return m.ListCards(id=self._id, after=after, pages=m.MAX_PAGES)

    def _list(self, cards: Sequence[m.CardInfo]) -> bool:
        """Add cards to the list; return whether there is room for more."""
        for card in filter(_known, cards):
            shown = _first_form_card(card)
            self._listed_octets += len(encode(shown)) + 1
            if self._listed_octets > MAX_LISTED_OCTETS:
                return False
            self._cards.append(shown)
        return True

    def _answer(self, message: m.Message, traffic: Traffic) -> None:
        traffic.to_peer.append(message)
        self._asked = False
        self._next(traffic)

    def _next(self, traffic: Traffic) -> None:
        if self._asked or not self._queue:
            return
        self._asked = True
        self._id += 1
        message = self._queue.popleft()
        match message:
            case m.ListCards():
                asked: m.Message = self._pages()
            case m.SelectCard(id_type=id_type, id_str=id_str) if not self._attached:
                asked = m.SelectCard(id=self._id, id_type=id_type, id_str=id_str)
            case m.CApdu(command=command):
                asked = m.CApdu(id=self._id, session=self._session, command=command)
            case m.ResetReq():
                asked = m.ResetReq(id=self._id, session=self._session)
            case m.Hello():
                asked = message
            case UnreadableError():
                self._answer(_plain(m.error(message.code, str(message))), traffic)
                return
            case _:
                self._answer(_unsupported(message), traffic)
                return
        traffic.to_relay.append(asked)


class FirstFormCard:
    """
    A card client of the first form, with its one card.

    Args:
        atr: ATR from its `hello`.
        isd_r_aids: Applications to ask for an EID.
    """

    def __init__(self, atr: Octets | None, isd_r_aids: Sequence[bytes]) -> None:
        self._atr = atr
        self._isd_r_aids = isd_r_aids
        self._exchanges: deque[Exchange] = deque()
        self._running = False
        self._batch_id: int | None = None
        self._is_broken_off = False

    def hello(self, message: m.Hello, traffic: Traffic) -> None:
        """Enter the card, and begin to identify it."""
        traffic.to_peer.append(m.HelloAck())
        traffic.to_relay.append(
            m.Hello(
                client_type=m.ClientType.CARD,
                version=m.VERSION,
                features=(BATCH, CANCEL),
                name=message.name or "first-form card client",
                readers=(self._reader(m.ReaderState.IDENTIFYING, Identities()),),
            )
        )
        self._begin(self._entered(), traffic)

    def from_peer(self, message: m.Message | UnreadableError, traffic: Traffic) -> None:
        """
        Take a message of the card client: the answer to the open question.

        Raises:
            RemoteProtocolError: If there is no open question; an answer without one cannot be
                told from the answer to the next. Also if the card cannot be identified.
        """
        if not self._running:
            raise RemoteProtocolError("Nothing was asked, so there is nothing to answer.")
        self._running = False
        if isinstance(message, UnreadableError):
            message = m.error(message.code, str(message))
        self._advance(message, traffic)

    def to_peer(self, message: m.Message, traffic: Traffic) -> None:
        """Take a message that the relay has for the card client."""
        match message:
            case m.Attach():
                self._begin(self._attach(message), traffic)
            case m.CApdu():
                self._begin(self._command(message), traffic)
            case m.Batch():
                self._begin(self._batch(message), traffic)
            case m.ResetReq():
                self._begin(self._reset(message), traffic)
            case m.Detach(session=session):
                self._is_broken_off = True
                self._begin(self._detach(session), traffic)
            case m.Cancel(id=id_, session=session, target=target):
                stops = target == self._batch_id
                self._is_broken_off = self._is_broken_off or stops
                traffic.to_relay.append(m.CancelAck(id=id_, session=session, cancelled=stops))
            case m.Error():
                traffic.to_peer.append(_plain(message))
            case _:
                pass

    def _begin(self, exchange: Exchange, traffic: Traffic) -> None:
        self._exchanges.append(exchange)
        if not self._running:
            self._advance(None, traffic)

    def _advance(self, answer: m.Message | None, traffic: Traffic) -> None:
        """Go on with the first exchange, then with the next, until one asks something."""
        while self._exchanges:
            exchange = self._exchanges[0]
            try:
                question = next(exchange) if answer is None else exchange.send(answer)
            except StopIteration as done:
                self._exchanges.popleft()
                self._conclude(done.value, traffic)
                answer = None
                continue
            traffic.to_peer.append(question)
            self._running = True
            return

    def _conclude(self, result: m.Message, traffic: Traffic) -> None:
        match result:
            case m.AttachAck():
                traffic.to_peer.append(m.StateNotification(new_state=m.CardState.ASSOCIATED))
            case m.ReaderReport():
                traffic.to_peer.append(m.StateNotification(new_state=m.CardState.READY))
            case _:
                pass
        traffic.to_relay.append(result)

    def _attach(self, attach: m.Attach) -> Exchange:
        answer = yield m.ResetReq()
        if not isinstance(answer, m.ResetResp):
            return _failed(answer, None, attach.session, Outcome.NOT_EXECUTED)
        self._atr = answer.atr or self._atr
        return m.AttachAck(session=attach.session, atr=self._atr or Octets())

    def _command(self, asked: m.CApdu) -> Exchange:
        answer = yield m.CApdu(command=asked.command)
        if not isinstance(answer, m.RApdu):
            return _failed(answer, asked.id, asked.session, Outcome.UNKNOWN)
        return msgspec.structs.replace(answer, id=asked.id, session=asked.session)

    def _batch(self, asked: m.Batch) -> Exchange:
        """Run the commands of a batch; no further one once it is cancelled or its session ends."""
        self._batch_id, self._is_broken_off = asked.id, False
        answer = yield from self._steps(asked)
        self._batch_id = None
        return answer

    def _steps(self, asked: m.Batch) -> Exchange:
        results: list[m.StepResult] = []
        for at, step in enumerate(asked.steps):
            if self._is_broken_off:
                return _batch_resp(asked, results, error=_BROKEN_OFF)
            answer = yield m.CApdu(command=step.command)
            if not isinstance(answer, m.RApdu):
                failed = _failed(answer, None, None, Outcome.UNKNOWN)
                return _batch_resp(asked, results, error=failed)
            results.append(m.StepResult(response=answer.response, sw=answer.sw.lower()))
            if not sw_matches(step.expect, answer.sw):
                return _batch_resp(asked, results, stopped=at)
        return _batch_resp(asked, results)

    def _reset(self, asked: m.ResetReq) -> Exchange:
        answer = yield m.ResetReq()
        if not isinstance(answer, m.ResetResp):
            return _failed(answer, asked.id, asked.session, Outcome.UNKNOWN)
        self._atr = answer.atr or self._atr
        return m.ResetResp(id=asked.id, session=asked.session, atr=self._atr)

    def _detach(self, session: str) -> Exchange:
        report = yield from self._identified(reset_first=True)
        if isinstance(report, m.Error):
            return msgspec.structs.replace(report, session=session)
        self._exchanges.append(_just(m.DetachAck(session=session)))
        return report

    def _entered(self) -> Exchange:
        report = yield from self._identified(reset_first=False)
        if isinstance(report, m.Error):
            raise RemoteProtocolError(f"The card cannot be reset. {report.message}")
        return report

    def _identified(self, *, reset_first: bool) -> Exchange:
        if reset_first:
            answer = yield m.ResetReq()
            if not isinstance(answer, m.ResetResp):
                return _failed(answer, None, None, Outcome.UNKNOWN)
            self._atr = answer.atr or self._atr
        identified = yield from self._questions()
        if identified.moved:
            answer = yield m.ResetReq()
            if not isinstance(answer, m.ResetResp):
                return _failed(answer, None, None, Outcome.UNKNOWN)
        return m.ReaderReport(reader=self._reader(m.ReaderState.READY, identified.identities))

    def _questions(self) -> Generator[m.Message, m.Message, Identified]:
        questions = identify(self._isd_r_aids)
        command = next(questions)
        try:
            while True:
                answer = yield m.CApdu(command=Octets(command.encode()))
                command = questions.send(_response(answer))
        except StopIteration as done:
            identified: Identified = done.value
            return identified

    def _reader(self, state: m.ReaderState, identities: Identities) -> m.ReaderInfo:
        return m.ReaderInfo(
            reader=READER,
            name="first-form card client",
            state=state,
            insertion=1,
            atr=self._atr,
            iccid=identities.iccid,
            eids=identities.eids,
        )


_BROKEN_OFF = m.error(ErrorCode.CANCELLED, "The batch was cancelled.", outcome=Outcome.NOT_EXECUTED)

Adapter = FirstFormUser | FirstFormCard


def _just(message: m.Message) -> Exchange:
    yield from ()
    return message


def _response(answer: m.Message) -> Response:
    if isinstance(answer, m.RApdu):
        return Response(bytes(answer.response), int(answer.sw, 16))
    return Response(b"", 0x6F00)


def _batch_resp(
    asked: m.Batch,
    results: list[m.StepResult],
    stopped: int | None = None,
    error: m.Error | None = None,
) -> m.BatchResp:
    return m.BatchResp(
        id=asked.id, session=asked.session, results=tuple(results), stopped=stopped, error=error
    )


def _failed(answer: m.Message, id_: int | None, session: str | None, outcome: Outcome) -> m.Error:
    said = answer.message[:200] if isinstance(answer, m.Error) else "an answer of another kind"
    why = f"The card client answered: {said}"
    code = ErrorCode.CARD_TRANSMISSION_ERROR
    return m.error(code, why, id=id_, session=session, outcome=outcome)


def _unsupported(message: m.Message) -> m.Error:
    what = "a second card" if isinstance(message, m.SelectCard) else "this"
    why = f"A peer whose hello has no version cannot ask for {what}."
    return _plain(m.error(ErrorCode.NOT_SUPPORTED, why))


def _stripped(message: m.Message) -> m.Message | None:
    """Return the first form of an answer; None for what that form does not have."""
    match message:
        case m.HelloAck():
            return m.HelloAck()
        case m.RApdu(response=response, sw=sw):
            return m.RApdu(response=response, sw=sw)
        case m.ResetResp(atr=atr):
            return m.ResetResp(atr=atr)
        case m.Error():
            return _plain(message)
        case _:
            return None


def _plain(error: m.Error) -> m.Error:
    return m.Error(message=error.message, code=error.code, pcsc=error.pcsc, outcome=error.outcome)


def _known(card: m.CardInfo) -> bool:
    return card.state in {m.CardState.READY, m.CardState.ASSOCIATED}


def _first_form_card(card: m.CardInfo) -> m.CardInfo:
    return m.CardInfo(remote_addr=card.remote_addr, identities=card.identities, state=card.state)
