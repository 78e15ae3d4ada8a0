# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.session: what a command costs that nothing is in front of."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from wsrc.errors import NotExecutedError, OutcomeUnknownError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.user_client.core.requests import Requests
from wsrc.user_client.core.session import Session

COMMAND = m.CApdu(command=Octets.fromhex("00b0000000"))
COMMANDS = 20


class Stand:
    """A session, and a server that answers in the next turn of the loop, or never."""

    def __init__(self, *, answers: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.answers = answers
        self.timers = self.turns = 0
        self.requests = Requests(self._send, 0.0)
        granted = m.SelectCardAck(identities=m.Identities(), session="s")
        self.session = Session(self.requests, m.SelectCard(), granted)

    def _send(self, message: m.Message) -> bool:
        if self.answers and isinstance(message, m.CApdu):
            answer = m.RApdu(
                id=message.id, session="s", seq=message.seq, response=Octets(), sw="9000"
            )
            self.loop.call_soon(self.requests.deliver, answer)
        return True

    def count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count timers that are set, and what is done in turns of the loop."""
        at, soon = self.loop.call_at, self.loop.call_soon

        def call_at(when: float, do: Callable[..., Any], *args: Any, **more: Any) -> Any:
            self.timers += 1
            return at(when, do, *args, **more)

        def call_soon(do: Callable[..., Any], *args: Any, **more: Any) -> Any:
            self.turns += 1
            return soon(do, *args, **more)

        monkeypatch.setattr(self.loop, "call_at", call_at)
        monkeypatch.setattr(self.loop, "call_soon", call_soon)


async def test_ends_a_command_takes_one_timer_and_two_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand = Stand()
    stand.count(monkeypatch)
    for _ in range(COMMANDS):
        await stand.session.ask(COMMAND, 20.0)
    assert (stand.timers, stand.turns) == (COMMANDS, 2 * COMMANDS)


async def test_ends_a_command_that_is_not_answered_is_given_up_in_its_time() -> None:
    stand = Stand(answers=False)
    with pytest.raises(OutcomeUnknownError):
        await stand.session.ask(COMMAND, 0.01)
    with pytest.raises(NotExecutedError, match="not answered within"):
        await stand.session.ask(COMMAND, 0.01)


async def test_ends_commands_go_out_in_the_order_of_asking() -> None:
    stand = Stand()
    done: list[int] = []

    async def ask(number: int) -> None:
        await stand.session.ask(COMMAND, 20.0)
        done.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(COMMANDS):
            tasks.create_task(ask(number))
    assert done == list(range(COMMANDS))


async def test_ends_who_gives_up_in_the_line_keeps_nobody_in_it() -> None:
    stand = Stand(answers=False)
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(stand.session.ask(COMMAND, 20.0)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in asking:
            task.cancel()
    assert not stand.session._in_line
    assert not stand.session._turn.locked()
