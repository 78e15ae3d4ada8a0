# SPDX-License-Identifier: Apache-2.0
"""What a program gives that is none: a sentence at once, nothing sent, and the client usable."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.scripted_server import card, card_host, in_thread, scripted
from wsrc import aio, blocking
from wsrc.errors import ConfigError, LocalProtocolError

READ = bytes.fromhex("00b0000000")
HOST = card_host([card(1)], {READ.hex(): ("0102", "9000")})

OF_A_CLIENT: dict[str, Callable[[Any], Any]] = {
    "imsi": lambda c: c.list_cards(imsi="901"),
    "iccid must be text, not int": lambda c: c.list_cards(iccid=8988),
    "wait_s must be a number, not str": lambda c: c.select(any="x", wait_s="5"),
    "must be 0 or more seconds": lambda c: c.select(any="x", wait_s=-1),
    "raw_tpdu must be True or False": lambda c: c.select(any="x", raw_tpdu="no"),
    "read_ahead must be True or False": lambda c: c.select(any="x", read_ahead="no"),
    "share must be one of": lambda c: c.select(any="x", share="alone"),
    "protocols must be a list": lambda c: c.select(any="x", protocols="T1"),
    "on_waiting must be a function": lambda c: c.select(any="x", on_waiting="x"),
    "label must be text": lambda c: c.select(label=b"blue"),
}
WATCHES: dict[str, Callable[[Any], Any]] = {
    "eid must be text": lambda c: c.watch(eid=89),
    "since must be a mark": lambda c: c.watch_readers(5),
    "since must be a mark ": lambda c: c.watch_readers(("run", "1")),
}
OF_A_CARD: dict[str, Callable[[Any], Any]] = {
    "command must be bytes, not str": lambda c: c.transmit(READ.hex()),
    "command must be bytes, not list": lambda c: c.transmit([0, 0xB0, 0, 0, 0]),
    "steps must be a list, not bytes": lambda c: c.batch(READ),
    "command 2 must be bytes, not str": lambda c: c.batch([READ, READ.hex()]),
    "command 1 must be bytes, not str": lambda c: c.batch([aio.Step(READ.hex())]),
    "expect of command 1 must be a list": lambda c: c.batch([aio.Step(READ, "9000")]),
    "expected of command 1 must be text": lambda c: c.batch([aio.Step(READ, (0x9000,))]),
    "kind must be one of cold, warm": lambda c: c.reset("hot"),
    "initialization must be one of": lambda c: c.reconnect(initialization="reset it"),
    "share must be one of": lambda c: c.reconnect(share=1),
    "protocols must be one of": lambda c: c.reconnect(protocols=["T2"]),
    "disposition must be one of": lambda c: c.end(disposition="hold"),
    "disposition must be one of ": lambda c: c.abandon(disposition="hold"),
    "disposition must be one of  ": lambda c: c.detach(disposition="hold"),
    "number must be a whole number": lambda c: c.control("3400"),
    "octets must be bytes": lambda c: c.control(3400, "00"),
    "name must be text": lambda c: c.get_attribute(0x00010100),
    "value must be bytes": lambda c: c.set_attribute("vendor_name", "x"),
    "tell must be a function": lambda c: c.when_over(None),
}


@pytest.mark.parametrize(("sentence", "wrong"), OF_A_CLIENT.items())
async def test_of_a_client(sentence: str, wrong: Callable[[Any], Any]) -> None:
    async with scripted(HOST) as url, aio.Client(url) as client:
        with pytest.raises(LocalProtocolError, match=sentence.strip()):
            await wrong(client)
        assert len(await client.list_cards()) == 1


@pytest.mark.parametrize(("sentence", "wrong"), WATCHES.items())
async def test_of_a_watch(sentence: str, wrong: Callable[[Any], Any]) -> None:
    async with scripted(HOST) as url, aio.Client(url) as client:
        with pytest.raises(LocalProtocolError, match=sentence.strip()):
            await anext(wrong(client))
        assert (await anext(client.watch())).card.reader == "reader-1"


@pytest.mark.parametrize(("sentence", "wrong"), OF_A_CARD.items())
async def test_of_a_card(sentence: str, wrong: Callable[[Any], Any]) -> None:
    async with (
        scripted(HOST) as url,
        aio.Client(url) as client,
        client.select(iccid="89860000000000000001") as mine,
    ):
        with pytest.raises(LocalProtocolError, match=sentence.strip()) as caught:
            await result if (result := wrong(mine)) is not None else None
        assert READ.hex() not in str(caught.value)
        with pytest.raises(LocalProtocolError, match="disposition must be one of"):
            await mine.transaction(disposition="hold").__aenter__()
        assert await mine.transmit(bytearray(READ)) == (b"\1\2", 0x9000)
        steps: Any = [aio.Step(memoryview(READ), ["9000"]), memoryview(READ)]
        assert len((await mine.batch(steps)).results) == 2


def test_without_asyncio() -> None:
    with in_thread(HOST) as url, blocking.Client(url) as client:
        for sentence, wrong in OF_A_CLIENT.items():
            with pytest.raises(LocalProtocolError, match=sentence.strip()):
                wrong(client)
        for sentence, wrong in WATCHES.items():
            with pytest.raises(LocalProtocolError, match=sentence.strip()):
                next(wrong(client))
        with client.select(iccid="89860000000000000001") as mine:
            for sentence, wrong in OF_A_CARD.items():
                with pytest.raises(LocalProtocolError, match=sentence.strip()):
                    wrong(mine)
            with (
                pytest.raises(LocalProtocolError, match="disposition must be one of"),
                mine.transaction(disposition="hold"),
            ):
                pytest.fail("There is no such disposition.")
            assert mine.transmit(memoryview(READ)) == (b"\1\2", 0x9000)


@pytest.mark.parametrize("module", [aio, blocking])
@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"url": 5}, "server_url: must be text"),
        ({"url": "http://x"}, "server_url: 'http://x' is not of the form"),
        ({"ca": 5}, "tls_ca: must be the name of a file"),
        ({"name": b"me"}, "name: must be text"),
        ({"name": ""}, "name: must be text"),
        ({"timeout_s": "5"}, "timeout_s: must be a number above 0"),
        ({"timeout_s": 0}, "timeout_s: must be a number above 0"),
        ({"connect_s": float("nan")}, "connect_s: must be a number above 0"),
        ({"ping_s": True}, "ping_s: must be a number above 0"),
        ({"keep_s": -1}, "keep_s: must be a number from 0"),
    ],
)
def test_what_a_client_is_made_with_is_a_setting(
    module: Any, given: dict[str, Any], setting: str
) -> None:
    with pytest.raises(ConfigError, match=setting):
        module.Client(**{"url": "ws://localhost:1"} | given)
