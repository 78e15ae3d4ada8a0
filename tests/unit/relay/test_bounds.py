# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: a lease is used between its two resets only, and a command has its time."""

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, code_of, reader
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m

COMMAND = Octets.fromhex("00a40000")


def test_a_lease_is_not_used_before_its_card_was_reset() -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    session = card.one(m.Attach).session
    refused = user.refused(m.CApdu(id=2, session=session, command=COMMAND))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    assert refused.outcome is Outcome.NOT_EXECUTED
    assert card.quiet()


def test_a_batch_has_twice_the_time_of_a_command() -> None:
    world = World(command_s=10.0)
    card, user = world.card(reader()), world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    user.say(m.Batch(id=2, session=session, steps=(m.Step(command=COMMAND),)))
    world.pass_time(19.0)
    assert user.quiet()
    world.pass_time(1.0)
    assert code_of(user.next(m.Error)) is ErrorCode.COMMAND_TIMEOUT
