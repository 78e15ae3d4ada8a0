# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.requests: what is asked again when a connection was lost."""

import asyncio

import msgspec
import pytest

from tests.support.world import until
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.fields import MAX_USER_ID
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


async def test_e31_ids_begin_again_after_the_highest_and_leave_out_those_that_are_open() -> None:
    sent: list[m.Message] = []
    requests = Requests(lambda message: sent.append(message) is None, keep_s=10.0)
    open_ = requests.post(m.ListCards(), lambda _: None)
    requests._last_id = MAX_USER_ID - 1
    ids = [requests.post(m.ListCards(), lambda _: None) for _ in range(2)]
    assert (open_, ids) == (1, [MAX_USER_ID, 2])
    assert [message.id for message in sent] == [1, MAX_USER_ID, 2]


def test_13_what_a_server_reads_later_is_told_to_whoever_sees_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = Requests(lambda _: True, keep_s=10.0)
    requests.deliver(m.error(ErrorCode.TOO_MANY, "More comes than is read."))
    requests.deliver(m.error(ErrorCode.BAD_MESSAGE, "That was wrong."))
    requests.deliver(m.error(ErrorCode.TOO_MANY, "An answer that comes too late.", id=7))
    assert caplog.messages == ["The server says: More comes than is read."]
