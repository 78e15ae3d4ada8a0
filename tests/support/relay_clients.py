# SPDX-License-Identifier: Apache-2.0
"""Peers of a relay in memory: users, and card clients that do what they are asked to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from tests.support.relay_boxes import closed, opened
from wsrc.card.identity import iccid_to_ef
from wsrc.card.slot import CardStatus
from wsrc.card_client.ended import Ended
from wsrc.errors import ErrorCode, RemoteProtocolError
from wsrc.octets import Octets
from wsrc.principal import run_and_owner
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, decode, encode
from wsrc.protocol.conversation import ANSWERS, Phase, Speaker, may_say
from wsrc.protocol.kinds import kind_of
from wsrc.session import CardEnd

if TYPE_CHECKING:
    from tests.support.relay_world import World

ATR = Octets.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
ICCID = "8949020000012345678"
SELECT_MF = Octets.fromhex("00a40004023f00")
OK = Octets.fromhex("6f00")

M = TypeVar("M", bound=m.Message)

FIRST_FORM_FIELDS: dict[type[m.Message], set[str]] = {
    m.HelloAck: {"msg_type"},
    m.ListCardsAck: {"msg_type", "cards"},
    m.SelectCardAck: {"msg_type", "identities"},
    m.RApdu: {"msg_type", "response", "sw"},
    m.ResetResp: {"msg_type", "atr"},
    m.Error: {"msg_type", "message", "code", "pcsc", "outcome"},
    m.CApdu: {"msg_type", "command"},
    m.ResetReq: {"msg_type"},
    m.StateNotification: {"msg_type", "new_state"},
}
"""All that a peer of the first form may be sent."""


class Peer:
    """One connection; `inbox` is what was sent to it and not looked at yet."""

    def __init__(self, world: World, role: m.ClientType, *, first_form: bool = False) -> None:
        self.world = world
        self.role = role
        self.first_form = first_form
        self.number = 0
        self.inbox: list[m.Message] = []
        self.texts: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.gone = False
        self.said_goodbye = False
        self._id = 0

    def say(self, message: m.Message) -> None:
        """Send the relay a message, in a box where its session has that."""
        self.say_text(encode(closed(message) if self.boxes(message) else message))

    def boxes(self, message: m.Message) -> bool:
        """Return whether a message is to be in a box."""
        return m.session_of(message) in self.world.boxed

    def say_text(self, text: bytes) -> None:
        """Send the relay a text, as its shell would pass it on."""
        relay, now = self.world.relay, self.world.now
        try:
            effects = relay.received(self.number, decode(text), text, now)
        except UnreadableError as exc:
            effects = relay.unreadable(self.number, exc, now)
        except RemoteProtocolError as exc:
            effects = relay.malformed(self.number, exc, now)
        self.world.perform(effects)

    def ask(self, request: m.Message, answer: type[M]) -> M:
        """Send a request, and give its one answer."""
        self.say(request)
        message = self.one(answer)
        assert message.id == request.id
        return message

    def refused(self, request: m.Message) -> m.Error:
        """Send a request that is answered with an error, and give that."""
        return self.ask(request, m.Error)

    def leave(self, *, goodbye: bool = False) -> None:
        """End the connection."""
        self.gone, self.said_goodbye = True, goodbye
        relay, now = self.world.relay, self.world.now
        self.world.perform(relay.disconnected(self.number, now, goodbye=goodbye))

    def take_in(self, message: m.Message, text: bytes) -> None:
        """Take what the relay sends; it must be in its place and say the same as text."""
        assert self.closed is None, "a message after the end"
        assert not self.gone, "a message to nobody"
        read = decode(text)
        assert type(read) is type(message)
        user = self.role is m.ClientType.USER
        speaker = Speaker.SERVER_TO_USER if user else Speaker.SERVER_TO_CARD
        assert any(may_say(speaker, phase, read) for phase in Phase), read
        if self.first_form:
            assert set(json.loads(text)) <= FIRST_FORM_FIELDS[type(read)], text
        self.inbox.append(opened(read))
        self.texts.append(text)

    def next(self, kind: type[M]) -> M:
        """Return the oldest message, which is of this kind."""
        assert self.inbox, f"no {kind.__name__}"
        message = self.inbox.pop(0)
        assert isinstance(message, kind), message
        return message

    def one(self, kind: type[M]) -> M:
        """Return the only message, which is of this kind."""
        message = self.next(kind)
        assert self.inbox == []
        return message

    def quiet(self) -> bool:
        """Return whether nothing came."""
        return not self.inbox

    def count_from(self, number: int) -> None:
        """Let the next request id be one more than this."""
        self._id = number

    def new_id(self) -> int:
        """Return a request id that was not used."""
        self._id += 1
        return self._id

    def select(self, **by: str | float | bool) -> m.SelectCardAck:
        """Select a card and get it."""
        select = m.SelectCard(id=self.new_id(), **by)  # type: ignore[arg-type]  # fields by name
        return self.ask(select, m.SelectCardAck)

    def hold(self, **by: str | float | bool) -> str:
        """Select a card, and give the session."""
        session = self.select(**by).session
        assert session is not None
        return session

    def command(self, session: str | None, command: bytes = SELECT_MF) -> m.CApdu:
        """Send a command, and give it."""
        message = m.CApdu(id=self.new_id(), session=session, command=Octets(command))
        self.say(message)
        return message


class CardClient(Peer):
    """
    A card client that does what it is asked to, unless told not to by `auto`.

    `ends` are the sessions that it keeps while it has no server, `ended` those that it had.
    `shown_as` is what users see as its name, where it was told of one. `atrs` has what cards give
    at a reset, by the ids of their readers, where that is another ATR than `ATR`.
    """

    def __init__(self, world: World, *, auto: bool, features: tuple[str, ...] = ()) -> None:
        super().__init__(world, m.ClientType.CARD)
        self.auto = auto
        self.features = features
        self._in_boxes: set[int | None] = set()
        self.shown_as: str | None = None
        self.atrs: dict[str, Octets] = {}
        self._readers: dict[str | None, str] = {}
        self.ends: dict[str, CardEnd] = {}
        self.ended = Ended()

    def take_in(self, message: m.Message, text: bytes) -> None:
        super().take_in(message, text)
        self._look_for_boxes(message)
        if self.auto and not isinstance(message, (m.HelloAck, m.Error, m.Restarting)):
            asked = self.inbox.pop()
            self.world.later(lambda: self.answer(asked))

    def _look_for_boxes(self, message: m.Message) -> None:
        """Note which sessions have boxes, and which requests came in one."""
        required = self.world.seal == "required" and "seal" in self.features
        if required and isinstance(message, m.Attach):
            self.world.boxed.add(message.session)
        if isinstance(message, m.Sealed) and not isinstance(self.inbox[-1], m.Sealed):
            self._in_boxes.add(message.id)

    def boxes(self, message: m.Message) -> bool:
        """Return whether a message answers what came in a box."""
        return getattr(message, "id", None) in self._in_boxes and super().boxes(message)

    def answer(self, message: m.Message) -> None:
        """Answer a request of the relay as a sound card client does."""
        if self.gone or self.closed:
            return
        match message:
            case m.Attach(session=session, secret=secret, keep_s=keep_s, reader=reader):
                if keep_s:
                    owner = run_and_owner(message.instance)[1]
                    self.ends[session] = CardEnd(session, secret, keep_s, owner=owner)
                self._readers[session] = reader
                self.say(m.AttachAck(session=session, atr=self.atr_of(session), keep_s=keep_s))
            case m.Detach(session=session, code=code, message=why):
                self.end(session, code or ErrorCode.CANCELLED, why or "It is over.")
                self.say(m.DetachAck(session=session))
            case m.CApdu(id=id_, session=session):
                self.say(m.RApdu(id=id_, session=session, response=OK, sw="9000"))
            case m.Batch(id=id_, session=session, steps=steps):
                results = tuple(m.StepResult(response=OK, sw="9000") for _ in steps)
                self.say(m.BatchResp(id=id_, session=session, results=results))
            case _:
                self.answer_more(message)

    def atr_of(self, session: str | None) -> Octets:
        """Return the ATR of the card that a session has."""
        return self.atrs.get(self._readers.get(session, ""), ATR)

    def answer_more(self, message: m.Message) -> None:
        """Answer what is not asked as often."""
        match message:
            case m.Resume():
                self.answer_resume(message)
            case m.ResetReq(id=id_, session=session):
                self.say(m.ResetResp(id=id_, session=session, atr=self.atr_of(session)))
            case m.Sealed(id=id_, session=session):
                of = str(ANSWERS[kind_of(message)].__struct_config__.tag)
                self.say(m.SealedResp(id=id_, session=session, of=of, box=b"box"))
            case m.Cancel(id=id_, session=session):
                self.say(m.CancelAck(id=id_, session=session, cancelled=False))
            case _:
                self.answer_verb(message)

    def answer_resume(self, message: m.Resume) -> None:
        """Compare the secret, and say what became of the session."""
        end = self.ends.get(message.session)
        ended = self.ended.answer(message)
        if end is not None and end.may_resume(message):
            self.say(end.resumed(message))
        elif ended is not None:
            self.say(ended)
        else:
            code, why = ErrorCode.NO_SUCH_SESSION, "There is no such session here."
            self.say(m.error(code, why, id=message.id, session=message.session))

    def end(self, session: str, code: ErrorCode, why: str = "It is over.") -> None:
        """End a session that could be resumed, and remember how."""
        end = self.ends.pop(session, None)
        if end is not None:
            self.ended.put(end, end.ended(code, why))

    def answer_verb(self, message: m.Message) -> None:
        """Answer one of the PC/SC verbs."""
        match message:
            case m.Reconnect(id=id_, session=session):
                self.say(m.ReconnectAck(id=id_, session=session, atr=self.atr_of(session)))
            case m.BeginTransaction(id=id_, session=session):
                self.say(m.BeginTransactionAck(id=id_, session=session))
            case m.EndTransaction(id=id_, session=session):
                self.say(m.EndTransactionAck(id=id_, session=session))
            case m.Status(id=id_, session=session):
                states = (CardStatus.PRESENT,)
                self.say(m.StatusAck(id=id_, session=session, reader_name="R", states=states))
            case m.Control(id=id_, session=session, data=data):
                self.say(m.ControlAck(id=id_, session=session, response=data))
            case m.GetAttribute(id=id_, session=session, name=name):
                value = Octets(name.encode())
                self.say(m.GetAttributeAck(id=id_, session=session, value=value))
            case m.SetAttribute(id=id_, session=session):
                self.say(m.SetAttributeAck(id=id_, session=session))
            case _:
                raise AssertionError(message)

    def report(self, info: m.ReaderInfo) -> None:
        """Say how a reader is."""
        self.say(m.ReaderReport(reader=info))


class OldCardClient(Peer):
    """A card client of the first form, with one card that knows its ICCID."""

    def __init__(self, world: World, iccid: str, *, auto: bool, channels: bool) -> None:
        super().__init__(world, m.ClientType.CARD, first_form=True)
        self.auto = auto
        self.iccid = iccid
        self.channels = channels
        self.log: list[str] = []

    def take_in(self, message: m.Message, text: bytes) -> None:
        super().take_in(message, text)
        if self.auto and isinstance(message, (m.CApdu, m.ResetReq)):
            self.inbox.pop()
            self.world.later(lambda: self.answer(message))
        elif self.auto and isinstance(message, m.StateNotification):
            self.inbox.pop()
            self.log.append(message.new_state)

    def answer(self, message: m.Message) -> None:
        """Answer the open question."""
        if self.gone or self.closed:
            return
        if isinstance(message, m.ResetReq):
            self.log.append("reset")
            self.say(m.ResetResp(atr=ATR))
            return
        assert isinstance(message, m.CApdu)
        self.log.append(str(message.command))
        response, sw = self.card(message.command)
        self.say(m.RApdu(response=Octets.fromhex(response), sw=sw))

    def card(self, command: bytes) -> tuple[str, str]:
        """Return what the card answers, in digits."""
        ins, p1 = command[1], command[2]
        if ins == 0x70:
            return ("01" if p1 == 0 else "", "9000") if self.channels else ("", "6d00")
        if ins == 0xA4:
            return "", "6a82" if p1 == 4 else "9000"
        if ins == 0xB0:
            return iccid_to_ef(self.iccid).hex(), "9000"
        return "", "6d00"
