# SPDX-License-Identifier: Apache-2.0
"""A program and its simulated card, and what is sent ahead: both ends, without the network."""

from collections.abc import Callable
from typing import Any, TypeVar

from wsrc.card.slot import ResetKind, Share
from wsrc.card_client.attachment import Attachment, Room
from wsrc.card_client.blocking import Line
from wsrc.card_client.worker import Steps
from wsrc.errors import BadApduError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.readers.base import Direct
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import Card, make_card, parse_description
from wsrc.readers.simulation.filesystem import AnyFile, Directory
from wsrc.user_client.core.read_ahead import SentAhead

T = TypeVar("T")

READER = "Simulated UICC 00 00"


class CountedCard:
    """A card and the TPDUs or APDUs that it was given."""

    def __init__(self, toml: str) -> None:
        self.card: Card = make_card(parse_description(toml, "test.toml"))
        self.source = SimulatedSource([self.card])

    def connect(self, *, read_ahead: bool) -> Line:
        reader = self.source.open(self.source.names[0])
        return Line(reader.connect(()), read_ahead=read_ahead)

    @property
    def state(self) -> object:
        """What a later command could show of the card."""
        transport: Any = self.card._transport
        state = transport._engine._state
        files = state.profile.files
        return (
            {number: _channel(each) for number, each in state.channels.items()},
            sorted(state.verified),
            state.application_was_selected,
            {key: (pin.secret.tries, pin.enabled) for key, pin in state.profile.pins.items()},
            [_contents(each) for each in (files.mf, *files.adfs)],
            transport._held._data,
        )


class Program:
    """
    One session with a card at its host, and the user's end of what it is sent ahead.

    `asked` counts the requests that went to the host. `now` is the time, in seconds.
    """

    def __init__(
        self, line: Line, *, read_ahead: bool, share: Share, raw: bool, ahead_s: float = 60.0
    ) -> None:
        asked = m.Attach(
            session="s",
            reader="r",
            insertion=1,
            raw_tpdu=raw,
            look_ahead=raw,
            read_ahead=read_ahead,
            share=share,
        )
        self.host = Attachment(asked, line, _at_once, Room(60.0, lambda: 1_000_000, ahead_s))
        self.ahead = SentAhead()
        self.asked = 0
        self.now = 0.0

    async def transmit(self, text: str) -> str:
        """Run a command, or take what was sent ahead; return the response in hexadecimal."""
        command = Octets.fromhex(text)
        known = self.ahead.answer(command, self.now, in_reach=True)
        if known is not None:
            return known.response.hex() + known.sw
        try:
            done = await self._ask(m.CApdu(session="s", command=command))
        except BadApduError as exc:
            return str(exc)
        answer = done.answer
        assert isinstance(answer, m.RApdu)
        fetched = answer.ahead
        pair = None if fetched is None else (bytes(fetched.response), int(fetched.sw, 16))
        self.ahead.put(command[0], pair, answer, self.now)
        return answer.response.hex() + answer.sw

    async def batch(self, texts: list[str]) -> list[str]:
        """Run commands in one request."""
        steps = tuple(m.Step(command=Octets.fromhex(text)) for text in texts)
        try:
            done = await self._ask(m.Batch(session="s", steps=steps))
        except BadApduError as exc:
            return [str(exc)]
        assert isinstance(done.answer, m.BatchResp)
        return [each.response.hex() + each.sw for each in done.answer.results]

    async def reset(self, kind: ResetKind) -> None:
        """Reset the card."""
        await self._ask(m.ResetReq(session="s", kind=kind))

    async def _ask(self, request: m.Forwarded) -> Any:
        self.asked += 1
        return await self.host.carry_out(self.ahead.sending(request), READER)


async def _at_once(held: Direct, function: Callable[[], T], steps: Steps | None = None, /) -> T:
    del held, steps
    return function()


def _channel(channel: Any) -> object:
    ef, adf, domain = channel.ef, channel.adf, channel.domain
    return (
        channel.directory.file_id,
        channel.record,
        None if ef is None else ef.file_id,
        None if adf is None else adf.aid,
        None if domain is None else domain.aid,
    )


def _contents(file: AnyFile) -> object:
    if isinstance(file, Directory):
        return file.file_id, [_contents(each) for each in file.children.values()]
    content = getattr(file, "content", None)
    octets = bytes(content) if content is not None else b"".join(getattr(file, "records", ()))
    return file.file_id, octets, file.deactivated
