# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.contents.reading against simulated cards: what is read, and that nothing changes."""

from collections.abc import Sequence

import pytest

from tests.support.card_reading import run
from tests.support.card_user import BOTH, VERIFY_PIN1, apdu, card
from wsrc.card import tlv
from wsrc.card.apdu import Command, Response, parse_response
from wsrc.card.contents.catalogue import CATALOGUE
from wsrc.card.contents.reading import Reading, read
from wsrc.card.identity import iccid_to_ef
from wsrc.readers.simulation import Card

HARMLESS = {0xA4, 0xB0, 0xB2, 0xC0, 0x70}
"""SELECT, READ BINARY, READ RECORD, GET RESPONSE, MANAGE CHANNEL."""

FILES = """
pin1_enabled = false
""" + "".join(
    f'[[file]]\npath = "7fff{number}"\ncontent = "{content}"\n'
    for number, content in (
        ("6f38", "0200088c"),
        ("6f78", "0401"),
        ("6f31", "05"),
        ("6f61", "00f110c080ffffff0000"),
        ("6f7b", "ffffff130062"),
        ("6f3e", "01ff"),
        ("6fe3", "ff" * 12 + "0000f110abcd01"),
    )
) + f"""
[[file]]
path = "7fff6f40"
structure = "linear_fixed"
record_octets = 20
record_count = 1
content = "6d65ffffffff0791448720003254ffffffffffff"
[[file]]
path = "7fff6f3f"
content = "{"ab" * 700}"
"""  # fmt: skip
SIM = """
gsm_only = true
pin1_enabled = false
[[file]]
path = "7f206fb7"
content = "11f2ffffffff"
[[file]]
path = "7f106f40"
structure = "linear_fixed"
record_octets = 14
record_count = 1
content = "0481214365ffffffffffffffffff"
"""
ISD_RS = """
[[isd_r]]
aid = "a06573746b6d65ffff4953442d522030"
eid = "89882119900000000000000000007280"
[[isd_r]]
aid = "a06573746b6d65ffff4953442d522031"
eid = "89049032000000000000000000000043"
[[isd_r]]
aid = "a06573746b6d65ffffffff4953442d52"
eid = "89882119900000000000000000007280"
"""


class Asked:
    """A card, and what it was asked."""

    def __init__(self, made: Card) -> None:
        self.card = made
        self.commands: list[Command] = []

    def read(self, *names: str, eids: Sequence[str] = ()) -> dict[str, Reading]:
        questions = read(names or list(CATALOGUE), eids)
        return run(questions, self.transmit)

    def transmit(self, command: Command) -> Response:
        self.commands.append(command)
        return parse_response(bytes.fromhex(apdu(self.card, command.encode().hex())))


@pytest.fixture(params=BOTH)
def uicc(request: pytest.FixtureRequest) -> Asked:
    return Asked(card(FILES, protocol=request.param))


def test_a_uicc_tells_what_has_a_name(uicc: Asked) -> None:
    found = uicc.read()
    assert list(found) == list(CATALOGUE)
    values = {name: reading.value for name, reading in found.items() if reading.there}
    assert values["iccid"] == "8988211000000430010"
    assert values["imsi"] == "001010000000001"
    assert values["msisdn"] == [{"number": "+447802002345", "name": "me"}]
    assert values["spn"]["name"] == "WSRC"
    assert values["acc"] == [0, 10]
    assert values["oplmnwact"] == [{"plmn": "001-01", "access": ["UTRAN", "E-UTRAN", "GSM"]}]
    assert values["fplmn"] == ["310-260"]
    assert values["gid1"] == "01"
    assert values["gid2"] == "ab" * 700
    assert values["pl"] == ["en"]
    assert values["dir"][0]["application"] == "USIM"
    [pin] = values["pins"]
    assert (pin["reference"], pin["enabled"], pin["unblock_tries"]) == ("01", False, 10)
    assert not found["eid"].there
    assert found["smsp"] == Reading(None, (), 0x6A82, "The card does not have it.", there=False)


def test_the_basic_channel_stays_where_it_is(uicc: Asked) -> None:
    assert apdu(uicc.card, "00a40004 02 2fe2 00").endswith("9000")
    uicc.read()
    assert apdu(uicc.card, "00b00000 0a") == "988812010000400310f09000"
    assert uicc.commands[-1] == Command(0x00, 0x70, 0x80, 1)


@pytest.mark.parametrize(("kind", "toml"), [("uicc", FILES), ("uicc", SIM), ("euicc", ISD_RS)])
def test_no_command_changes_a_counter_or_a_file(kind: str, toml: str) -> None:
    asked = Asked(card(toml, kind=kind))
    asked.read()
    for command in asked.commands:
        if command.ins in {0x20, 0x2C}:
            assert command.data == b""
        elif command.ins == 0xE2:
            [(tag, _)] = tlv.decode(command.data)
            assert tag in {0xBF20, 0xBF22, 0xBF2D, 0xBF3C, 0xBF3E}
        else:
            assert command.ins in HARMLESS


def test_what_a_pin_keeps_is_told_as_that() -> None:
    asked = Asked(card())
    found = asked.read("imsi", "iccid", "pins")
    assert found["imsi"].sw == 0x6982
    assert found["imsi"].there
    assert "PIN" in found["imsi"].why
    assert found["pins"].value[0]["tries"] == 3
    assert apdu(asked.card, VERIFY_PIN1) == "9000"
    assert asked.read("imsi")["imsi"].value == "001010000000001"
    assert asked.read("pins")["pins"].value[0]["verified"] is True


def test_a_sim_of_class_a0_is_asked_in_its_own_way() -> None:
    found = Asked(card(SIM)).read()
    assert found["iccid"].value == "8988211000000430010"
    assert found["imsi"].value == "001010000000001"
    assert found["msisdn"].value == [{"number": "123456", "name": None}]
    assert found["ecc"].value == [{"number": "112", "name": None, "category": None}]
    [chv1] = found["pins"].value
    assert (chv1["name"], chv1["enabled"], chv1["tries"]) == ("CHV1", False, 3)
    assert not found["profiles"].there


@pytest.mark.parametrize("protocol", BOTH)
def test_an_euicc_tells_of_its_profiles(protocol: object) -> None:
    text = """
[[profile]]
iccid = "8988211000000430028"
name = "first"
[[profile]]
iccid = "8988211000000430036"
name = "second"
enabled = true
"""
    asked = Asked(card(text, kind="euicc", protocol=protocol))  # type: ignore[arg-type]
    found = asked.read()
    assert found["eid"].value == ["89882119900000000000000000007280"]
    assert [(p["iccid"], p["state"], p["name"]) for p in found["profiles"].value] == [
        ("8988211000000430028", "disabled", "first"),
        ("8988211000000430036", "enabled", "second"),
    ]
    assert found["euicc_info2"].value[0]["free_nv_octets"] == 0x40000
    assert found["euicc_info1"].value[0]["svn"] == "2.5.0"
    assert found["addresses"].value[0]["root_smds"] == "lpa.ds.example"
    assert found["iccid"].value == "8988211000000430036"


def test_each_isd_r_is_asked_once_however_many_aids_it_has() -> None:
    asked = Asked(card(ISD_RS, kind="euicc"))
    eids = ["89882119900000000000000000007280", "89049032000000000000000000000043"]
    found = asked.read("eid", "euicc_info1")
    assert found["eid"].value == eids
    assert len(found["euicc_info1"].value) == 2
    selects = sum(c.ins == 0xA4 and len(c.data) == 16 for c in asked.commands)
    asked.commands.clear()
    assert asked.read("eid", "euicc_info1", eids=eids) == found
    assert sum(c.ins == 0xA4 and len(c.data) == 16 for c in asked.commands) == selects - 1


def test_a_bare_euicc_has_no_usim() -> None:
    text = '[[profile]]\niccid = "8988211000000430028"\n'
    found = Asked(card(text, kind="euicc")).read("imsi", "profiles", "iccid")
    assert not found["imsi"].there
    assert not found["iccid"].there
    assert found["profiles"].value[0]["state"] == "disabled"


def test_a_card_that_tells_nothing_of_its_files_is_read_by_asking_again() -> None:
    iccid = iccid_to_ef("8988211000000430010")
    record = bytes.fromhex("61184f10a0000000871002ffffffff890709000050045553494d")

    told = {
        (0x70, 0, 1): Response(b"", 0x6881),
        (0xB0, 0, 10): Response(iccid, 0x9000),
        (0xB0, 0, 256): Response(b"", 0x6C0A),
        (0xB2, 1, 26): Response(record, 0x9000),
        (0xB2, 1, 256): Response(b"", 0x6C1A),
    }

    def transmit(command: Command) -> Response:
        no_more = Response(b"", 0x9000 if command.ins == 0xA4 else 0x6A83)
        return told.get((command.ins, command.p1, command.ne), no_more)

    found = run(read(["dir", "iccid"]), transmit)
    assert found["iccid"].value == "8988211000000430010"
    assert found["dir"].value[0]["label"] == "USIM"


def test_an_answer_in_parts_is_put_together() -> None:
    whole = bytes.fromhex("bf3e125a1089882119900000000000000000007280")
    sent: list[int] = []

    def transmit(command: Command) -> Response:
        sent.append(command.ins)
        match command.ins:
            case 0xE2:
                return Response(whole[:10], 0x6100 | len(whole) - 10)
            case 0xC0:
                assert command.ne == len(whole) - 10
                return Response(whole[10:], 0x9000)
            case 0xA4 if command.data[:1] == b"\xa0" and command.data[-1:] != b"\x00":
                return Response(b"", 0x6A82)
            case 0xA4:
                return Response(b"", 0x9000)
            case _:
                return Response(b"", 0x6D00)

    assert run(read(["eid"]), transmit)["eid"].value == ["89882119900000000000000000007280"]
    assert 0xC0 in sent
