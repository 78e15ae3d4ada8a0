# SPDX-License-Identifier: Apache-2.0
"""A relay with a drawn policy, drawn cards, and what an evaluator says of each request."""

import json
from collections import Counter
from itertools import chain
from typing import Any

import msgspec

from tests.support import policy_table as table
from tests.support.models import authorisation as book
from tests.support.models.authorisation import Verdict
from tests.support.policies import ICCID
from tests.support.relay_clients import ATR, CardClient, Peer
from tests.support.relay_world import World
from wsrc.card.slot import CardProtocol, Disposition, Initialization, ResetKind, Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.policy.reading import read
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode, tag_of
from wsrc.protocol.kinds import resets, wish_of

FEATURES = ("batch", "cancel", "pcsc", "raw_tpdu", "resume", "seal", "share")
COMMAND = Octets.fromhex("00a40004023f00")

REQUESTS: tuple[tuple[type[m.Forwarded], dict[str, Any]], ...] = (
    (m.CApdu, {"command": COMMAND}),
    (m.Batch, {"steps": (m.Step(COMMAND),)}),
    (m.ResetReq, {}),
    (m.ResetReq, {"kind": ResetKind.WARM}),
    (m.Status, {}),
    (m.Control, {"number": 1, "data": Octets()}),
    (m.GetAttribute, {"name": "ATTR_ATR_STRING"}),
    (m.SetAttribute, {"name": "ATTR_X", "value": Octets()}),
    (m.BeginTransaction, {}),
    (m.EndTransaction, {}),
    *((m.EndTransaction, {"disposition": each}) for each in Disposition if each != "leave"),
    *((m.Reconnect, {"initialization": each}) for each in Initialization),
    *(
        (m.Reconnect, {"initialization": how, "share": share})
        for how in (Initialization.LEAVE, Initialization.RESET)
        for share in Share
    ),
)  # fmt: skip
"""All that is asked within a session, in this order."""


def in_boxes(request: m.Forwarded) -> m.Sealed:
    """Return a request of a session as one that is sealed, with what is told outside of the box."""
    wish = request.share if isinstance(request, m.Reconnect) else None
    return m.Sealed(
        id=request.id, session=request.session or "", of=tag_of(request), box=b"box",
        share=wish, resets=resets(request),
    )  # fmt: skip


GONE = (ErrorCode.NO_SUCH_CARD, None)
FORBIDDEN = (ErrorCode.FORBIDDEN, Outcome.NOT_EXECUTED)


class Served:
    """A relay with a policy, the readers of four card hosts and one of the first form."""

    def __init__(self, number: int) -> None:
        self.says = table.policy(table.drawn("policy", number))
        self.text = table.written(self.says)
        self.world = World(policy=read(self.text, "policy.toml").policy, max_waiting=1000)
        self.judged: Counter[Verdict] = Counter()
        self.hosts: list[CardClient] = []
        self.things: dict[book.Thing, CardClient | None] = {}
        draw = table.drawn("served", number)
        for host in table.HOSTS:
            drawn = [table.thing(draw, host, 1 + at) for at in range(draw.randint(1, 3))]
            self._connect(host, drawn)
        old, called = table.OLD_HOST
        self.old = self.world.old_card(draw.choice((ICCID, "8949020000000000018")), who=old.name)
        named = book.Thing(old, called, "first-form-card-client", called, atr=ATR.hex())
        shown = f"{named.reader}@{old.name} ({called})"
        thing = book.Thing(**{**vars(named), "iccid": self.old.iccid, "shown": shown})
        self.things[thing] = None

    def _connect(self, host: tuple[book.Who, str], drawn: list[book.Thing]) -> None:
        who, called = host
        card = self.world.card(
            *map(described, drawn), name=called, who=principal(who), features=FEATURES
        )
        card.texts.clear()
        card.atrs = {each.reader: Octets.fromhex(each.atr or "") for each in drawn}
        self.hosts.append(card)
        for each in drawn:
            shown = f"{each.reader}@{card.shown_as}"
            self.things[book.Thing(**{**vars(each), "shown": shown})] = card

    def obey(self, number: int) -> None:
        """Put the policy of another number into force, and let it be looked at everywhere."""
        self.says = table.policy(table.drawn("policy", number))
        self.text = table.written(self.says)
        self.world.obey(read(self.text, "policy.toml").policy)

    def user(self, who: book.Who, *, first_form: bool = False) -> Peer:
        return self.world.user(who=principal(who), name=None, first_form=first_form)

    def visible(self, who: book.Who) -> list[book.Thing]:
        return [each for each in self.things if self.verdict(who, each) is not Verdict.HIDDEN]

    def verdict(self, who: book.Who, thing: book.Thing, verb: str = "list") -> Verdict:
        return book.verdict(self.says, who, thing, frozenset((verb,)))

    def watches(self, who: book.Who) -> bool:
        return book.watches(self.says, who)

    def judge(
        self, who: book.Who, thing: book.Thing, request: m.Message, share: str = "exclusive"
    ) -> Verdict:
        asked = json.loads(encode(request))
        verdict = book.verdict(self.says, who, thing, book.needs(asked, share))
        self.judged[verdict] += 1
        return verdict

    def heard(self) -> int:
        """Return how many messages card hosts have been sent."""
        return sum(len(host.texts) for host in (*self.hosts, self.old))


def principal(who: book.Who) -> Principal | None:
    return None if who.name is None else Principal(who.name, who.groups)


def described(thing: book.Thing) -> m.ReaderInfo:
    """Return what a card client says of a reader."""
    return m.ReaderInfo(
        reader=thing.reader,
        name=thing.name,
        state=m.ReaderState(thing.state),
        atr=None if thing.atr is None else Octets.fromhex(thing.atr),
        iccid=thing.iccid,
        eids=thing.eids,
        label=thing.label,
        protocol=None if thing.protocol is None else CardProtocol(thing.protocol),
    )


def refusal(message: m.Message) -> tuple[ErrorCode | None, Outcome | None] | None:
    return (message.code, message.outcome) if isinstance(message, m.Error) else None


def taken(user: Peer, request: m.SelectCard) -> m.Message:
    """Select a card; who would have to wait gives up. Return the first answer."""
    user.say(request)
    answer = user.inbox.pop(0)
    if isinstance(answer, m.Waiting):
        user.say(m.Cancel(id=user.new_id(), target=request.id or 0))
    user.inbox.clear()
    return answer


def use(
    served: Served, who: book.Who, user: Peer, thing: book.Thing, session: str, share: Share
) -> None:
    """Ask for everything within a session, and give the card back."""
    plain = (kind(session=session, **fields) for kind, fields in REQUESTS)
    for each in chain.from_iterable((one, in_boxes(one)) for one in plain):
        request = msgspec.structs.replace(each, id=user.new_id())
        verdict, heard = served.judge(who, thing, request, share.value), served.heard()
        user.say(request)
        answer = user.one(m.Message)
        forbidden = refusal(answer) == FORBIDDEN
        assert forbidden == (verdict is Verdict.FORBIDDEN), (who, thing, request, answer)
        assert not (forbidden and served.heard() != heard)
        if not isinstance(answer, m.Error):
            share = wish_of(request) or share
    user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)
