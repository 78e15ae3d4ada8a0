# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.requests: what is asked again when a connection was lost."""

import asyncio

import msgspec

from tests.support.world import until
from wsrc.protocol import messages as m
from wsrc.user_client.core.requests import Requests


async def test_an_answer_counts_on_the_connection_of_its_request_alone() -> None:
    sent: list[m.Message] = []

    def send(message: m.Message) -> bool:
        sent.append(message)
        return True

    requests = Requests(send, keep_s=10.0)
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(requests.ask(m.ListCards(), 10.0))
        await until(lambda: len(sent) == 1)
        requests.disconnected("The connection is cut.")
        requests.connected()
        before, again = sent
        answer = m.ListCardsAck(cards=())
        requests.deliver(msgspec.structs.replace(answer, id=before.id))
        assert not asking.done()
        requests.deliver(msgspec.structs.replace(answer, id=again.id))
    assert asking.result() == msgspec.structs.replace(answer, id=again.id)
