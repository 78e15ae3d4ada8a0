# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.endpoint: frames as a peer sends them over a socket, and what becomes of each."""

import asyncio

import pytest

from tests.support.raw_peer import LAST, TEXT, frame
from tests.support.served_peer import CLOSE, PING, PONG, Heard, close_frame, next_frame, talking
from tests.support.world import until
from wsrc.net import endpoint, outbox
from wsrc.protocol.conversation import CloseCode
from wsrc.server import pulse
from wsrc.server.pulse import Pulse

BROKE = "the connection broke without a goodbye, or its pings were not answered"


async def said(heard: Heard, count: int) -> list[bytes | str]:
    await until(lambda: len(heard.said) >= count)
    return heard.said


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 1 << 20])
async def test_a_message_of_any_length_goes_as_one_frame(size: int) -> None:
    async with talking() as (served, _, reader, _writer):
        served.forward(b"x" * size)
        assert await next_frame(reader) == (0x81, b"x" * size)


async def test_a_message_in_pieces_comes_whole_with_a_ping_amid_them() -> None:
    async with talking() as (_, heard, reader, writer):
        pieces = [frame(b"a", TEXT), frame(b"?", PING), frame(b"b", 0), frame(b"c", LAST)]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        assert await said(heard, 2) == ["ping", b"abc"]
        assert await next_frame(reader) == (PONG, b"?")


@pytest.mark.parametrize(
    ("code", "answer", "goodbye"),
    [(1000, 1000, True), (1001, 1001, True), (1002, 1002, False), (None, 1000, True)],
)
async def test_a_close_frame_is_answered_with_its_code_and_the_connection_closed(
    code: int | None, answer: int, goodbye: bool
) -> None:
    async with talking() as (_, heard, reader, writer):
        writer.write(close_frame(code, "done" if code else ""))
        assert await next_frame(reader) == (CLOSE, answer.to_bytes(2))
        assert await reader.read() == b""
        why = f"closed by the peer ({code or 1005}){': done' if code else ''}"
        assert await heard.end == (why, goodbye)


async def test_our_close_is_sent_after_what_was_said_and_its_answer_is_no_goodbye() -> None:
    async with talking() as (served, heard, reader, writer):
        served.forward(b"last")
        served.close(CloseCode.RESTARTING, "The server is restarting.")
        served.forward(b"dropped")
        assert await next_frame(reader) == (0x81, b"last")
        code, reason = (await next_frame(reader))[1][:2], "The server is restarting."
        assert int.from_bytes(code) == CloseCode.RESTARTING
        writer.write(close_frame(1000))
        assert await reader.read() == b""
        assert await heard.end == (f"closed by us (1012): {reason}", False)


async def test_a_peer_that_does_not_answer_our_close_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wsrc.net.outbox.LAST_S", 0.05)
    async with talking() as (served, heard, reader, _):
        served.close(CloseCode.POLICY, "no")
        assert (await next_frame(reader))[0] == CLOSE
        assert (await heard.end)[0] == "closed by us (1008): no"


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(b"x", 0x83), 1002),
        (frame(b"x", 0xC1), 1002),
        (frame(b"x", 0), 1002),
        (frame(b"x", TEXT) + frame(b"y", 0x81), 1002),
        (frame(b"x" * 126, PING), 1002),
        (close_frame(999), 1002),
        (frame(b"\x03", CLOSE), 1002),
        (frame(b"\x03\xe8\xff", CLOSE), 1007),
        (b"\x81\xff" + (1 << 40).to_bytes(8) + bytes(4), 1009),
    ],
    ids=["opcode", "reserved bit", "continues nothing", "begun anew", "long ping", "close code",
         "close of an octet", "close no UTF-8", "too long"],
)  # fmt: skip
async def test_who_breaks_rfc_6455_is_closed_with_its_code(octets: bytes, code: int) -> None:
    async with talking() as (_, heard, reader, writer):
        writer.write(octets)
        first, payload = await next_frame(reader)
        assert (first, int.from_bytes(payload[:2])) == (CLOSE, code)
        why, goodbye = await heard.end
        assert (why.startswith("the connection broke: "), goodbye) == (True, False)


async def test_frames_wait_while_the_speaker_may_not_go_on_and_none_is_lost() -> None:
    async with talking() as (served, heard, _, writer):
        heard.room = 3
        texts = [b"%d" % number for number in range(500)]
        writer.write(b"".join(frame(text, 0x81) for text in texts))
        assert await said(heard, 3) == texts[:3]
        await asyncio.sleep(0.01)
        assert (len(heard.said), served.waits) == (3, True)
        heard.room = 1
        served.go_on()
        assert len(heard.said) == 5, "the one that waited, and one more"
        heard.room = 1_000_000
        served.go_on()
        assert await said(heard, 500) == texts
        assert not served.waits


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (close_frame(1000), ("closed by the peer (1000)", True)),
        (close_frame(None), ("closed by the peer (1005)", True)),
        (close_frame(1011), ("closed by the peer (1011)", False)),
        (frame(b"x", 0x81), (BROKE, False)),
    ],
    ids=["goodbye", "without a code", "a fault", "none"],
)
async def test_a_goodbye_that_waits_when_the_connection_goes_was_said(
    last: bytes, end: tuple[str, bool]
) -> None:
    async with talking() as (served, heard, _, writer):
        heard.room = 1
        writer.write(frame(b"1", 0x81) + frame(b"2", 0x81) + last)
        assert await said(heard, 1) == [b"1"]
        assert served.waits
        served.lost()
        assert await heard.end == end
        assert heard.said == [b"1"]


async def test_of_pings_that_cannot_be_answered_yet_the_last_one_is() -> None:
    async with talking() as (served, heard, reader, writer):
        served.pause_writing()
        writer.write(frame(b"1", PING) + frame(b"2", PING))
        await said(heard, 2)
        served.resume_writing()
        assert await next_frame(reader) == (PONG, b"2")


async def test_what_a_peer_does_not_read_waits_in_order_and_too_much_closes() -> None:
    async with talking() as (served, _, reader, _writer):
        big = [bytes([n]) * (1 << 20) for n in range(12)]
        for text in big:
            served.forward(text)
        for text in big:
            assert await next_frame(reader) == (0x81, text)
        served.pause_writing()
        for _ in range(outbox.MAX_QUEUED_MESSAGES + 1):
            served.forward(b"x")
        assert served.closing
        served.resume_writing()
        first, payload = await next_frame(reader)
        assert (first, int.from_bytes(payload[:2])) == (CLOSE, CloseCode.TRY_AGAIN_LATER)


async def test_a_connection_that_breaks_is_told_once() -> None:
    async with talking() as (served, heard, _, writer):
        writer.transport.abort()
        assert await heard.end == (BROKE, False)
        served.forward(b"x")
        served.close(CloseCode.POLICY, "no")
        served.go_on()
        assert served.held == 0


async def test_a_fault_of_ours_closes_with_1011_and_is_told_to_the_loop() -> None:
    async with talking() as (served, heard, reader, writer):
        faults: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(str(context["exception"])))

        def fail(text: bytes) -> None:
            raise ValueError(text.decode())

        heard.text = fail  # type: ignore[method-assign]
        writer.write(frame(b"mine", 0x81))
        first, payload = await next_frame(reader)
        assert (first, int.from_bytes(payload[:2]), faults) == (CLOSE, 1011, ["mine"])
        assert served.closing


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535])
async def test_a_code_that_no_close_frame_has_breaks_the_protocol(code: int) -> None:
    async with talking() as (_, heard, reader, writer):
        writer.write(close_frame(code))
        first, payload = await next_frame(reader)
        assert (first, int.from_bytes(payload[:2])) == (CLOSE, CloseCode.PROTOCOL_ERROR)
        why, goodbye = await heard.end
        assert (why.startswith("the connection broke: "), goodbye) == (True, False)


async def test_a_peer_that_closes_while_nothing_can_be_written_is_answered() -> None:
    async with talking() as (served, heard, reader, writer):
        served.pause_writing()
        served.forward(b"never read")
        writer.write(close_frame(1000))
        assert await next_frame(reader) == (CLOSE, (1000).to_bytes(2))
        assert await reader.read() == b""
        assert (await heard.end)[1]


async def test_a_peer_that_closes_amid_a_long_queue_is_answered_and_told_nothing_more() -> None:
    async with talking() as (served, heard, reader, writer):
        served.pause_writing()
        for _ in range(3 * outbox.SENDS_A_TURN):
            served.forward(b"x")
        writer.write(frame(b"now", 0x81) + close_frame(1000))
        heard.text = lambda _: served.resume_writing()  # type: ignore[method-assign]
        for _ in range(outbox.SENDS_A_TURN):
            assert await next_frame(reader) == (0x81, b"x")
        assert await next_frame(reader) == (CLOSE, (1000).to_bytes(2))
        assert await reader.read() == b""


async def test_after_a_close_frame_no_ping_and_no_pong_is_sent() -> None:
    async with talking() as (served, _, reader, writer):
        served.close(CloseCode.POLICY, "no")
        served.probe()
        writer.write(frame(b"?", PING) + close_frame(1000))
        assert (await next_frame(reader))[0] == CLOSE
        assert await reader.read() == b""


async def test_a_fault_of_ours_amid_frames_that_waited_closes_as_well() -> None:
    async with talking() as (served, heard, reader, writer):
        faults: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(str(context["exception"])))
        heard.room = 0
        writer.write(frame(b"mine", 0x81) + frame(b"next", 0x81))
        await until(lambda: served.waits)

        def fail(text: bytes) -> None:
            raise ValueError(text.decode())

        heard.text = fail  # type: ignore[method-assign]
        served.go_on()
        first, payload = await next_frame(reader)
        assert (first, int.from_bytes(payload[:2]), faults) == (CLOSE, 1011, ["mine"])
        assert not served.waits


async def test_want_of_memory_for_a_frame_is_no_bug() -> None:
    async with talking() as (_, heard, reader, writer):

        def fail(text: bytes) -> None:
            raise MemoryError

        heard.text = fail  # type: ignore[method-assign]
        writer.write(frame(b"long", 0x81))
        first, payload = await next_frame(reader)
        assert (first, int.from_bytes(payload[:2])) == (CLOSE, CloseCode.TRY_AGAIN_LATER)


async def test_frames_without_payload_that_wait_are_counted() -> None:
    async with talking() as (served, heard, _, writer):
        heard.room = 0
        writer.write(frame(b"", PING) * 1000)
        await until(lambda: served.waits)
        await until(lambda: served.held == 1000 * endpoint.FRAME_OCTETS)
        heard.room = 1_000_000
        served.go_on()
        assert served.held == 0


async def test_what_comes_after_a_close_frame_is_not_held() -> None:
    async with talking() as (served, heard, reader, writer):
        writer.write(frame(b"begun", TEXT) + close_frame(1000) + frame(b"x" * 100_000, LAST))
        assert (await next_frame(reader))[0] == CLOSE
        await heard.end
        assert served.held == 0


class TestPulse:
    async def test_a_silent_peer_is_pinged_and_one_that_does_not_answer_is_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulse, "PARTS", 4)
        async with talking() as (served, heard, reader, _):
            beat = Pulse(0.1)
            beat.enter(1, served)
            assert await next_frame(reader) == (PING, b"")
            assert "pings were not answered" in (await heard.end)[0]
            beat.stop()

    async def test_a_peer_that_answers_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pulse, "PARTS", 4)
        async with talking() as (served, heard, reader, writer):
            beat = Pulse(0.1)
            beat.enter(1, served)
            for _ in range(5):
                assert await next_frame(reader) == (PING, b"")
                writer.write(frame(b"", PONG))
            assert not heard.end.done()
            beat.stop()

    async def test_a_peer_that_has_to_wait_is_not_taken_for_dead(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulse, "PARTS", 2)
        async with talking() as (served, heard, _, writer):
            heard.room = 0
            writer.write(frame(b"x", 0x81))
            await until(lambda: served.waits)
            beat = Pulse(0.02)
            beat.enter(1, served)
            await asyncio.sleep(0.2)
            assert not heard.end.done()
            beat.stop()

    async def test_a_peer_that_reads_is_there_though_it_says_nothing(self) -> None:
        async with talking() as (served, *_):
            served.pause_writing()
            served.heard = False
            served.probe()
            assert served.pinged, "it could not be asked"
            served.resume_writing()
            assert (served.heard, served.pinged) == (True, False)

    async def test_a_peer_that_left_is_not_looked_after(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulse, "PARTS", 2)
        async with talking() as (served, heard, *_):
            beat = Pulse(0.02)
            beat.enter(1, served)
            beat.leave(1)
            beat.leave(1)
            await asyncio.sleep(0.1)
            assert not served.pinged
            assert not heard.end.done()
            beat.stop()
