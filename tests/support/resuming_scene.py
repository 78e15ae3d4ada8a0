# SPDX-License-Identifier: Apache-2.0
"""A user with a card and a session that can be resumed; what they and their card client say."""

from typing import NamedTuple

from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, reader
from wsrc.card.slot import Share
from wsrc.octets import Octets
from wsrc.protocol import messages as m

SECRET = "5e" * 32
FEATURES = ("batch", "cancel", "pcsc", "raw_tpdu", "resume", "seal", "share")
COMMAND = Octets.fromhex("00a40004023f00")


class Scene(NamedTuple):
    """A card that is held by a user whose session can be resumed."""

    world: World
    card: CardClient
    user: Peer
    session: str


def scene(keep_s: float = 60.0, *, share: Share = Share.EXCLUSIVE, **limits: float) -> Scene:
    """Set the scene."""
    world = World(**limits)
    card = world.card(reader(), features=FEATURES, instance="c")
    user = world.user(name="user", instance="u")
    session = select(user, keep_s, share).session
    assert session is not None
    return Scene(world, card, user, session)


def select(user: Peer, keep_s: float = 60.0, share: Share = Share.EXCLUSIVE) -> m.SelectCardAck:
    """Select the card with a secret."""
    return user.ask(wish(user, keep_s, share), m.SelectCardAck)


def wish(user: Peer, keep_s: float = 60.0, share: Share = Share.EXCLUSIVE) -> m.SelectCard:
    """Say which card is wanted."""
    return m.SelectCard(
        id=user.new_id(), iccid=ICCID, secret=SECRET, keep_s=keep_s, share=share, wait_s=0
    )


def resume(user: Peer, session: str, secret: str = SECRET, seq: int = 0) -> m.Resume:
    """Claim a session on a connection."""
    return m.Resume(
        id=user.new_id(), session=session, secret=secret, seq=seq, host="bench", reader="r1"
    )


def running(session: str, **fields: object) -> m.RunningSession:
    """Describe a session that a card client kept."""
    given = {"reader": "r1", "insertion": 1, "holder": "user", "keep_s": 60.0, **fields}
    return m.RunningSession(session=session, **given)  # type: ignore[arg-type]  # fields by name


def comes_back(
    world: World, card: CardClient, *sessions: m.RunningSession, auto: bool = True
) -> CardClient:
    """Let a card client connect again with what it kept."""
    return world.card(
        reader(), features=FEATURES, instance="c", before=card, sessions=sessions, auto=auto
    )


def seq_command(user: Peer, session: str, seq: int) -> m.CApdu:
    """Send a numbered command."""
    command = m.CApdu(id=user.new_id(), session=session, command=COMMAND, seq=seq)
    user.say(command)
    return command


def holder_of(world: World) -> m.LeaseInfo | None:
    """Return who holds the card, as others are told."""
    listed = world.user().ask(m.ListCards(id=1), m.ListCardsAck)
    return listed.cards[0].lease
