# SPDX-License-Identifier: Apache-2.0
"""Exchanges as GSMTAP on a network, where nobody need listen (issue 13, 4)."""

import socket
import threading

import pytest

from tests.support.gsmtap import read_gsmtap
from wsrc.trace.tracer import Options, Traced, Tracer

SELECT = bytes.fromhex("00a40004023f00")
OK = b"\x90\x00"
LIMIT_S = 60.0


@pytest.mark.parametrize("before", [1, 2])
def test_13_no_datagram_is_lost_because_one_before_it_was_refused(
    monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Whoever captures what is sent, as Wireshark does, has no socket there."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    tracer = Tracer(Options(gsmtap=address))
    try:
        sent = threading.Semaphore(0)
        send = tracer._to_gsmtap

        def told(traced: list[Traced]) -> None:
            send(traced)
            sent.release(len(traced) or 1)

        monkeypatch.setattr(tracer, "_to_gsmtap", told)
        card = tracer.card("Reader 00")
        for _ in range(before):
            card.exchanged("1f2e3d4c5b6a", SELECT, OK)
            assert sent.acquire(timeout=LIMIT_S)
        with socket.socket(type=socket.SOCK_DGRAM) as wireshark:
            wireshark.settimeout(LIMIT_S)
            wireshark.bind(address)
            card.exchanged("1f2e3d4c5b6a", SELECT, OK)
            assert read_gsmtap(wireshark.recv(65_535)) == (0, SELECT + OK)
    finally:
        tracer.close()
