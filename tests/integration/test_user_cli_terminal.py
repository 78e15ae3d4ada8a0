# SPDX-License-Identifier: Apache-2.0
"""`wsrc` at a terminal: a live table, a prompt that is told of losses, PINs that nobody sees."""

import asyncio
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.card_user import apdu, card as simulated
from tests.support.scripted_server import (
    Peer,
    card,
    card_host,
    in_thread,
    reader_of,
)
from tests.support.terminal import Terminal

PIN, WRONG = "1234", "4321"
TYPED = "00a40004023f00"


class Bench:
    """A server whose readers a test changes while it is watched; it can be cut off."""

    def __init__(self, *cards: dict[str, Any]) -> None:
        self.readers = [reader_of(number, each) for number, each in enumerate(cards, 1)]
        self.seq = 0
        self._peer: Peer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.watched = threading.Event()

    async def script(self, peer: Peer) -> None:
        request = await peer.hear("watch_readers")
        told = {"instance": f"run{id(peer)}", "seq": self.seq, "readers": self.readers}
        await peer.say("watch_readers_ack", id=request["id"], **told)
        self._peer, self._loop = peer, asyncio.get_running_loop()
        self.watched.set()

    def change(self, number: int, **fields: Any) -> None:
        """Tell whoever watches of a change of one reader."""
        reader = self.readers[number - 1] | fields
        self.readers[number - 1] = reader
        self.seq += 1
        assert self._peer is not None
        assert self._loop is not None
        saying = self._peer.say("reader_event", seq=self.seq, change="changed", reader=reader)
        asyncio.run_coroutine_threadsafe(saying, self._loop).result(10)

    def cut(self) -> None:
        """Break the connection."""
        assert self._peer is not None
        assert self._loop is not None
        self.watched.clear()
        self._loop.call_soon_threadsafe(self._peer.abort)


def bench(count: int = 2) -> Bench:
    return Bench(*(card(number, label=f"label{number}") for number in range(1, count + 1)))


def test_watch_draws_a_table_in_its_place_and_leaves_the_terminal_clean() -> None:
    here = bench()
    with in_thread(here.script) as url, Terminal("watch", "--server-url", url) as terminal:
        lines = terminal.until_shown("2 cards, 0 in use.")
        assert lines[0].split() == ["Card", "Label", "State", "Holder", "Host", "Reader"]
        assert lines[1].startswith("89860000000000000001  label1  ready")
        here.change(2, label="other")
        lines = terminal.until_shown("other")
        assert len(lines) == 4
        assert not any("label2" in line for line in lines)
        assert not terminal.screen.cursor_shown
        terminal.interrupt()
        assert terminal.ended() == 130
        assert terminal.screen.cursor_shown
        assert terminal.lines[:4] == lines
        assert terminal.screen.column == 0


def test_watch_goes_on_through_a_loss_and_says_so() -> None:
    here = bench()
    with (
        in_thread(here.script) as url,
        Terminal("watch", "--server-url", url, "--keep-s", "0") as terminal,
    ):
        terminal.until_shown("2 cards")
        here.cut()
        lines = terminal.until_shown("is lost")
        assert "label1" in lines[1]
        terminal.until(lambda now: not any("lost" in line for line in now) and len(now) == 4)
        assert here.watched.is_set()
        here.change(1, label="back")
        terminal.until_shown("back")
        terminal.interrupt()
        assert terminal.ended() == 130


def test_watch_without_a_server_shows_no_table() -> None:
    with Terminal("watch", "--server-url", "ws://127.0.0.1:1") as terminal:
        assert terminal.ended() == 5
        assert terminal.screen.cursor_shown
        connecting, *said = terminal.lines
    assert connecting == "Connecting."
    assert "nothing listens there" in " ".join(said)


def test_watch_is_lines_at_a_terminal_that_cannot_draw() -> None:
    here = bench()
    with (
        in_thread(here.script) as url,
        Terminal("watch", "--server-url", url, TERM="dumb") as terminal,
    ):
        terminal.until_shown("label2")
        assert terminal.lines[0].startswith("added    ICCID 89860000000000000001, label label1")
        assert "\x1b" not in terminal.raw
        terminal.interrupt()
        assert terminal.ended() == 130


def test_watch_fits_the_terminal_whatever_its_size() -> None:
    here = bench(40)
    with (
        in_thread(here.script) as url,
        Terminal("watch", "--server-url", url, columns=60, rows=12) as terminal,
    ):
        lines = terminal.until_shown("40 cards, 0 in use. More than fit")
        assert terminal.screen.scrolled == []
        assert len(lines) <= 12
        terminal.resize(100, 50)
        lines = terminal.until(lambda now: len(now) == 42)
        assert lines[-1] == "40 cards, 0 in use."
        terminal.interrupt()
        assert terminal.ended() == 130


def test_watch_never_erases_what_it_draws_again() -> None:
    here = bench()
    with in_thread(here.script) as url, Terminal("watch", "--server-url", url) as terminal:
        terminal.until_shown("2 cards")
        for number in range(5):
            here.change(1, label=f"name{number}")
        terminal.until_shown("name4")
        assert "\x1b[2J" not in terminal.raw
        assert "\x1b[2K" not in terminal.raw
        terminal.interrupt()
        terminal.ended()


def test_list_fits_80_columns_and_counts() -> None:
    eid = "89049032000000000000000000000013"
    lease = {"holder": "ida@lab", "since": "2026-01-01T00:00:00Z"}
    name = "ACME Multi-Slot Reader [CCID Interface] (0123456789) 00 10"
    cards = [
        card(3, reader_name=name, eids=[eid], state="associated", lease=lease),
        card(2, reader_name=name.replace("10", "9"), label="a rather long label for a card"),
    ]
    with (
        in_thread(card_host(cards, {})) as url,
        Terminal("list", "--server-url", url) as terminal,
    ):
        assert terminal.ended() == 0
        lines = terminal.lines
    words = [word for line in lines for word in line.split()]
    assert {eid, "89860000000000000003", "89860000000000000002", "ida@lab"} <= set(words)
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "2 cards, 1 in use."
    assert words.index("89860000000000000002") < words.index("89860000000000000003")
    assert "reader-2" not in words


class Loss:
    """A server that gives a card which it keeps, is cut off, and then goes on or does not."""

    def __init__(self, *, resumes: bool) -> None:
        self.given = threading.Event()
        self._resumes = resumes
        self._abort: Callable[[], object] = lambda: None
        self._connections = 0

    def cut(self) -> None:
        self._abort()

    async def script(self, peer: Peer) -> None:
        self._connections += 1
        loop = asyncio.get_running_loop()
        self._abort = lambda: loop.call_soon_threadsafe(peer.abort)
        if self._connections == 1:
            request = await peer.hear("select_card")
            ids = {"id": request["id"], "session": "s1", "keep_s": 30}
            told = card(1)
            await peer.say("select_card_ack", **ids, identities=told["identities"], card=told)
            self.given.set()
            return
        claim = await peer.hear("resume")
        if not self._resumes:
            said = {"message": "It was unused.", "code": "expired", "id": claim["id"]}
            await peer.say("session_ended", session="s1", **said)
            return
        await peer.say("resumed", id=claim["id"], session="s1", seq=0)
        command = await peer.hear("c_apdu")
        await peer.answer(command, "", "9000")


@pytest.mark.parametrize("at", ["end", "middle"])
def test_the_shell_says_at_once_that_the_connection_is_lost_and_keeps_the_line(at: str) -> None:
    scene = Loss(resumes=True)
    with (
        in_thread(scene.script) as url,
        Terminal("shell", "--server-url", url, "--card", "x", columns=200) as terminal,
    ):
        terminal.until_shown("89860000000000000001>")
        terminal.type(TYPED[:-2] if at == "end" else TYPED[:-4] + "00" + "\x1b[D" * 2)
        terminal.until_shown(TYPED[:-4])
        scene.cut()
        terminal.until_shown("is back.")
        lines = terminal.until(lambda now: now and now[-1].startswith("898600"))
        [lost] = [line for line in lines if "is lost" in line]
        assert "Trying again for 30 s. The card is kept for us until 20" in lost
        assert lost.startswith("The connection to ws://")
        terminal.type("00\r" if at == "end" else "3f\r")
        lines = terminal.until_shown("9000  done")
        assert any(line.endswith(f"> {TYPED}") for line in lines)
        terminal.type("\x04")
        terminal.ended()


def test_the_shell_says_at_once_that_the_lease_ended() -> None:
    scene = Loss(resumes=False)
    with (
        in_thread(scene.script) as url,
        Terminal("shell", "--server-url", url, "--card", "x", columns=200) as terminal,
    ):
        terminal.until_shown("89860000000000000001>")
        terminal.type("00a4")
        terminal.until_shown("> 00a4")
        scene.cut()
        terminal.until_shown("The card is not ours any more")
        terminal.until(lambda now: now[-1].endswith("> 00a4"))
        terminal.type("\r")
        assert terminal.ended() == 4


def test_the_shell_completes_words() -> None:
    with (
        in_thread(card_host([card(1, label="blue")], {})) as url,
        Terminal("shell", "--server-url", url, "--label", "blue") as terminal,
    ):
        terminal.until_shown(">")
        terminal.type("sel\tisd-\t")
        terminal.until_shown("> select isd-r")
        terminal.type("\x15re\t\t")
        lines = terminal.until_shown("reconnect")
        assert any({"read", "reset"} <= set(line.split()) for line in lines)
        terminal.type("\x15\x04")
        assert terminal.ended() == 0


def test_a_pin_is_typed_at_the_prompt_and_shown_nowhere(tmp_path: Path) -> None:
    made = simulated()
    host = card_host([card(1, label="blue")], functools.partial(apdu, made))
    with (
        in_thread(host) as url,
        Terminal(
            "shell", "--server-url", url, "--label", "blue", XDG_STATE_HOME=str(tmp_path)
        ) as terminal,
    ):
        terminal.until_shown(">")
        terminal.type("verify\r")
        terminal.until_shown("PIN of application 1 (key 01, 3 tries left):")
        terminal.type(f"{WRONG}\r")
        terminal.until_shown("63C2")
        terminal.type("verify pin1\r")
        terminal.until_shown("2 tries left):")
        terminal.type("\x03")
        terminal.until_shown("Given up")
        terminal.type("verify pin1\r")
        terminal.until(lambda now: sum("2 tries left):" in line for line in now) == 2)
        terminal.type(f"{PIN}\r")
        terminal.until_shown("9000  done")
        terminal.type("verify 4711\r")
        terminal.until_shown("This is no key")
        terminal.type("select imsi\r")
        terminal.until_shown("FCP template")
        terminal.type("read imsi\r")
        terminal.until_shown("imsi  001010000000001")
        terminal.type("\x04")
        assert terminal.ended() == 0
        assert PIN not in terminal.raw
        assert WRONG not in terminal.raw
    history = (tmp_path / "wsrc/history").read_text()
    assert "verify pin1" in history
    assert "4711" not in history
    assert PIN not in history


def test_a_script_asks_for_a_pin_at_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "x.wsrc"
    file.write_text("!pin\n")
    host = card_host([card(1, label="blue")], functools.partial(apdu, simulated()))
    with (
        in_thread(host) as url,
        Terminal("script", "--server-url", url, "--label", "blue", str(file)) as terminal,
    ):
        terminal.until_shown("3 tries left):")
        terminal.type("12ab\r")
        assert terminal.ended() == 2
        assert any("Nothing was sent to the card: a PIN is 4 to 8 digits" in line
                   for line in terminal.lines)  # fmt: skip
        assert "12ab" not in terminal.raw
