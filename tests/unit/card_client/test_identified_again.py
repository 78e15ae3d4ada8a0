# SPDX-License-Identifier: Apache-2.0
"""When a card is asked again who it is, how much of it, and what others of its host see of that."""

import pytest

from tests.support.card_bench import Bench, attach, benched
from tests.support.world import UICC, until
from wsrc.card_client.sight import CALM_S, QUIET_MAX_S, QUIET_S, Quiet
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m


def names(bench: Bench) -> list[str]:
    """Return the names of applications that the card was asked for."""
    asked = (octets for octets in bench.gate.commands if octets[1:3] == b"\xa4\x04")
    return [octets[5 : 5 + octets[4]].hex() for octets in asked]


async def session(bench: Bench, name: str, **fields: object) -> None:
    await bench.ask(attach(name, **fields), m.AttachAck)
    bench.agent.request(m.Detach(session=name))
    await bench.hear(m.DetachAck)


async def test_a3_after_a_session_a_card_that_stayed_is_asked_for_its_iccid_alone() -> None:
    async with benched() as bench:
        assert len(names(bench)) >= 9
        bench.gate.commands.clear()
        await session(bench, "s1")
        assert names(bench) == []
        assert len(bench.gate.commands) <= 6
        assert (bench.agent.info.iccid, bench.agent.info.state) == (UICC, m.ReaderState.READY)


async def test_a3_another_card_is_asked_for_all() -> None:
    async with benched() as bench:
        bench.gate.commands.clear()
        card = bench.source.readers.remove(bench.name)
        bench.source.readers.insert(bench.name, card)
        while (await bench.hear(m.ReaderReport)).reader.insertion != 2:
            pass
        await bench.ready()
        assert len(names(bench)) >= 9


async def test_a3_a_card_that_another_program_had_is_ready_at_once_and_asked_when_it_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wsrc.card_client.sight.QUIET_S", 0.1)
    async with benched() as bench:
        bench.gate.commands.clear()
        bench.source.readers.hold(bench.name)
        while (await bench.hear(m.ReaderReport)).reader.state is not m.ReaderState.IN_USE:
            pass
        bench.source.readers.release(bench.name)
        free = (await bench.hear(m.ReaderReport)).reader
        assert (free.state, free.iccid, free.in_use) == (m.ReaderState.READY, UICC, False)
        assert bench.gate.commands == []
        await until(lambda: bool(bench.gate.commands))
        assert names(bench) == []


async def test_a2_a_card_that_went_unseen_is_not_given_to_who_selected_it() -> None:
    async with benched() as bench:
        bench.saw = lambda _: None  # type: ignore[method-assign]
        card = bench.source.readers.remove(bench.name)
        bench.source.readers.insert(bench.name, card)
        refused = await bench.ask(attach("s1"), m.Error)
        assert refused.code is ErrorCode.CARD_NOT_PRESENT


async def test_a2_a_card_that_nobody_can_have_changed_is_not_asked_at_attach() -> None:
    async with benched() as bench:
        bench.gate.commands.clear()
        await bench.ask(attach("s1", iccid=UICC), m.AttachAck)
        assert bench.gate.commands == []


async def test_a2_a_card_that_another_program_had_is_compared_with_what_selected_it() -> None:
    async with benched() as bench:
        for iccid, kind in [(UICC, m.AttachAck), ("8988211000000430028", m.Error)]:
            bench.source.readers.hold(bench.name)
            while (await bench.hear(m.ReaderReport)).reader.state is not m.ReaderState.IN_USE:
                pass
            bench.source.readers.release(bench.name)
            while (await bench.hear(m.ReaderReport)).reader.state is not m.ReaderState.READY:
                pass
            bench.gate.commands.clear()
            await bench.ask(attach("s1", iccid=iccid), kind)
            assert bench.gate.commands != []
            bench.agent.request(m.Detach(session="s1"))
            await bench.hear(m.DetachAck)


def test_a3_each_use_of_another_program_doubles_how_long_the_card_is_left_alone() -> None:
    quiet, now, waits = Quiet(), 1_000.0, []
    for _ in range(7):
        quiet.saw(now, in_use=True)
        assert quiet.due is None
        quiet.saw(now + 0.5, in_use=True)
        quiet.saw(now + 1, in_use=False)
        assert quiet.due is not None
        waits.append(quiet.due - now - 1)
        quiet.saw(now + 2, in_use=False)
        now += 10
    assert waits == [QUIET_S, 6.0, 12.0, 24.0, 48.0, QUIET_MAX_S, QUIET_MAX_S]
    now += CALM_S
    quiet.saw(now, in_use=True)
    quiet.saw(now, in_use=False)
    assert quiet.due == now + QUIET_S


def test_a3_a_card_that_nobody_else_uses_is_not_asked() -> None:
    quiet = Quiet()
    quiet.saw(5.0, in_use=False)
    assert quiet.due is None
