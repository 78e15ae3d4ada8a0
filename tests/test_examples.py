# SPDX-License-Identifier: Apache-2.0
"""Every file of docs/examples runs, over TLS, against a server and simulated cards."""

import ast
import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.paths import ROOT
from tests.support.processes import LIMIT_S, argv, environment
from tests.support.proxy import Line, Proxy, listening
from tests.support.world import EUICC, UICC, World, running, until
from wsrc.card.slot import Disposition, Share
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import default_cards
from wsrc.readers.simulation.card import Faults, When

FOLDER = ROOT / "docs" / "examples"
EXAMPLES = sorted(path for path in FOLDER.iterdir() if path.suffix in {".py", ".wsrc"})
LABELS = {UICC: "blue", EUICC: "red"}
ICCID = "988812010000400310f0 9000"
BOX = "Simulated UICC 00 00"
PUBLIC = {"wsrc.aio", "wsrc.blocking", "wsrc.pyscard", "wsrc.errors", "wsrc.octets"}


class Run:
    """An example that runs; what it says is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def until(self, end: str) -> str:
        """Read up to and including a text."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            said = (await self.process.stdout.readuntil(end.encode())).decode()
        return without_first_use(said) or await self.until(end)

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def rest(self, status: int = 0) -> str:
        """Read to the end, which must have this exit status."""
        async with asyncio.timeout(LIMIT_S):
            out, _ = await self.process.communicate()
        assert self.process.returncode == status, out.decode()
        return without_first_use(out.decode())


def without_first_use(said: str) -> str:
    """Return what an example says without the line on the key of a card host."""
    return re.sub(r"(?m)^The key of card host .* card_ca would tell it from another\.\n", "", said)


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates) as world:
        yield world


@asynccontextmanager
async def example(world: World, name: str, *args: str, url: str = "") -> AsyncIterator[Run]:
    """Run an example as whoever reads it would: a program, and two variables."""
    path = str(FOLDER / name)
    command = [sys.executable, "-u", "-W", "error", path] if name.endswith(".py") else []
    if name.startswith("test_"):
        command[-1:] = ["-m", "pytest", "-q", "-p", "no:cacheprovider", path]
    process = await asyncio.create_subprocess_exec(
        *(command or argv("wsrc", "script", path, "--iccid", UICC)),
        *args,
        env=environment(
            WSRC_SERVER_URL=url or world.user_url,
            WSRC_TLS_CA=str(world.ca),
            PCSCLITE_CSOCK_NAME="/nonexistent/pcscd.comm",
            PYTHONPATH=str(ROOT),
        ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def output(world: World, name: str, *args: str, status: int = 0) -> str:
    async with example(world, name, *args) as run:
        return await run.rest(status)


def summary(path: Path) -> str:
    """Return the first sentence of an example, which says what it shows."""
    text = path.read_text("utf-8")
    said = ast.get_docstring(ast.parse(text)) if path.suffix == ".py" else text.lstrip("# ")
    return (said or "").partition("\n")[0]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_says_what_it_shows_and_is_run_here(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) < 40
    assert summary(path).endswith(".")
    assert any(path.name in line for line in lines) or path.stem == "notebook"
    tests = Path(__file__).read_text("utf-8")
    assert re.search(rf'(?:example|output)\(world, "{re.escape(path.name)}"', tests)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_imports_what_programs_may(path: Path) -> None:
    if path.suffix != ".py":
        return
    named = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(node.module or "")
    assert {name for name in named if name.partition(".")[0] == "wsrc"} <= PUBLIC


def test_the_readme_has_every_example_and_what_it_shows() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[`([\w.]+)`\]\(([\w.]+)\) \| (.+?) \|$", text, re.MULTILINE)
    assert rows == [(path.name, path.name, summary(path)) for path in EXAMPLES]


async def test_read_iccid(world: World) -> None:
    await world.host()
    assert await output(world, "read_iccid.py", UICC) == f"{UICC}\n"


async def test_many_cards(world: World) -> None:
    await world.host()
    other = await world.user("other@lab")
    async with other.select(eid=EUICC):
        ours, held = sorted((await output(world, "many_cards.py", "*bench")).splitlines())
    assert ours == f"{BOX}@bench: {ICCID}"
    assert "other@lab" in held


async def test_wait_for_a_card(world: World) -> None:
    await world.host(labels=LABELS)
    other = await world.user("other@lab")
    card = await other.select(label="blue")
    async with example(world, "wait_for_a_card.py", "blue", "60") as run:
        told = await run.until("\n")
        assert told == "Place 1 in the queue; the card is held by other@lab.\n"
        await card.detach()
        assert await run.rest() == f"Ours: {card.atr.hex()}\n"


async def test_wait_for_a_card_that_does_not_come(world: World) -> None:
    await world.host(labels=LABELS)
    said = await output(world, "wait_for_a_card.py", "green", "0", status=1)
    assert said.startswith("Not in 0 s: ")


async def test_batch(world: World) -> None:
    await world.host(labels=LABELS)
    lines = (await output(world, "batch.py", "blue")).splitlines()
    assert lines[2] == f"00b000000a -> {ICCID}"
    assert lines[5:] == ["00b0000009 -> 6982", "Stopped at step 5; 1 not sent."]


async def test_share_a_card(world: World) -> None:
    """Another has a transaction, which ends with a reset."""
    await world.host(labels=LABELS)
    other = await world.user("other@lab")
    async with other.select(label="blue", share=Share.SHARED) as card:
        await card.begin()
        async with example(world, "share_a_card.py", "blue") as run:
            await until(lambda: world.in_flight == 1)
            await card.end(disposition=Disposition.RESET)
            told, answer = (await run.rest()).splitlines()
    assert "reset" in told
    assert answer == ICCID


async def test_watch_readers(world: World) -> None:
    host = await world.host(default_cards()[:1])
    async with example(world, "watch_readers.py") as run:
        assert await run.until("\n") == f"{BOX}: present\n"
        host.source.remove(BOX)
        await run.until(f"{BOX}: changed, empty\n")
        host.source.insert(BOX)
        await run.until(f"{BOX}: changed, present\n")
        host.source.unplug(BOX)
        await run.until(f"{BOX}: removed, ")
        run.process.send_signal(signal.SIGINT)
        await run.rest()


async def test_raw_tpdus(world: World) -> None:
    await world.host(labels=LABELS)
    select, response, size = (await output(world, "raw_tpdus.py", "blue")).splitlines()
    assert re.search(r"-> 61[0-9A-F]{2}$", select)
    assert response.startswith("00c00000")
    assert response.endswith(" 9000")
    assert int(size.split()[3]) == int(select[-2:], 16)


async def test_verify_pin(world: World) -> None:
    await world.host(labels=LABELS)
    async with example(world, "verify_pin.py", "blue") as run:
        run.type("1234")
        assert await run.rest() == "PIN: 9000\n"


async def test_verify_pin_that_the_card_may_have_seen(world: World) -> None:
    """The card counts a wrong try; then its host is gone, and so is the answer."""
    cards = default_cards()[:1]
    host = await world.host(cards, labels=LABELS)
    cards[0].faults = Faults(delay_s=5.0, when=When.AFTER, only="0020000108")
    async with example(world, "verify_pin.py", "blue") as run:
        await run.until("PIN: ")
        run.type("4321")
        assert await asyncio.to_thread(cards[0].struck.wait, LIMIT_S)
        host.stop.set()
        assert "may or may not" in await run.until("\n")
        cards[0].faults = Faults()
        await world.host(cards, "again", labels=LABELS)
        assert await run.rest() == "63C2\n"


class Swallowing(Proxy):
    """Tells when a client said something while it was silent."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.swallowed = asyncio.Event()

    def line(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> Line:
        return SwallowingLine(self, near, far)


class SwallowingLine(Line):
    async def forward(self, octets: bytes, to: asyncio.StreamWriter) -> None:
        if self.silent and to is self.far:
            assert isinstance(self._proxy, Swallowing)
            self._proxy.swallowed.set()
        await super().forward(octets, to)


async def test_verify_pin_that_the_card_has_not_seen(world: World) -> None:
    """The network swallows the command; meanwhile the card is taken out and put in again."""
    host = await world.host(default_cards()[:1], labels=LABELS)
    async with (
        listening(Swallowing(world.app.user_port)) as proxy,
        example(world, "verify_pin.py", "blue", url=f"wss://localhost:{proxy.port}/user") as run,
    ):
        await run.until("PIN: ")
        proxy.silent = True
        run.type("1234")
        async with asyncio.timeout(LIMIT_S):
            await proxy.swallowed.wait()
        host.source.remove(BOX)
        await until(lambda: world.counts["cards"] == 0)
        host.source.insert(BOX)
        proxy.silent = False
        proxy.cut()
        error, answer = (await run.rest()).splitlines()
    assert "taken out" in error
    assert "may or may not" not in error
    assert answer == "9000"


async def test_notebook(world: World) -> None:
    cards = default_cards()[:1]
    await world.host(cards, labels=LABELS)
    said = (await output(world, "notebook.py")).splitlines()
    assert said[0] == f"{BOX}@bench {UICC} ready"
    assert said[1].endswith("9000")
    assert said[-1] == cards[0].atr.hex()
    await until(lambda: ready(world))


async def ready(world: World) -> bool:
    return await world.state_of(label="blue") is CardState.READY


async def test_remote_pyscard(world: World) -> None:
    await world.host(default_cards()[:1])
    said = await output(world, "remote_pyscard.py")
    assert said == f"WSRC {UICC} 00 00: 98 88 12 01 00 00 40 03 10 F0 9000\n"


async def test_pytest(world: World) -> None:
    await world.host()
    said = await output(world, "test_cards.py", "--wsrc-tag", "host=bench")
    assert "3 passed" in said
    assert "ICCID" in said.partition("cards")[2]


async def test_script(world: World) -> None:
    await world.host()
    said = await output(world, "read_iccid.wsrc")
    assert "5 lines done, all as expected" in said
