# SPDX-License-Identifier: Apache-2.0
"""The proxy cuts where the seed says."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.soak.cutting import GREETING_OCTETS, Cut, How, Leg, cutting
from tests.support.pcsc.bench import wait_until

LIMIT_S = 10.0
SENT = bytes(range(256)) * 8
POSITION = 777


class Planned(Leg):
    """A leg whose connections are all cut in the same way."""

    def cut(self, number: int) -> Cut:
        del number
        return Cut(self.name == "to", POSITION, How(self.seed))


@contextlib.contextmanager
def sink(octets: bytes = b"") -> Iterator[tuple[int, bytearray]]:
    """Listen, send something to the first who comes, and keep what it sends."""
    got = bytearray()

    def serve(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        connection.settimeout(LIMIT_S)
        with connection, contextlib.suppress(ConnectionError):
            connection.sendall(octets)
            while more := connection.recv(65_536):
                got.extend(more)

    with socket.create_server(("localhost", 0)) as listener:
        listener.settimeout(LIMIT_S)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1], got
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def received(line: socket.socket) -> tuple[bytes, bool]:
    """Return what arrives until the end, and whether that was a reset."""
    octets = b""
    try:
        while more := line.recv(65_536):
            octets += more
    except ConnectionResetError:
        return octets, True
    return octets, False


@pytest.mark.parametrize("how", [How.CLOSE, How.RESET])
def test_what_comes_from_the_server_ends_at_the_position(how: How) -> None:
    notes: list[str] = []
    with (
        sink(SENT) as (port, _),
        cutting([(Planned("from", how, 1), port)], notes.append) as (proxy,),
        socket.create_connection(("localhost", proxy.port), LIMIT_S) as line,
    ):
        assert received(line) == (SENT[:POSITION], how is How.RESET)
        assert proxy.counts == {how: 1}
        assert notes == [f"cut from connection 1, {POSITION} octets from the server: {how}"]


def test_what_goes_to_the_server_ends_at_the_position() -> None:
    with (
        sink() as (port, got),
        cutting([(Planned("to", How.CLOSE, 1), port)], lambda _: None) as (proxy,),
        socket.create_connection(("localhost", proxy.port), LIMIT_S) as line,
    ):
        line.sendall(SENT)
        received(line)
    assert bytes(got) == SENT[:POSITION]


def test_a_silent_connection_stays_open_and_carries_nothing_more() -> None:
    with (
        sink() as (port, got),
        cutting([(Planned("to", How.SILENCE, 1), port)], lambda _: None) as (proxy,),
        socket.create_connection(("localhost", proxy.port), LIMIT_S) as line,
    ):
        line.sendall(SENT)
        wait_until(lambda: proxy.cuts == 1, LIMIT_S, "the cut")
        line.sendall(SENT)
        wait_until(lambda: len(got) >= POSITION, LIMIT_S, "what was sent before the cut")
        line.setblocking(False)
        with pytest.raises(BlockingIOError):
            line.recv(1)
    assert bytes(got) == SENT[:POSITION]


def test_a_calm_proxy_cuts_nothing() -> None:
    with (
        sink() as (port, got),
        cutting([(Planned("to", How.RESET, 1), port)], lambda _: None) as (proxy,),
    ):
        proxy.calm = True
        with socket.create_connection(("localhost", proxy.port), LIMIT_S) as line:
            line.sendall(SENT)
            line.shutdown(socket.SHUT_WR)
            received(line)
    assert bytes(got) == SENT


def test_a_seed_cuts_at_the_same_places_and_in_every_way() -> None:
    leg = Leg("user", "1f", 4_000, silence=0.1)
    cuts = [leg.cut(number) for number in range(1_000)]
    assert cuts == [leg.cut(number) for number in range(1_000)]
    assert cuts != [leg._replace(seed="20").cut(number) for number in range(1_000)]
    assert {cut.how for cut in cuts} == set(How)
    assert {cut.to_server for cut in cuts} == {False, True}
    assert max(cut.position for cut in cuts) < GREETING_OCTETS // 2 + leg.span_octets


def test_where_nobody_listens_the_client_is_told() -> None:
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        cutting([(Planned("to", How.CLOSE, 1), port)], lambda _: None) as (proxy,),
        socket.create_connection(("localhost", proxy.port), LIMIT_S) as line,
    ):
        assert received(line)[0] == b""
