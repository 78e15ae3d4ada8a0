# SPDX-License-Identifier: Apache-2.0
"""lpac's lines, answered with a simulated eUICC."""

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from wsrc.bridges.lpac import NO_HTTP, LpacCard, is_http, run, serve, start
from wsrc.card.apdu import Response, parse_response
from wsrc.card.tpdu import exchange
from wsrc.errors import CardBusyError
from wsrc.readers.simulation import Card, make_card, parse_description

ISD_R = "a0000005591010ffffffff8900000100"
GET_EID = "80e2910006bf3e035c015a"


class Taken:
    """A card as its user has it, without a network."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.commands: list[str] = []
        card.power_on()

    def transmit(self, command: bytes) -> Response:
        self.commands.append(command.hex())
        return parse_response(exchange(command, self.card.transmit))

    def detach(self) -> None:
        self.card.power_off()


@pytest.fixture
def euicc() -> Card:
    return make_card(parse_description('kind = "euicc"', "test"))


@pytest.fixture
def taken() -> list[Taken]:
    return []


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def lpac(euicc: Card, taken: list[Taken], said: list[str]) -> LpacCard:
    def take() -> Taken:
        taken.append(Taken(euicc))
        return taken[-1]

    return LpacCard(take, said.append)


def ask(lpac: LpacCard, func: object, param: object = None) -> dict[str, Any]:
    line = lpac.answer(json.dumps({"type": "apdu", "payload": {"func": func, "param": param}}))
    assert line is not None
    assert "\n" not in line
    answer = json.loads(line)
    assert answer["type"] == "apdu"
    payload: dict[str, Any] = answer["payload"]
    return payload


def test_a_profile_manager_reads_the_eid(
    lpac: LpacCard, euicc: Card, taken: list[Taken], said: list[str]
) -> None:
    assert ask(lpac, "connect") == {"ecode": 0}
    channel = ask(lpac, "logic_channel_open", ISD_R.upper())["ecode"]
    assert channel == 1
    waits = bytes.fromhex(ask(lpac, "transmit", f"8{channel}{GET_EID[2:]}")["data"])
    assert waits[0] == 0x61
    fetched = ask(lpac, "transmit", f"8{channel}c00000{waits[1]:02x}")
    assert fetched["ecode"] == 0
    assert "89882119900000000000000000007280" in fetched["data"]
    assert fetched["data"].endswith("9000")
    assert ask(lpac, "logic_channel_close", "01") == {"ecode": 0}
    assert ask(lpac, "disconnect") == {"ecode": 0}
    assert not euicc.powered
    assert taken[0].commands == [
        "80aa00000aa9088100820101830107",
        "0070000001",
        f"01a4040010{ISD_R}",
        f"81{GET_EID[2:]}",
        f"81c00000{waits[1]:02x}",
        "00708001",
    ]
    assert said == []


def test_a_card_that_is_connected_is_not_taken_again(lpac: LpacCard, taken: list[Taken]) -> None:
    assert ask(lpac, "connect") == ask(lpac, "connect") == {"ecode": 0}
    assert len(taken) == 1
    lpac.close()
    lpac.close()
    assert ask(lpac, "connect") == {"ecode": 0}
    assert len(taken) == 2


def test_an_application_that_is_not_there_leaves_no_channel_open(
    lpac: LpacCard, said: list[str]
) -> None:
    ask(lpac, "connect")
    for _ in range(5):
        assert ask(lpac, "logic_channel_open", "a000000001")["ecode"] < 0
    assert "no application A000000001" in said[0]
    assert "LPAC_CUSTOM_ISD_R_AID" in said[0]
    assert ask(lpac, "logic_channel_open", ISD_R)["ecode"] == 1


def test_channels_run_out_with_a_sentence(lpac: LpacCard, said: list[str]) -> None:
    ask(lpac, "connect")
    codes = [ask(lpac, "logic_channel_open", ISD_R)["ecode"] for _ in range(5)]
    assert codes[:3] == [1, 2, 3]
    assert codes[-1] < 0
    assert "opens no logical channel" in said[-1]


@pytest.mark.parametrize(
    ("func", "param"),
    [
        ("transmit", "00"),
        ("transmit", "0"),
        ("transmit", "xx"),
        ("transmit", None),
        ("transmit", 7),
        ("logic_channel_open", None),
        ("logic_channel_open", "00" * 17),
        ("logic_channel_close", None),
        ("logic_channel_close", "0102"),
        ("of_tomorrow", None),
        (None, None),
    ],
)
def test_what_cannot_be_done_fails_with_a_sentence_and_the_card_stays(
    lpac: LpacCard, said: list[str], func: object, param: object
) -> None:
    ask(lpac, "connect")
    assert ask(lpac, func, param)["ecode"] < 0
    assert len(said) == 1
    assert "data" not in ask(lpac, func, param)
    assert ask(lpac, "logic_channel_open", ISD_R)["ecode"] == 1


@pytest.mark.parametrize("func", ["transmit", "logic_channel_open", "logic_channel_close"])
def test_nothing_is_done_before_connect(lpac: LpacCard, said: list[str], func: str) -> None:
    assert ask(lpac, func, "01")["ecode"] < 0
    assert "did not connect" in said[0]
    assert ask(lpac, "disconnect") == {"ecode": 0}


@pytest.mark.parametrize("line", ["", "{", "7", "[]", '"apdu"', '{"type":"lpa"}', "[" * 100_000])
def test_lines_that_are_not_for_the_card(lpac: LpacCard, line: str) -> None:
    assert lpac.answer(line) is None


@pytest.mark.parametrize("payload", ["null", "7", "[]", "{}"])
def test_a_request_without_sense_is_answered(lpac: LpacCard, payload: str) -> None:
    answer = lpac.answer(f'{{"type":"apdu","payload":{payload}}}')
    assert answer is not None
    assert json.loads(answer)["payload"]["ecode"] < 0


def test_a_card_that_is_refused_is_told_to_the_user(said: list[str]) -> None:
    def take() -> Taken:
        raise CardBusyError("The card is held by second.", "second")

    lpac = LpacCard(take, said.append)
    assert ask(lpac, "connect")["ecode"] < 0
    assert said == ["wsrc: The card is held by second."]
    assert isinstance(lpac.fault, CardBusyError)


def test_serving_ends_with_the_requests_and_gives_the_card_back(
    lpac: LpacCard, euicc: Card
) -> None:
    requests = io.StringIO('{"type":"apdu","payload":{"func":"connect"}}\n{"type":"lpa"}\nhello')
    answers, other = io.StringIO(), list[str]()
    serve(lpac, requests, answers, other.append)
    assert answers.getvalue() == '{"type":"apdu","payload":{"ecode":0}}\n'
    assert other == ['{"type":"lpa"}', "hello"]
    assert not euicc.powered


def program(script: str) -> "subprocess.Popen[str]":
    return start([sys.executable, "-c", script])


def test_a_program_is_run_and_its_exit_status_told(lpac: LpacCard, euicc: Card) -> None:
    script = """
import os, sys
assert os.environ["LPAC_APDU"] == "stdio"
print('{"type":"apdu","payload":{"func":"connect","param":null}}', flush=True)
print("said: " + input())
sys.exit(7)
"""
    other: list[str] = []
    assert run(lpac, program(script), other.append) == 7
    assert other == ['said: {"type":"apdu","payload":{"ecode":0}}']
    assert not euicc.powered


def test_a_program_that_dies_by_a_signal(lpac: LpacCard) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run(lpac, program(script), lambda _: None) == 128 + 9


def test_a_program_that_goes_away_without_its_answer(lpac: LpacCard) -> None:
    script = """
import os
os.close(0)
os.write(1, b'{"type":"apdu","payload":{"func":"connect"}}\\n' * 2)
os._exit(3)
"""
    assert run(lpac, program(script), lambda _: None) == 3


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        start(["no-such-program"])


def test_a_program_is_ended_where_its_lines_cannot_be_shown(lpac: LpacCard) -> None:
    def show(_: str) -> None:
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        run(lpac, program("print('x', flush=True); input()"), show)


def test_web_pages_are_told_from_other_lines() -> None:
    assert is_http('{"type":"http","payload":{"url":"https://smdp.example","tx":"","headers":[]}}')
    assert not is_http('{"type":"lpa"}')
    assert not is_http("http")
    assert json.loads(NO_HTTP)["type"] == "http"
