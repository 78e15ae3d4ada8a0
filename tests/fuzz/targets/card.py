# SPDX-License-Identifier: Apache-2.0
"""What cards send: ATR, TLV, answers to TPDUs, to the questions who they are, to what is read."""

from collections.abc import Generator
from typing import TypeVar

from wsrc.card import tlv
from wsrc.card.ahead import NextReads, clearing, leaves_waiting
from wsrc.card.apdu import (
    Response,
    channel_of,
    describe_sw,
    on_channel,
    parse_command,
    parse_response,
)
from wsrc.card.atr import read_atr
from wsrc.card.identify import identify
from wsrc.card.identity import (
    eid_from_ecasd,
    eid_from_response,
    iccid_forms,
    iccid_from_ef,
    iccid_to_ef,
    is_eid,
    normal_iccid,
)
from wsrc.card.tpdu import Channels, exchange
from wsrc.errors import BadApduError, CardTransmissionError

R = TypeVar("R")

_ATR = "3b9f96801fc78031a073be21136743200718000001a5"
_EID = "bf3e125a10" + "89882119900000000000000000007280" + "9000"
_FCP = "62178202412183022fe2a5038001718a01058b032f060180020 00a9000".replace(" ", "")
SEEDS = [
    b"\0" + bytes.fromhex(_ATR),
    b"\0" + bytes.fromhex("3b021450"),
    b"\1" + bytes.fromhex(_EID[:-4]),
    b"\1" + bytes.fromhex(_FCP),
    b"\2" + bytes.fromhex("00a40004023f0000"),
    b"\2" + bytes.fromhex("00d60000000003010203ffff"),
    b"\3" + bytes.fromhex("0700a40004022fe2" + "02611c" + "02" + "9000" + "026c0a" + "026100" * 3),
    b"\3" + bytes.fromhex("0500c0000000" + "026d00" * 2 + "016e"),
    b"\4"
    + b"".join(
        bytes([len(e) // 2]) + bytes.fromhex(e)
        for e in ("9000", "9000", "988812010000400310f09000", _EID, "6a82")
    ),
    b"\5"
    + b"".join(
        bytes([len(e) // 2]) + bytes.fromhex(e)
        for e in ("00a4000c022fe2", _FCP, "00b000000a", "9000")
    ),
]
WORDS = [
    bytes.fromhex(each)
    for each in (
        "9000",
        "6100",
        "61ff",
        "6c00",
        "6d00",
        "6e00",
        "9f0f",
        "63c3",
        "bf3e",
        "5a10",
        "1f81",
        "1fffffff",
        "8180",
        "82ffff",
        "84ffffffff",
        "00a40004",
        "00c00000",
        "00c20000",
        "00700000",
        "0070800100",
    )
]
SHARE = 20


def one(data: bytes) -> None:
    """Whatever a card says is read, or refused by the error that is meant for it."""
    what, rest = (data[0] % 6, data[1:]) if data else (0, b"")
    _KINDS[what](rest)


def _atr(octets: bytes) -> None:
    facts = read_atr(octets) if len(octets) > 1 else None
    assert facts is None or (facts.protocols and len(facts.historical) < 16)


def _tlv(octets: bytes) -> None:
    try:
        found = list(tlv.decode(octets))
    except ValueError:
        found = []
    for tag, value in found:
        assert list(tlv.decode(tlv.encode(tag, value)))[:1] == [(tag, value)] or not tag
        assert tlv.find(octets, tag) is not None
    eid_from_response(octets)
    eid_from_ecasd(octets)
    iccid = iccid_from_ef(octets)
    if iccid is not None:
        assert iccid_from_ef(iccid_to_ef(iccid)) == iccid
        assert iccid in iccid_forms(iccid)
    text = octets.decode("latin-1")
    normal_iccid(text)
    is_eid(text)


def _apdu(octets: bytes) -> None:
    try:
        command = parse_command(octets)
        assert parse_command(command.encode())[:6] == command[:6]
        assert channel_of(on_channel(command.cla, channel_of(command.cla))) < 20
    except BadApduError:
        pass
    try:
        response = parse_response(octets)
        assert response.encode() == octets
        assert describe_sw(response.sw)
    except CardTransmissionError:
        pass


def _parts(octets: bytes) -> Generator[bytes, None, None]:
    """Yield parts that begin with their length; when there are no more, the last again."""
    at, part = 0, b"\x90\x00"
    while True:
        if at < len(octets):
            part = octets[at + 1 : at + 1 + octets[at]]
            at += 1 + octets[at]
        yield part


def _tpdu(octets: bytes) -> None:
    parts = _parts(octets)
    channels = Channels()
    for _ in range(3):
        command = next(parts)
        blocks = 0

        def send(block: bytes) -> bytes:
            nonlocal blocks
            blocks += 1
            assert 5 <= len(block) <= 260
            answer = next(parts)
            channels.saw(block, answer)
            return answer

        try:
            answer = exchange(command, send, channels.open)
            assert len(answer) <= 65_536 + 258
        except BadApduError:
            assert not blocks
        except CardTransmissionError:
            pass
        assert blocks <= 1_025
        assert len(channels.open) <= 256


def _identify(octets: bytes) -> None:
    parts = _parts(octets)
    found = _run(identify(), parts)
    if found is not None:
        for eid in found.identities.eids:
            assert len(eid) == 32
        assert len(found.identities.eids) <= 16


def _run(
    questions: Generator[object, Response, R], parts: Generator[bytes, None, None]
) -> R | None:
    next(questions)
    for _ in range(300):
        try:
            questions.send(parse_response(next(parts)))
        except StopIteration as done:
            result: R = done.value
            return result
        except CardTransmissionError:
            return None
    raise AssertionError("identification does not end")


def _ahead(octets: bytes) -> None:
    parts = _parts(octets)
    ahead = NextReads(uicc=True)
    for _ in range(6):
        command, answer = next(parts), next(parts)
        if len(command) < 4 or len(answer) < 2:
            return
        ahead.asked(command)
        ahead.saw(command, answer)
        assert clearing(command)[1] == 0xB0
        reads = ahead.take()
        if reads is not None:
            _read(reads, parts)
        leaves_waiting(answer)


def _read(reads: Generator[bytes, bytes, None], parts: Generator[bytes, None, None]) -> None:
    """Answer what is read ahead; it reads and does nothing else, and it ends."""
    asked = next(reads, None)
    for _ in range(1_000):
        if asked is None:
            return
        assert asked[1] in {0xB0, 0xB2}
        assert len(asked) == 5
        answer = next(parts)
        if len(answer) < 2:
            return
        try:
            asked = reads.send(answer)
        except StopIteration:
            return


_KINDS = (_atr, _tlv, _apdu, _tpdu, _identify, _ahead)
