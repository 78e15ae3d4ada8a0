# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.card_clients: what card clients report and answer, in time and out of place."""

import pytest

from tests.support.relay_clients import ATR, ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m


def held(world: World, *others: m.ReaderInfo) -> tuple[CardClient, Peer, str]:
    """A card in the hands of a user; from now on its card client does nothing by itself."""
    card, user = world.card(reader(), *others), world.user(name="user")
    session = user.hold(reader="r1")
    card.auto = False
    return card, user, session


def test_readers_beyond_the_limit_are_refused() -> None:
    world = World(max_readers_per_card_client=2)
    card = world.card(reader("r1"), reader("r2"))
    card.report(reader("r3"))
    refused = card.one(m.Error)
    assert code_of(refused) is ErrorCode.TOO_MANY
    assert refused.message == "Too many readers: 2 are registered; 'Reader r3' was refused."
    card.report(reader("r2", label="known ones are still reported"))
    assert card.quiet()
    assert world.relay.counts["readers"] == 2


@pytest.mark.parametrize(
    "unfit",
    [
        reader("r" * 257),
        reader(label="x" * 257),
        reader(iccid="8" * 257),
        reader(eids=("8" * 257,)),
        reader(eids=("89",) * 17),
        reader(atr=Octets(34)),
    ],
)
def test_a_reader_that_is_described_without_measure_is_not_entered(unfit: m.ReaderInfo) -> None:
    world = World()
    card = world.card()
    card.report(unfit)
    assert code_of(card.one(m.Error)) is ErrorCode.BAD_MESSAGE
    assert world.relay.counts["readers"] == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (m.ReaderReport(reader=empty()), ErrorCode.CARD_NOT_PRESENT),
        (m.ReaderReport(reader=reader(insertion=2)), ErrorCode.CARD_NOT_PRESENT),
        (
            m.ReaderReport(reader=reader(state=m.ReaderState.UNAVAILABLE)),
            ErrorCode.READER_UNAVAILABLE,
        ),
        (m.ReaderGone(reader="r1"), ErrorCode.READER_UNAVAILABLE),
        (None, ErrorCode.CARD_CLIENT_GONE),
    ],
)
@pytest.mark.parametrize("busy", [True, False])
def test_a_card_that_goes_ends_its_session_with_what_is_known_of_the_command(
    change: m.Message | None, code: ErrorCode, busy: bool
) -> None:
    world = World()
    card, user, session = held(world)
    command = user.command(session) if busy else None
    card.say(change) if change is not None else card.leave()
    if command is not None:
        refused = user.next(m.Error)
        assert (refused.id, refused.outcome) == (command.id, Outcome.UNKNOWN)
        assert code_of(refused) is code
    assert user.one(m.SessionEnded).code is code
    refused = user.refused(m.CApdu(id=99, session=session, command=Octets(4)))
    assert (code_of(refused), refused.outcome) == (code, Outcome.NOT_EXECUTED)
    assert any(
        n.startswith("user lost 894902…5678 in Reader r1 at bench after ") and session[:8] in n
        for n in world.notes
    )


@pytest.mark.parametrize("going", [m.ReaderReport(reader=empty()), m.ReaderGone(reader="r1"), None])
def test_a_card_that_goes_while_attaching_refuses_the_select(going: m.Message | None) -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    card.say(going) if going is not None else card.leave()
    assert user.one(m.Error).outcome is Outcome.NOT_EXECUTED
    assert world.relay.counts["sessions"] == 0


def test_a_card_that_goes_while_it_is_reset_is_forgotten() -> None:
    world = World()
    card, user, session = held(world)
    user.leave()
    card.report(reader(insertion=2))
    card.say(m.DetachAck(session=session))
    card.auto = True
    world.user().select(iccid=ICCID)


def test_who_waits_gets_the_next_card_not_the_last() -> None:
    world = World()
    card, _, _ = held(world)
    desk = world.user()
    desk.say(m.SelectCard(id=1, reader="r1", wait_s=60))
    desk.one(m.Waiting)
    card.report(reader(insertion=2, iccid="8949020000099999999"))
    attach = card.one(m.Attach)
    assert attach.insertion == 2
    card.answer(attach)
    assert desk.one(m.SelectCardAck).identities.iccid == "8949020000099999999"


def test_who_waits_goes_on_waiting_when_the_session_ends_for_the_card_is_gone() -> None:
    world = World()
    card, _, session = held(world)
    desk = world.user()
    desk.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    desk.one(m.Waiting)
    gone = ErrorCode.CARD_NOT_PRESENT
    card.say(m.SessionEnded(session=session, code=gone, message="It was taken out."))
    card.report(empty())
    assert desk.quiet()
    assert card.quiet()
    card.report(reader(insertion=2))
    card.answer(card.one(m.Attach))
    desk.one(m.SelectCardAck)


@pytest.mark.parametrize("code", [ErrorCode.CARD_UNRESPONSIVE, None])
def test_an_attach_that_is_refused_is_told_to_the_user(code: ErrorCode | None) -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    session = card.one(m.Attach).session
    card.say(m.Error(session=session, code=code, message="It does not answer."))
    refused = user.one(m.Error)
    assert (refused.id, refused.outcome) == (1, Outcome.NOT_EXECUTED)
    assert refused.message == "It does not answer."
    assert code_of(refused) is (code or ErrorCode.CARD_TRANSMISSION_ERROR)
    card.auto = True
    if code is None:
        user.select(iccid=ICCID)
    else:
        assert code_of(user.refused(m.SelectCard(id=2, iccid=ICCID))) is code


def test_an_error_of_a_command_is_passed_on() -> None:
    world = World()
    card, user, session = held(world)
    command = user.command(session)
    fault = m.error(ErrorCode.CARD_TRANSMISSION_ERROR, "Parity.", id=command.id, session=session)
    card.say(fault)
    assert user.one(m.Error) == fault
    card.auto = True
    user.command(session)
    user.one(m.RApdu)


def test_answers_to_nothing_are_dropped() -> None:
    world = World()
    card, user, session = held(world)
    answer = m.RApdu(id=1, session=session, response=Octets(), sw="9000")
    for late in (
        answer,
        m.Error(id=1, session=session, message="Late."),
        m.CancelAck(id=1, session=session, cancelled=True),
        m.DetachAck(session=session),
        m.AttachAck(session=session, atr=ATR),
        m.BatchResp(id=1, session="nobody's", results=()),
        m.DetachAck(session="nobody's"),
        m.AttachAck(session="nobody's", atr=ATR),
        m.CancelAck(id=1, cancelled=True),
        m.SessionEnded(session="nobody's", code=ErrorCode.INTERNAL, message="?"),
        m.ReaderGone(reader="unknown"),
    ):
        card.say(late)
    assert user.quiet()
    assert card.quiet()
    assert world.relay.counts["sessions"] == 1


def test_answers_with_a_wrong_id_or_session_are_dropped() -> None:
    world = World()
    card, user, session = held(world)
    command = user.command(session)
    answer = m.RApdu(id=command.id, session=session, response=Octets(), sw="9000")
    card.say(m.RApdu(id=99, session=session, response=Octets(), sw="9000"))
    card.say(m.RApdu(id=command.id, response=Octets(), sw="9000"))
    card.say(m.Error(id=99, session=session, message="Wrong."))
    assert user.quiet()
    card.say(answer)
    card.say(answer)
    assert user.one(m.RApdu).id == command.id


def test_a_card_client_cannot_speak_for_a_session_of_another() -> None:
    world = World()
    _, user, session = held(world)
    command = user.command(session)
    other = world.card(reader("x", "8949020000099999999"), auto=False)
    for forged in (
        m.RApdu(id=command.id, session=session, response=Octets(), sw="9000"),
        m.Error(id=command.id, session=session, message="Forged."),
        m.SessionEnded(session=session, code=ErrorCode.INTERNAL, message="Forged."),
        m.CancelAck(id=command.id, session=session, cancelled=True),
    ):
        other.say(forged)
    assert user.quiet()
    user.leave()
    other.say(m.DetachAck(session=session))
    assert world.relay.counts["sessions"] == 1
    assert any("says: Forged." in note for note in world.notes)


def test_an_answer_of_another_kind_is_an_error_with_unknown_outcome() -> None:
    world = World()
    world.seal = "off"
    card, user, session = held(world)
    command = user.command(session)
    card.say(m.ResetResp(id=command.id, session=session, atr=ATR))
    refused = user.one(m.Error)
    assert refused.id == command.id
    assert code_of(refused) is ErrorCode.CARD_TRANSMISSION_ERROR
    assert refused.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("sw", ["", "9", "900", "90000", "90g0", "٩٠٠٠"])
@pytest.mark.parametrize("batch", [True, False])
def test_a_status_word_that_is_none_ends_the_connection(sw: str, batch: bool) -> None:
    world = World()
    world.seal = "off"
    card, user, session = held(world)
    command = user.command(session)
    results = (m.StepResult(response=Octets(), sw=sw),)
    card.say(
        m.BatchResp(id=command.id, session=session, results=results)
        if batch
        else m.RApdu(id=command.id, session=session, response=Octets(), sw=sw)
    )
    assert card.closed == (1002, "A status word has four hexadecimal digits.")
    assert code_of(user.next(m.Error)) is ErrorCode.CARD_CLIENT_GONE
    user.one(m.SessionEnded)


def test_a_reader_that_fails_harms_no_other() -> None:
    world = World()
    card, user, session = held(world, reader("r2"))
    other = world.user()
    card.auto = True
    second = other.hold(reader="r2")
    card.say(m.ReaderGone(reader="r1"))
    assert user.one(m.SessionEnded).session == session
    other.command(second)
    other.one(m.RApdu)


def test_a_card_client_that_goes_takes_all_its_cards_with_it() -> None:
    world = World()
    card, user, _ = held(world, reader("r2"), empty("r3"))
    waiting = world.user()
    waiting.say(m.SelectCard(id=1, iccid=ICCID, reader="r1", wait_s=60))
    waiting.one(m.Waiting)
    card.leave()
    assert user.one(m.SessionEnded).message == (
        "The connection of card host bench to the server is lost."
    )
    counts = world.relay.counts
    assert (counts["cards"], counts["readers"], counts["keys"]) == (0, 0, 0)
    assert counts["waiting"] == 1
    world.card(reader())
    waiting.one(m.SelectCardAck)
