# SPDX-License-Identifier: Apache-2.0
"""
Odd cards and readers that the field has, as data.

`raw` is sent to the reader as it is. `apdus` are command APDUs, each with the response APDU that
a user must be given who leaves T=0 to the card host.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.support.ifd.calls import Ifd
from tests.support.ifd.reader import OddCard, OddReader
from tests.support.ifd.scripts import Fails, Ready, Rule, Script
from wsrc.card.pcsc_numbers import PROTOCOL_ANY, PROTOCOL_T0

ATR_SHORTEST = "3b00"
ATR_LONGEST = "3bff11000081f1fe4500ff1122333f4455000102030405060708090a0b0c0d0efb"
ATR_INVERSE = "3f65250822046890 00"
ATR_TA2_T0, ATR_TA2_T1 = "3b801000", "3b80110190"
ATR_T14, ATR_T15 = "3b800e8e", "3b800f8f"
ATR_CONTACTLESS = "3b8f8001804f0ca0000003060300030000000068"
ATR_MULTIFLEX = "3b3215000680"
ATR_SIM = "3b3a9400 9204 7121 0062 ff00"
ATR_UICC = "3b9095801fc75d"
ATR_T0, ATR_T1, ATR_BOTH = "3b021450", "3b800181", "3b80800101"

SELECT_MF = "00a40000023f00"


class Exhibit(NamedTuple):
    """
    One card or reader of the gallery; `cards` makes new ones for each test.

    `usable` is whether a program can talk to the card at all, and `protocols` (a mask) in which it
    must ask to.
    """

    name: str
    cards: Callable[[], Sequence[OddCard | None]]
    raw: Sequence[str] = (SELECT_MF,)
    apdus: Mapping[str, str] = {}
    usable: bool = True
    protocols: int = PROTOCOL_ANY

    def reader(self) -> OddReader:
        """Make the reader, with its cards in it."""
        return OddReader(self.name, *self.cards())


def one(atr: str, rules: Mapping[str, Rule], **more: Any) -> Callable[[], Sequence[OddCard]]:
    """Describe a reader with one slot and one card."""
    return lambda: [_card(atr, rules, **more)]


def _card(atr: str, rules: Mapping[str, Rule], **more: Any) -> OddCard:
    return OddCard(bytes.fromhex(atr), Script(rules), **more)


def _slow() -> Sequence[OddCard]:
    script, never = Script({SELECT_MF: "9000"}), threading.Event()

    def answer(octets: bytes, t: int) -> bytes:
        never.wait(0.03)
        return script(octets, t)

    return [OddCard(bytes.fromhex(ATR_T0), answer)]


FF = "ab" * 255
LONG = "cd" * 65_000

GALLERY: Sequence[Exhibit] = (
    Exhibit("shortest ATR", one(ATR_SHORTEST, {SELECT_MF: "9000"})),
    Exhibit("longest ATR", one(ATR_LONGEST, {SELECT_MF: "6f009000"})),
    Exhibit("inverse convention", one(ATR_INVERSE, {SELECT_MF: "9000"})),
    Exhibit("TA2 T0", one(ATR_TA2_T0, {SELECT_MF: "9000"})),
    Exhibit("TA2 T1", one(ATR_TA2_T1, {SELECT_MF: "6f009000"})),
    Exhibit("T14 alone", one(ATR_T14, {}), usable=False),
    Exhibit("T15 alone", one(ATR_T15, {}), usable=False),
    Exhibit(
        "contactless",
        one(
            ATR_CONTACTLESS,
            {"00a4040007d2760000850101 00": "01029000", "00ca007f000000": LONG + "9000"},
        ),
        raw=["00a4040007d276000085010100", "ffca000000", "00ca007f000000"],
        apdus={"00a4040007d276000085010100": "01029000", "00ca007f000000": LONG + "9000"},
    ),
    Exhibit(
        "contactless, T0 refused",
        one(ATR_CONTACTLESS, {SELECT_MF: "6f009000"}, refused={0: Ifd.ERROR_PTS_FAILURE}),
    ),
    Exhibit(
        "T1 refused",
        one(ATR_BOTH, {SELECT_MF: "9000"}, refused={1: Ifd.ERROR_PTS_FAILURE}),
        apdus={SELECT_MF: "9000"},
        protocols=PROTOCOL_T0,
    ),
    Exhibit(
        "T1 not known to the driver",
        one(ATR_BOTH, {SELECT_MF: "9000"}, refused={1: Ifd.PROTOCOL_NOT_SUPPORTED}),
    ),
    Exhibit(
        "no protocol can be agreed on",
        one(ATR_T0, {}, refused={0: Ifd.ERROR_PTS_FAILURE}),
        usable=False,
    ),
    Exhibit("mute", one(ATR_T0, {}, mute_power_ups=1_000), usable=False),
    Exhibit("answers the second power-up", one(ATR_T0, {SELECT_MF: "9000"}, mute_power_ups=1)),
    Exhibit(
        "two slots",
        lambda: [_card(ATR_T0, {SELECT_MF: "9000"}), _card(ATR_T1, {SELECT_MF: "6f019000"})],
    ),
    Exhibit("slow", _slow),
    Exhibit(
        "MultiFlex, class C0",
        one(ATR_MULTIFLEX, {"c0a40000023f00": Ready("6112", "85" * 18, cla=0xC0)}),
        raw=["c0a40000023f00", "c0c0000012", "c0a40000023f00", SELECT_MF, "c0c0000012"],
        apdus={"c0a40000023f0000": "85" * 18 + "9000", "c0a40000023f00": "6112"},
    ),
    Exhibit(
        "proprietary class 80",
        one(ATR_T0, {"80a40000023f00": Ready("6102", "8586", cla=0x80)}),
        raw=["80a40000023f00", "80c0000002"],
    ),
    Exhibit(
        "GSM, class A0",
        one(ATR_SIM, {"a0a40000023f00": Ready("9f16", "00" * 22, cla=0xA0)}),
        raw=["a0a40000023f00", "a0c0000016"],
        apdus={"a0a40000023f0000": "00" * 22 + "9000", "a0a40000023f00": "9f16"},
    ),
    Exhibit(
        "UICC, class 80",
        one(
            ATR_UICC,
            {
                "80f2000000": "6c04",
                "80f2000004": "010203049000",
                "80e2910003bf3e00": Ready("6103", "bf3e00"),
            },
        ),
        raw=["80f2000000", "80f2000004", "80e2910003bf3e00", "00c0000003"],
        apdus={"80f2000000": "010203049000", "80e2910003bf3e0000": "bf3e009000"},
    ),
    Exhibit(
        "PIV, chained over T1",
        one(
            ATR_T1,
            {"00cb3fff055c035fc10500": "aa" * 256 + "6144", "00c0000044": "bb" * 68 + "9000"},
        ),
        raw=["00cb3fff055c035fc10500", "00c0000044"],
        apdus={"00cb3fff055c035fc10500": "aa" * 256 + "6144"},
    ),
    Exhibit(
        "6CFF",
        one(ATR_T0, {"00b0000000": "6cff", "00b00000ff": FF + "9000"}),
        raw=["00b0000000", "00b00000ff"],
        apdus={"00b0000000": FF + "9000"},
    ),
    Exhibit(
        "6C00, 256 octets",
        one(ATR_T0, {"00b0000010": "6c00", "00b0000000": "ee" * 256 + "9000"}),
        raw=["00b0000010", "00b0000000"],
        apdus={"00b0000010": "ee" * 256 + "9000"},
    ),
    Exhibit(
        "6Cxx to a case 3 command",
        one(ATR_T0, {"00a40000023f00": "6c0a", "00a400000a": "9999"}),
        apdus={"00a40000023f00": "6c0a"},
    ),
    Exhibit(
        "63xx with data",
        one(ATR_T0, {"80f24000024f00": Ready("6310", "e300", sw="9000")}),
        raw=["80f24000024f00", "00c0000000"],
        apdus={"80f24000024f0000": "e3006310", "80f24000024f00": "6310"},
    ),
    Exhibit(
        "6310 at the end",
        one(ATR_T0, {"80f24000024f00": Ready("6102", "e300", sw="6310")}),
        apdus={"80f24000024f0000": "e3006310"},
    ),
    Exhibit(
        "6310 with data over T1",
        one(ATR_T1, {"80f24000024f0000": "e3006310"}),
        raw=["80f24000024f0000"],
        apdus={"80f24000024f0000": "e3006310"},
    ),
    Exhibit(
        "62xx before the data",
        one(ATR_T0, {"00a4000c023f00": Ready("6283", "6f00", sw="9000")}),
        apdus={"00a4000c023f0000": "6f006283"},
    ),
    Exhibit(
        "tries left",
        one(ATR_T0, {"0020000108": "63c2", "00200001": "63c1"}),
        raw=["002000010831323334ffffffff", "0020000100"],
        apdus={"002000010831323334ffffffff": "63c2", "00200001": "63c1"},
    ),
    Exhibit(
        "a response in many parts",
        one(ATR_T0, {"80ca00ff": Ready("6100", "31" * 600)}),
        raw=["80ca00ff00", "00c0000000", "00c0000000", "00c0000058"],
        apdus={"80ca00ff00": "31" * 600 + "9000"},
    ),
    Exhibit("proactive", one(ATR_UICC, {SELECT_MF: "9110"}), apdus={SELECT_MF: "9110"}),
    Exhibit(
        "one octet for an answer",
        one(ATR_T0, {"00a4000c": "90", "00b0": "9000"}),
        raw=["00b0000001"],
    ),
    Exhibit("no class at all", one(ATR_T0, {}), apdus={SELECT_MF: "6e00", "00200001": "6e00"}),
    Exhibit(
        "time-out of the reader",
        one(ATR_T1, {"00e0": Fails(Ifd.RESPONSE_TIMEOUT)}),
        raw=[SELECT_MF, "00e0000000"],
    ),
    Exhibit("no card", lambda: [None], usable=False),
)
