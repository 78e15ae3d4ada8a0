# SPDX-License-Identifier: Apache-2.0
"""What `wsrc` asks of PC/SC and of readers, and how it shares a card."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.paths import ROOT
from tests.support.processes import argv, environment
from tests.support.seal_way import SEAL
from tests.support.world import ASK_PIN, LIMIT_S, PIN, UICC, World, until
from wsrc.card.pcsc_numbers import ATTRIBUTES
from wsrc.card.slot import Share
from wsrc.command_line.program import program
from wsrc.errors import CardWasResetError
from wsrc.readers.simulated_connection import ECHO_CONTROL
from wsrc.user_client.aio import Card

READER = "Simulated UICC 00 00"
ATR = "3b9c96801fc78031e073fe215364575352438d"
DIRECT = ("--reader", READER, "--share", "direct")


async def wsrc(world: World, *arguments: str, stdin: str = "", status: int = 0) -> Result:
    """Run the command; its exit status must be the given one."""
    options = ["--server-url", world.user_url, "--tls-ca", str(world.ca)]
    runner = CliRunner()
    result = await asyncio.to_thread(runner.invoke, program, [*arguments, *options], input=stdin)
    assert result.exit_code == status, result.output
    return result


async def document(world: World, *arguments: str, **more: Any) -> Any:
    return json.loads((await wsrc(world, *arguments, "--json", **more)).stdout)


async def test_status_of_a_card_and_of_a_reader(world: World) -> None:
    host = await world.host()
    shown = (await wsrc(world, "status", "--iccid", UICC)).output.splitlines()
    sealed = "no, the server can read this session" if SEAL == "off" else "with bench, SHA256:"
    assert shown.pop().startswith(f"Sealed       {sealed}")
    assert [line.split(maxsplit=1) for line in shown] == [
        ["Reader", READER],
        ["State", "present, powered, specific"],
        ["Protocol", "T0"],
        ["ATR", ATR],
    ]
    host.source.remove(READER)
    empty = await document(world, "status", *DIRECT)
    assert (empty["states"], empty["protocol"], empty["atr"]) == (["absent"], None, None)
    refused = await wsrc(world, "status", "--reader", READER, status=3)
    assert "--share direct and --reader" in refused.output


async def test_control_asks_the_reader_in_every_spelling(world: World) -> None:
    await world.host()
    for code in (str(ECHO_CONTROL), hex(ECHO_CONTROL), hex(0x4200_0000 + ECHO_CONTROL)):
        asked = await wsrc(world, "control", "--iccid", UICC, code, "0102 FF")
        assert asked.stdout == "0102ff\n"
    echoed = await document(world, "control", *DIRECT, str(ECHO_CONTROL), "-", stdin="00:11\n")
    assert echoed["response"] == "0011"
    assert echoed["card"]["reader_name"] == READER
    none = await document(world, "control", "--iccid", UICC, "1", status=3)
    assert none["error"]["code"] == "not_supported"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("control", "now"), "'now' is no control number"),
        (("control", "0x100000000"), "no control number"),
        (("control", "1", "3g"), "The data is not hexadecimal"),
        (("attribute", "no_such_name"), "'no_such_name' is no attribute"),
        (("attribute", "0x99"), "'0x99' is no attribute"),
        (("attribute", "--set", "01"), "--set sets one attribute"),
        (("attribute", "maxinput", "--set", "0"), "The value is not hexadecimal"),
    ],
)
def test_a_command_line_that_is_wrong_asks_nobody(
    arguments: tuple[str, ...], sentence: str
) -> None:
    nowhere = ("--card", "x", "--server-url", "ws://localhost:1")
    result = CliRunner().invoke(program, [*arguments, *nowhere])
    assert (result.exit_code, sentence in result.output) == (2, True), result.output


async def test_attributes_are_shown_by_any_name(world: World) -> None:
    await world.host()
    names = ("vendor_name", "SCARD_ATTR_ATR_STRING", "0x7fff0003")
    shown = (await wsrc(world, "attribute", "--iccid", UICC, *names)).output.splitlines()
    assert [line.split(maxsplit=2) for line in shown] == [
        ["vendor_name", b"WSRC".hex(), "WSRC"],
        ["atr_string", ATR],
        ["device_friendly_name", READER.encode().hex() + "00", READER],
    ]
    everything = await document(world, "attribute", *DIRECT)
    assert {"vendor_name", "maxinput", "atr_string"} <= everything["attributes"].keys()
    assert "channel_id" not in everything["attributes"]
    missing = await wsrc(world, "attribute", "--iccid", UICC, "channel_id", status=3)
    assert "has no attribute 'channel_id'" in missing.output


async def test_an_attribute_is_set(world: World) -> None:
    await world.host()
    setting = ("attribute", "--iccid", UICC, "supress_t1_ifs_request")
    assert (await wsrc(world, *setting, "--set", "01")).output == ""
    assert (await document(world, *setting))["attributes"] == {"supress_t1_ifs_request": "01"}
    assert (await document(world, *setting, "--set", "00"))["attributes"][setting[-1]] == "00"
    await wsrc(world, "attribute", "--iccid", UICC, "maxinput", "--set", "00", status=3)


def test_names_of_attributes_are_listed_without_a_server() -> None:
    listed = CliRunner().invoke(program, ["attribute", "--list"]).output
    assert [line.split()[0] for line in listed.splitlines()] == list(ATTRIBUTES)
    told = json.loads(CliRunner().invoke(program, ["attribute", "--list", "--json"]).output)
    assert told["attributes"] == dict(ATTRIBUTES)


async def verified(card: Card) -> bool:
    return (await card.transmit(ASK_PIN)).sw == 0x9000


async def test_who_shares_a_card_finds_it_and_leaves_it_as_it_is(
    world: World, tmp_path: Path
) -> None:
    script = tmp_path / "ask.wsrc"
    script.write_text(ASK_PIN.hex())
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC, share=Share.SHARED) as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        shared = ("--iccid", UICC, "--share", "shared")
        found = await document(world, "apdu", *shared, ASK_PIN.hex())
        assert found["results"][0]["sw"] == "9000"
        await wsrc(world, "script", *shared, str(script))
        await wsrc(world, "status", *shared)
        assert await verified(card)
        alone = await wsrc(world, "apdu", "--iccid", UICC, ASK_PIN.hex(), status=3)
        assert "first" in alone.output


@pytest.mark.parametrize("command", ["apdu", "script"])
async def test_commands_of_one_run_are_not_interrupted(
    world: World, command: str, tmp_path: Path
) -> None:
    """Whoever shares the card has a transaction, so the run waits as a whole."""
    await world.host()
    user = await world.user()
    script = tmp_path / "two.wsrc"
    script.write_text("00A4000C022FE2\n00B000000A\n")
    what = ("00A4000C022FE2", "00B000000A") if command == "apdu" else (str(script),)
    async with user.select(iccid=UICC, share=Share.SHARED) as card, asyncio.TaskGroup() as tasks:
        await card.begin()
        ran = tasks.create_task(
            document(world, command, "--iccid", UICC, "--share", "shared", *what)
        )
        await until(lambda: world.counts["sessions"] == 2 and world.in_flight == 1)
        assert (await card.transmit(bytes.fromhex("00a4000c023f00"))).sw == 0x9000
        assert not ran.done()
        await card.end()
        results = (await ran)["results"]
        assert [each["sw"] for each in results] == ["9000", "9000"]


async def test_a_protocol_that_the_card_has_not_is_refused_and_raw_is_raw(world: World) -> None:
    await world.host()
    refused = await document(
        world, "apdu", "--iccid", UICC, "--protocol", "t1", ASK_PIN.hex(), status=3
    )
    assert refused["error"]["code"] == "protocol_mismatch"
    read = ("00A4000C022FE2", "00B0000000")
    cooked = await document(world, "apdu", "--iccid", UICC, "--protocol", "T0", *read)
    raw = await document(world, "apdu", "--iccid", UICC, "--protocol", "raw", *read)
    assert [each["sw"] for each in cooked["results"]] == ["9000", "9000"]
    assert [each["sw"] for each in raw["results"]] == ["9000", "6C0A"]


async def test_a_reset_may_be_of_a_card_that_others_share(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC, share=Share.SHARED) as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        shown = await wsrc(world, "reset", "--iccid", UICC, "--share", "shared", "--warm")
        assert shown.output == f"{ATR}\n"
        with pytest.raises(CardWasResetError):
            await card.transmit(ASK_PIN)
        await card.reconnect()
        assert not await verified(card)
    refused = await document(world, "reset", "--iccid", UICC, "--protocol", "t1", status=3)
    assert refused["error"]["code"] == "protocol_mismatch"


async def test_a_reset_keeps_the_protocol_that_was_asked_for(world: World, tmp_path: Path) -> None:
    script = tmp_path / "reset.wsrc"
    script.write_text(f"{ASK_PIN.hex()} -> 63Cx\n!reset warm\n!reset\n{ASK_PIN.hex()} -> 63Cx\n")
    await world.host()
    ran = await document(world, "script", "--iccid", UICC, "--protocol", "t0", str(script))
    assert [each.get("atr") for each in ran["results"]] == [None, ATR, ATR, None]


async def test_the_prompt_knows_the_verbs(world: World) -> None:
    await world.host()
    typed = [
        "status",
        "begin",
        "begin",
        "end",
        f"end reset # {READER}",
        "reconnect unpower",
        "attribute vendor_name",
        "attribute supress_t1_ifs_request 01",
        f"control {ECHO_CONTROL} 0102",
        "end",
        "reconnect sideways",
        "attribute",
        "help",
    ]
    process = await asyncio.create_subprocess_exec(
        *argv("wsrc", "shell", "--share", "shared", "--iccid", UICC),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(
            WSRC_SERVER_URL=world.user_url,
            WSRC_TLS_CA=str(world.ca),
            PYTHONPATH=str(ROOT),
        ),
    )
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate("\n".join(typed).encode())
    assert process.returncode == 0, err
    lines = out.decode().splitlines()
    assert lines[1] == "State        present, powered, specific"
    assert lines[5:8] == [ATR, f"{b'WSRC'.hex()}  WSRC", "0102"]
    assert any(line.startswith("begin ") for line in lines)
    complaints = err.decode().splitlines()
    if SEAL != "off":
        assert complaints.pop(0).startswith("The key of card host bench is not known")
    assert len(complaints) == 3, complaints
    assert "'reconnect' takes leave, reset, unpower or nothing" in complaints[1]


async def test_the_prompt_of_a_reader_without_a_card(world: World) -> None:
    host = await world.host()
    host.source.remove(READER)
    typed = "status\nattribute vendor_name\n00b000000a\n"
    result = await wsrc(world, "shell", *DIRECT, "--json", stdin=typed)
    status, attribute, refused = map(json.loads, result.stdout.splitlines())
    assert status["states"] == ["absent"]
    assert attribute["attributes"] == {"vendor_name": b"WSRC".hex()}
    assert refused["error"]["code"] == "not_supported"
