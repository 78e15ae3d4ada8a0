# SPDX-License-Identifier: Apache-2.0
"""What programs ask of readers by our socket, to success: as pcscd of the reader's host has it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.ifd.bench import IfdBench
from tests.support.ifd.calls import Ifd
from tests.support.ifd.far_away import host
from tests.support.ifd.gallery import ATR_MULTIFLEX, ATR_T1, ATR_UICC
from tests.support.ifd.reader import CHANNEL, OddCard, OddReader
from tests.support.ifd.scripts import Ready, Script
from tests.support.ifd.socket import Call, Told, our_socket, told
from tests.support.world import running, until
from wsrc.card.pcsc_numbers import ATTRIBUTES

pytestmark = pytest.mark.pcscd

SHARED, DIRECT = 2, 3
UNSUPPORTED, NOT_TRANSACTED = 0x8010001F, 0x80100016
NAMELESS = 0x7A999
FEATURES, VERIFY_PIN, PROPERTIES = 0x42000D48, 0x42000D4A, 0x42000D5C
PIN_BLOCK = "1e1e8200" + "00" * 15 + "0d000000" + "0020000108ffffffffffffffff"

Start = Callable[..., IfdBench]


async def both(
    bench: IfdBench, folder: Path, certificates: Certificates, share: int, calls: list[Call]
) -> tuple[Told, Told]:
    """Ask the same of pcscd itself and of our socket far away from it."""
    direct = await told(bench.socket_path, share, calls)
    for reader in bench.readers:
        reader.calls[0].clear()
    async with running(certificates) as world, host(world, certificates):

        async def ready() -> bool:
            return [card.state for card in await world.cards()] == ["ready"]

        await until(ready)
        async with our_socket(folder / "s", world.client) as path:
            return direct, await told(path, share, calls)


def pin_pad(card: OddCard | None) -> OddReader:
    """Describe a reader with a PIN pad, and an attribute that can be set."""
    return OddReader(
        "Odd Pin Pad",
        card,
        serial=b"0042\0",
        attributes={
            CHANNEL: (0x0020_0107).to_bytes(4, "little"),
            ATTRIBUTES["maxinput"]: (65_544).to_bytes(4, "little"),
            ATTRIBUTES["current_ifsd"]: b"\xfe\0\0\0",
            ATTRIBUTES["esc_reset"]: b"\0",
        },
        controls={
            FEATURES: lambda _: bytes.fromhex(f"0604{VERIFY_PIN:08x}1204{PROPERTIES:08x}"),
            VERIFY_PIN: lambda block: b"\x63\xc2" if block.hex() == PIN_BLOCK else b"\x64\x01",
            PROPERTIES: lambda _: bytes.fromhex("0202008010"),
        },
    )


CALLS: list[Call] = [
    ("get", ATTRIBUTES["vendor_ifd_serial_no"], ""),
    ("get", ATTRIBUTES["channel_id"], ""),
    ("get", ATTRIBUTES["maxinput"], ""),
    ("get", ATTRIBUTES["current_ifsd"], ""),
    ("set", ATTRIBUTES["esc_reset"], "01"),
    ("get", ATTRIBUTES["esc_reset"], ""),
    ("control", FEATURES, ""),
    ("control", VERIFY_PIN, PIN_BLOCK),
    ("control", VERIFY_PIN, "00"),
    ("control", PROPERTIES, ""),
    ("control", 0x42000001, ""),
]


async def test_0_attributes_and_controls_of_a_reader_pass_to_success(
    ifd: Start, tmp_path: Path, certificates: Certificates
) -> None:
    bench = ifd(pin_pad(OddCard(bytes.fromhex(ATR_T1))))
    calls: list[Call] = [("transmit", 0, "00a4000c023f00"), *CALLS]
    direct, ours = await both(bench, tmp_path, certificates, SHARED, calls)
    assert [code for code, _ in direct] == [0] * 12 + [0x8010001F]
    assert ours == direct


@pytest.mark.parametrize("share", [SHARED, DIRECT])
async def test_d30_an_attribute_that_cannot_be_set_is_refused_as_by_pcscd(
    ifd: Start, tmp_path: Path, certificates: Certificates, share: int
) -> None:
    """Drivers of most readers, such as libccid, refuse so for every attribute."""
    card = OddCard(bytes.fromhex(ATR_T1))
    bench = ifd(OddReader("Odd", card, refuses_to_set=Ifd.NOT_SUPPORTED))
    calls: list[Call] = [
        ("set", ATTRIBUTES["esc_reset"], "01"),
        ("set", ATTRIBUTES["atr_string"], "3b00"),
        ("set", NAMELESS, "01"),
        ("get", ATTRIBUTES["esc_reset"], ""),
        ("get", NAMELESS, ""),
    ]
    direct, ours = await both(bench, tmp_path, certificates, share, calls)
    refused = [*[NOT_TRANSACTED] * 3, UNSUPPORTED, UNSUPPORTED]
    assert [code for code, _ in direct] == [0, *refused]
    assert ours == direct


async def test_a5_the_programs_own_get_response_reaches_a_card_of_class_c0(
    ifd: Start, tmp_path: Path, certificates: Certificates
) -> None:
    select, get, data = "c0a40000023f00", "c0c0000012", "85" * 18
    script = Script({select: Ready("6112", data, cla=0xC0)})
    bench = ifd(OddReader("Flex", OddCard(bytes.fromhex(ATR_MULTIFLEX), script)))
    calls: list[Call] = [("transmit", 0, select), ("transmit", 0, get)]
    direct, ours = await both(bench, tmp_path, certificates, SHARED, calls)
    assert ours == direct == [[0, 1], [0, "6112"], [0, data + "9000"]]
    assert "40c0000012" not in bench.readers[0].calls[0]


async def test_a5_where_the_class_is_known_get_response_is_sent_once_and_ahead(
    ifd: Start, tmp_path: Path, certificates: Certificates
) -> None:
    select, get, data = "80f2000002abcd", "00c0000004", "01020304"
    script = Script({select: Ready("6104", data)})
    bench = ifd(OddReader("Uicc", OddCard(bytes.fromhex(ATR_UICC), script)))
    calls: list[Call] = [("transmit", 0, select), ("transmit", 0, get), ("transmit", 0, select)]
    direct, ours = await both(bench, tmp_path, certificates, SHARED, calls)
    assert ours == direct == [[0, 1], [0, "6104"], [0, data + "9000"], [0, "6104"]]
    sent = [call for call in bench.readers[0].calls[0] if call in {select, get}]
    assert sent == [select, get, select, get]


async def test_a5_with_raw_tpdus_alone_the_card_sees_what_the_user_sends(
    ifd: Start, certificates: Certificates
) -> None:
    select = "00a40000023f00"
    script = Script({select: Ready("6104", "01020304")})
    reader = OddReader("Uicc", OddCard(bytes.fromhex(ATR_UICC), script))
    ifd(reader)
    async with (
        running(certificates) as world,
        host(world, certificates),
        world.client() as client,
        client.select(atr=ATR_UICC, raw_tpdu=True, wait_s=10.0) as card,
    ):
        reader.calls[0].clear()
        assert (await card.transmit(bytes.fromhex(select))).sw == 0x6104
        assert reader.calls[0] == [select]
        assert (await card.transmit(bytes.fromhex("00c0000002"))).encode().hex() == "01026102"
        assert reader.calls[0] == [select, "00c0000002"]
