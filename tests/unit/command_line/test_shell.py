# SPDX-License-Identifier: Apache-2.0
"""The prompt: what lines do, and which of them are kept."""

import stat
from pathlib import Path

import pytest

from wsrc.card.apdu import Response
from wsrc.card.slot import ResetKind
from wsrc.command_line.invocation import Exit
from wsrc.command_line.output import Output
from wsrc.command_line.shell import History, Shell, history_file, is_secret
from wsrc.errors import BadApduError, CardUnresponsiveError, SessionLostError, WsrcError
from wsrc.protocol.messages import CardInfo, CardState, Identities
from wsrc.user_client.core.seals import SealedWith

READ, VERIFY = "00 b0 0000 00", "0020000108 31323334ffffffff"


class Echo:
    """A card that answers with the header of the command, or raises what it is given."""

    info = CardInfo(
        remote_addr=("bench", 0), identities=Identities(iccid="8986"), state=CardState.ASSOCIATED
    )
    atr = b"\x3b\x00"
    sealed: SealedWith | None = None

    def __init__(self, *failures: BaseException | None) -> None:
        self._failures = list(failures)

    def transmit(self, command: bytes) -> Response:
        failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            raise failure
        return Response(command[:4], 0x9000)

    def reset(self, kind: ResetKind = ResetKind.COLD) -> bytes:
        return b"\x3b\x01" if kind is ResetKind.WARM else b"\x3b\x00"


def serve(*lines: str, card: Echo | None = None, as_json: bool = False) -> tuple[Exit, list[str]]:
    """Type lines at a prompt; give its status and the lines that it kept."""
    waiting, kept = list(lines), list[str]()

    def read(_prompt: str) -> str:
        if not waiting:
            raise EOFError
        line = waiting.pop(0)
        if line == "^C":
            raise KeyboardInterrupt
        return line

    shell = Shell(card or Echo(), Output(as_json=as_json), read, kept.append)
    return shell.run(), kept


def test_the_prompt_says_that_the_session_is_sealed() -> None:
    card = Echo()
    card.sealed = SealedWith("bench.example", "SHA256:abc", "x25519")
    assert Shell(card, Output())._prompt == "8986 sealed> "
    assert Shell(Echo(), Output())._prompt == "8986> "


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("reset hot", "reset takes cold or warm."),
        ("status now", "Usage: status"),
        ("attribute", "Usage: attribute NAME [HEX]"),
        ("control 1 2 3", "Usage: control CODE [HEX]"),
        ("end now", "'end' takes leave, reset, unpower, eject or nothing."),
        ("reconnect now", "'reconnect' takes leave, reset, unpower or nothing."),
    ],
)
def test_a_word_with_others_than_it_takes_is_told_its_usage(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(line)
    assert f"wsrc: {sentence}\n" in capsys.readouterr().err


def test_lines_are_obeyed_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    status, kept = serve("atr", READ, "", "reset warm", "reset", "^C", "help", "quit", READ)
    assert status is Exit.DONE
    assert kept == ["atr", READ, "reset warm", "reset", "help"]
    out = capsys.readouterr().out
    assert out.startswith("3b00\n00b00000 9000  done\n3b01\n3b00\nHEX ")


def test_answers_are_documents_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    serve(READ, "atr", as_json=True)
    first, second = capsys.readouterr().out.splitlines()
    assert first == '{"response": "00b00000", "sw": "9000", "meaning": "done"}'
    assert second.startswith('{"atr": "3b00"')


def test_an_error_does_not_end_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    card = Echo(CardUnresponsiveError("It is mute."), KeyboardInterrupt())
    status, kept = serve("nonsense", "00b00000", "00b00000", READ, card=card)
    assert (status, kept) == (Exit.DONE, [READ])
    err = capsys.readouterr().err
    assert "type help for help" in err
    assert "It is mute." in err
    assert "Given up" in err


def test_a_lost_card_ends_the_prompt() -> None:
    status, _ = serve(READ, READ, card=Echo(SessionLostError("It was unused.")))
    assert status is Exit.CARD


def test_what_is_neither_command_nor_apdu_is_not_repeated() -> None:
    shell = Shell(Echo(), Output())
    with pytest.raises(BadApduError) as caught:
        shell.obey("verfy 31323334")
    assert "31323334" not in str(caught.value)
    assert isinstance(caught.value, WsrcError)


@pytest.mark.parametrize("ins", ["20", "24", "26", "28", "2c"])
def test_commands_that_carry_a_pin_are_not_kept(ins: str) -> None:
    secret = f"00{ins}000108 31323334ffffffff"
    assert serve(secret)[1] == []
    assert is_secret(secret.upper())
    assert is_secret(f"a0{ins}000108 31323334ffffffff # my PIN")
    assert not is_secret(f"00{ins}0001")
    assert not is_secret(READ)


@pytest.mark.parametrize(
    "line",
    [
        "0021000108 31323334ffffffff",
        "00 2D 00 81 10 3132333435363738 3132333435363738",
        "10 21 00 01 02 8004",
        "80C200000D 0020000108 31323334ffffffff",
        "00C3000004 73020020",
        "80D8010103 010203",
        "00DB3FFF05 5c035fc101",
        "control 3400 0020000108 31323334ffffffff",
        "CONTROL 3400 00200001083132333434ffffff # x",
        "control 0x42000D48 00",
    ],
)
def test_a9_the_history_keeps_nothing_that_may_carry_a_pin_or_a_key(line: str) -> None:
    assert is_secret(line)


@pytest.mark.parametrize(
    "line",
    ["control 3400", "attribute vendor_name", "00A40004023F00", "80E2910003BF2D00", "00210001"],
)
def test_a9_the_history_keeps_what_carries_none(line: str) -> None:
    assert not is_secret(line)


def test_a9_a_history_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("")
    path.chmod(0o644)
    with History(path) as history:
        history.remember(READ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_history_is_private_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state" / "wsrc" / "history"
    with History(path) as history:
        history.remember(READ)
    assert READ in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with History(path) as history:
        history.remember("atr")
    assert [line for line in path.read_text().splitlines() if line[0] != "_"][:2] == [READ, "atr"]


def test_a_history_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with History(tmp_path / "file" / "history") as history, History(None) as nowhere:
        history.remember(READ)
        nowhere.remember(READ)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == ""


def test_the_place_of_the_history() -> None:
    assert history_file({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/wsrc/history")
    assert history_file({"XDG_STATE_HOME": "s", "HOME": "/h"}) == Path(
        "/h/.local/state/wsrc/history"
    )
    assert history_file({}) is None
