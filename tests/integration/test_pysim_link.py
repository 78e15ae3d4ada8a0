# SPDX-License-Identifier: Apache-2.0
"""The reader for pySim, against a stand-in of its base class and a real server."""
# Longer than the aim: all tests of a package of its own, which share the stand-in of pySim.

import abc
import argparse
import contextlib
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.gate import Gate
from tests.support.in_thread import Elsewhere, elsewhere
from tests.support.paths import ROOT
from tests.support.proxy import listening
from tests.support.world import EUICC, UICC, Host, until
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Faults, make_card, parse_description
from wsrc.readers.simulation.card import When

FOLDER = ROOT / "contrib" / "pysim"


class Tracer:
    def __init__(self) -> None:
        self.said: list[str] = []

    def trace_command(self, cmd: str) -> None:
        self.said.append(cmd)


class LinkBase(abc.ABC):
    """The abstract methods and the constructor of pySim's class; nothing of what it does."""

    def __init__(
        self, sw_interpreter: Any = None, apdu_tracer: Any = None, proactive_handler: Any = None
    ) -> None:
        self.sw_interpreter = sw_interpreter
        self.apdu_tracer = apdu_tracer
        self.proactive_handler = proactive_handler

    @abc.abstractmethod
    def __str__(self) -> str: ...

    @abc.abstractmethod
    def _send_apdu(self, apdu: str) -> tuple[str, str]: ...

    @abc.abstractmethod
    def wait_for_card(self, timeout: int | None = None, newcardonly: bool = False) -> None: ...

    @abc.abstractmethod
    def connect(self) -> None: ...

    @abc.abstractmethod
    def get_atr(self) -> str: ...

    @abc.abstractmethod
    def disconnect(self) -> None: ...

    @abc.abstractmethod
    def _reset_card(self) -> int: ...


class NoCardError(Exception): ...


class ProtocolError(Exception): ...


class ReaderError(Exception): ...


def own_args(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--pcsc-device", type=int)
    return parser


def own_reader(opts: argparse.Namespace, **kwargs: Any) -> str:
    return f"a reader of pySim's own, {sorted(kwargs)}"


@pytest.fixture(autouse=True)
def pysim(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    package, exceptions, transport = (
        ModuleType(name) for name in ("pySim", "pySim.exceptions", "pySim.transport")
    )
    for kind in (NoCardError, ProtocolError, ReaderError):
        setattr(exceptions, kind.__name__, kind)
    for name, what in {
        "LinkBase": LinkBase,
        "StdoutApduTracer": Tracer,
        "argparse_add_reader_args": own_args,
        "init_reader": own_reader,
    }.items():
        setattr(transport, name, what)
    package.exceptions, package.transport = exceptions, transport  # type: ignore[attr-defined]
    for module in (package, exceptions, transport):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("HOME", "/nonexistent")
    yield transport
    for name in [name for name in sys.modules if name.startswith("wsrc_pysim")]:
        del sys.modules[name]


@pytest.fixture
def there(certificates: Certificates) -> Iterator[Elsewhere]:
    with elsewhere(certificates) as there:
        yield there


@pytest.fixture
def host(there: Elsewhere) -> Host:
    return there.do(there.world.host())


def options(
    there: Elsewhere,
    *args: str,
    url: tuple[str, ...] | None = None,
    ca: tuple[str, ...] | None = None,
) -> argparse.Namespace:
    import wsrc_pysim  # type: ignore[import-not-found]  # noqa: PLC0415
    from pySim import transport  # type: ignore[import-not-found]  # noqa: PLC0415

    wsrc_pysim.install()
    wsrc_pysim.install()
    parser = argparse.ArgumentParser()
    assert transport.argparse_add_reader_args(parser) is parser
    parser.add_argument("--apdu-trace", action="store_true")
    url = ("--wsrc-server-url", there.url) if url is None else url
    ca = ("--wsrc-ca", str(there.certificates.ca)) if ca is None else ca
    return parser.parse_args([*url, *ca, *args])


@pytest.fixture
def link(there: Elsewhere, host: Host, pysim: ModuleType) -> Iterator[Any]:
    opts = options(there, "--wsrc-iccid", UICC)
    link = pysim.init_reader(opts)
    yield link
    link.close()


def state(there: Elsewhere) -> CardState | None:
    return there.do(there.world.state_of(iccid=UICC))


def test_pysim_opens_this_reader_when_a_card_is_named(
    there: Elsewhere, host: Host, pysim: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    opts = options(there, "--wsrc-eid", EUICC, "--apdu-trace")
    link = pysim.init_reader(opts, sw_interpreter="one")
    assert isinstance(link, LinkBase)
    assert isinstance(link.apdu_tracer, Tracer)
    assert link.sw_interpreter == "one"
    assert str(link) == f"WSRC[EID {EUICC} at {there.url}]"
    assert capsys.readouterr().out == f"Using reader {link}\n"
    link.connect()
    link._send_apdu("00a4040010a0000005591010ffffffff890000010000")
    data, sw = link._send_apdu("80e2910006bf3e035c015a00")
    assert (data, sw) == (f"bf3e125a10{EUICC}", "9000")
    link.close()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--wsrc-iccid", "8988 2110 0000 0430 01"], "ICCID 8988 2110 0000 0430 01"),
        (["--wsrc-reader", "Simulated UICC 00 00@bench"], "READER Simulated UICC 00 00@bench"),
        (["--wsrc-label", "Blue"], "LABEL Blue"),
        (["--wsrc-card", "blue"], "CARD blue"),
        (["--wsrc-label", "blue", "--wsrc-iccid", UICC], f"ICCID {UICC}, LABEL blue"),
    ],
)
def test_d28_a_card_is_chosen_by(
    there: Elsewhere, pysim: ModuleType, args: list[str], named: str
) -> None:
    there.do(there.world.host(labels={UICC: "blue"}))
    opts = options(there, *args)
    link = pysim.init_reader(opts)
    assert str(link) == f"WSRC[{named} at {there.url}]"
    link.connect()
    assert state(there) is CardState.ASSOCIATED
    link.close()


def test_a_card_is_read_ahead_where_that_is_asked_for(
    there: Elsewhere, host: Host, pysim: ModuleType
) -> None:
    for args, read_ahead in ((["--wsrc-read-ahead"], True), ([], False)):
        opts = options(there, "--wsrc-iccid", UICC, *args)
        link = pysim.init_reader(opts)
        assert link._settings.read_ahead is read_ahead
        link.connect()
        assert link._send_apdu("00a40004022fe200")[1] == "9000"
        assert link._send_apdu("00b0000000") == ("988812010000400310f0", "9000")
        link.close()


def test_d28_several_cards_are_told_apart_by_an_option_that_there_is(
    there: Elsewhere, host: Host, pysim: ModuleType
) -> None:
    opts = options(there, "--wsrc-card", "3b9c96801fc78031e073fe215364575352438d")
    link = pysim.init_reader(opts)
    there.do(there.world.host(name="second"))
    with pytest.raises(ReaderError, match="Select by reader as well"):
        link.connect()
    link.close()
    both = ("--wsrc-iccid", UICC, "--wsrc-reader", "Simulated UICC 00 00@second")
    opts = options(there, *both)
    link = pysim.init_reader(opts)
    link.connect()
    link.close()


def test_d28_options_that_pysim_has_itself_give_way(
    there: Elsewhere, host: Host, pysim: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_its_own(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        group = own_args(parser).add_argument_group("its own")
        group.add_argument("--wsrc-server-url", default="ws://localhost:4220")
        group.add_argument("--wsrc-iccid", type=bytes.fromhex)
        return parser

    monkeypatch.setattr(pysim, "argparse_add_reader_args", with_its_own)
    monkeypatch.setenv("WSRC_SERVER_URL", there.url)
    opts = options(there, "--wsrc-iccid", UICC, "--wsrc-reader", "*", url=())
    link = pysim.init_reader(opts)
    assert str(link) == f"WSRC[ICCID {UICC}, READER * at {there.url}]"
    link.close()


def test_pysim_opens_its_own_reader_when_nothing_is_said_of_this_one(
    there: Elsewhere, pysim: ModuleType
) -> None:
    opts = options(there, url=(), ca=())
    assert pysim.init_reader(opts, proactive_handler=1) == (
        "a reader of pySim's own, ['proactive_handler']"
    )


def test_d29_a_server_without_a_card_is_not_passed_over(
    there: Elsewhere, pysim: ModuleType
) -> None:
    opts = options(there)
    with pytest.raises(ReaderError, match="Say which card, with --wsrc-iccid"):
        pysim.init_reader(opts)


def test_a8_a_password_is_refused_on_the_command_line(there: Elsewhere, pysim: ModuleType) -> None:
    url = ("--wsrc-server-url", there.url.replace("wss://", "wss://user:geheim@"))
    opts = options(there, "--wsrc-iccid", UICC, url=url)
    with pytest.raises(ReaderError, match="as WSRC_SERVER_URL") as caught:
        pysim.init_reader(opts)
    assert "geheim" not in str(caught.value)


def test_d28_the_reader_is_told_of_as_this_pysim_does(
    there: Elsewhere,
    host: Host,
    pysim: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pysim, "log", logging.getLogger("pySim.transport"), raising=False)
    caplog.set_level(logging.INFO)
    opts = options(there, "--wsrc-iccid", UICC)
    for tested in ("0", "1"):
        monkeypatch.setenv("PYSIM_INTEGRATION_TEST", tested)
        pysim.init_reader(opts).close()
    told = [record.getMessage() for record in caplog.records if "Using" in record.getMessage()]
    assert told == [
        f"Using reader WSRC[ICCID {UICC} at {there.url}]",
        "Using WSRC reader interface",
    ]
    assert capsys.readouterr().out == ""


def test_d28_an_atr_is_what_an_older_pysim_takes(
    there: Elsewhere, host: Host, pysim: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(LinkBase, "get_atr")
    opts = options(there, "--wsrc-iccid", UICC)
    link = pysim.init_reader(opts)
    link.connect()
    assert link.get_atr()[0] == 0x3B
    link.close()


def test_a_card_is_taken_used_reset_and_given_back(there: Elsewhere, host: Host, link: Any) -> None:
    assert state(there) is CardState.READY
    link.wait_for_card(5)
    assert state(there) is CardState.ASSOCIATED
    assert link.get_atr().startswith("3b")
    assert link._send_apdu("00A40004023F0000")[1] == "9000"
    assert link._send_apdu_raw("00a40004022fe200")[1] == "9000"
    assert link._send_apdu("00B000000A") == ("988812010000400310f0", "9000")
    assert link._send_apdu("0020000108 31323334ffffffff") == ("", "9000")
    assert link._reset_card() == 1
    assert link._send_apdu("00200001") == ("", "63c3")
    link.disconnect()
    link.disconnect()
    with pytest.raises(NoCardError, match="Not connected"):
        link._send_apdu("00200001")
    with pytest.raises(NoCardError):
        link.get_atr()
    link.connect()
    link.connect()
    link.wait_for_card()
    assert link._send_apdu("00200001") == ("", "63c3")


def test_any_card_is_taken_and_stays_the_same(
    there: Elsewhere, host: Host, pysim: ModuleType
) -> None:
    opts = options(there, "--wsrc-any", "--wsrc-tag", "card=euicc")
    link = pysim.init_reader(opts)
    try:
        assert str(link).startswith("WSRC[any, TAG card=euicc at ")
        for _ in range(2):
            link.wait_for_card(5)
            assert there.do(there.world.state_of(eid=EUICC)) is CardState.ASSOCIATED
            link.disconnect()
        assert "any" not in str(link)
    finally:
        link.close()


def test_a_card_is_taken_by_a_reservation(
    certificates: Certificates, pysim: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with elsewhere(certificates, state_dir=tmp_path) as there:
        there.do(there.world.host())
        user = there.do(there.world.user())
        made = there.do(user.reserve(3600, iccid=UICC))
        monkeypatch.setenv("WSRC_RESERVATION", made.token)
        opts = options(there, url=(), ca=())
        opts.pcsc_dev = 0
        assert pysim.init_reader(opts).startswith("a reader of pySim's own")
        opts = options(there)
        link = pysim.init_reader(opts)
        try:
            assert str(link).startswith("WSRC[a reservation at ")
            assert made.token not in str(link)
            link.connect()
            assert there.do(there.world.state_of(iccid=UICC)) is CardState.ASSOCIATED
            link.disconnect()
            with pytest.raises(NoCardError, match="in time"):
                link.wait_for_card(0, newcardonly=True)
        finally:
            link.close()


def test_a_card_that_is_held_is_waited_for(there: Elsewhere, host: Host, link: Any) -> None:
    third = there.do(there.world.user("third"))

    async def hold() -> Any:
        return await third.select(iccid=UICC)

    held = there.do(hold())
    with pytest.raises(ProtocolError, match="held by third"):
        link.connect()
    with pytest.raises(NoCardError, match="held by third"):
        link.wait_for_card(0)
    waiting = threading.Thread(target=link.wait_for_card)
    waiting.start()
    there.do(held.detach())
    waiting.join(20)
    assert link.get_atr()


def test_a_new_card_is_waited_for(there: Elsewhere, host: Host, link: Any) -> None:
    name = next(name for name in host.source.names if " UICC" in name)
    with pytest.raises(NoCardError, match="No card was put in"):
        link.wait_for_card(0, newcardonly=True)
    waiting = threading.Thread(target=link.wait_for_card, args=(20, True))
    waiting.start()

    async def again() -> None:
        async def is_in(count: int) -> bool:
            return len(await there.world.cards(iccid=UICC)) == count

        host.source.remove(name)
        await until(lambda: is_in(0))
        host.source.insert(name)
        await until(lambda: is_in(1))

    while waiting.is_alive():  # it may begin to look when the card is in again
        there.do(again())
        waiting.join(0.2)
    assert link.get_atr()


def test_a_card_that_went_is_no_card(there: Elsewhere, host: Host, link: Any) -> None:
    link.connect()
    link._send_apdu("00200001")
    name = next(name for name in host.source.names if " UICC" in name)
    host.source.remove(name)
    with pytest.raises((ProtocolError, NoCardError)):
        link._send_apdu("00200001")
    with pytest.raises(NoCardError):
        link.connect()
    host.source.insert(name)
    link.wait_for_card(20)
    assert link._send_apdu("00200001") == ("", "63c3")


@pytest.mark.parametrize("apdu", ["", "00", "xx", "00a4000c053f00"])
def test_what_is_no_command_is_not_sent(link: Any, apdu: str) -> None:
    link.connect()
    with pytest.raises((ProtocolError, ReaderError)):
        link._send_apdu(apdu)
    assert link._send_apdu("00200001") == ("", "63c3")


def test_faults_of_the_reader_are_readers_faults(there: Elsewhere, host: Host) -> None:
    from wsrc_pysim.link import WsrcLink  # type: ignore[import-not-found]  # noqa: PLC0415

    with pytest.raises(
        ReaderError, match=r"--wsrc-iccid, --wsrc-eid, --wsrc-reader, .* or --wsrc-"
    ):
        WsrcLink(argparse.Namespace())
    for url in ("http://localhost", "wss://localhost:1/user"):
        with pytest.raises(ReaderError):
            WsrcLink(argparse.Namespace(wsrc_iccid=UICC, wsrc_server_url=url))


class Way:
    """The way from a link to the server, which can be cut and shut."""

    def __init__(self, there: Elsewhere) -> None:
        self._there = there
        self._stack = contextlib.AsyncExitStack()
        self._gate = there.do(
            self._stack.enter_async_context(listening(Gate(there.world.app.user_port)))
        )

    def link(self, pysim: ModuleType) -> Any:
        url = f"wss://localhost:{self._gate.port}/user"
        opts = options(self._there, "--wsrc-iccid", UICC, "--wsrc-server-url", url)
        return pysim.init_reader(opts)

    def cut(self) -> None:
        self._do(self._gate.cut)

    def shut(self) -> None:
        self._do(self._gate.shut)

    def open(self) -> None:
        self._do(self._gate.open)

    def close(self) -> None:
        self._there.do(self._stack.aclose())

    def _do(self, doing: Callable[[], None]) -> None:
        async def do() -> None:
            doing()

        self._there.do(do())


@pytest.fixture
def way(there: Elsewhere) -> Iterator[Way]:
    way = Way(there)
    yield way
    way.close()


def test_a_cut_costs_time_and_nothing_else(there: Elsewhere, way: Way, pysim: ModuleType) -> None:
    card = make_card(parse_description(f'kind = "uicc"\niccid = "{UICC}"\n', "card"))
    card.faults = Faults(delay_s=0.2, when=When.AFTER, only="8032")
    there.do(there.world.host([card]))
    link = way.link(pysim)
    link.connect()
    link._send_apdu("00a4040c10a0000000871002ffffffff8907090000")
    link._send_apdu("002000010831323334ffffffff")
    told: list[tuple[str, str]] = []

    def count() -> None:
        told.extend(link._send_apdu("80329c00010100") for _ in range(3))

    counting = threading.Thread(target=count)
    counting.start()
    there.do(until(card.struck.is_set))
    way.cut()
    counting.join(20)
    assert told == [(f"{n:06x}01", "9000") for n in (1, 2, 3)]
    assert link._send_apdu("00b201e403") == ("000003", "9000")
    link.close()


def test_a_server_that_was_lost_is_connected_to_again(
    host: Host, way: Way, pysim: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSRC_KEEP_S", "0.2")
    link = way.link(pysim)
    link.connect()
    link._send_apdu("0020000108 31323334ffffffff")
    way.shut()
    with pytest.raises(ReaderError, match=r"could not be restored within 0\.2 s"):
        link._send_apdu("00200001")
    for _ in range(2):
        with pytest.raises(ReaderError, match="localhost"):
            link.connect()
    way.open()
    link.wait_for_card(20)
    assert link._send_apdu("00200001") == ("", "63c3")
    link.close()


PROGRAM = """
import argparse, sys
from pySim.transport import argparse_add_reader_args, init_reader
parser = argparse.ArgumentParser()
argparse_add_reader_args(parser)
print(parser.parse_args(), sys.argv, __name__)
"""


def stand_in(tmp_path: Path, program: str) -> Path:
    """Write a pySim that has what the launcher needs, and a program that uses it."""
    transport = tmp_path / "pySim" / "transport.py"
    transport.parent.mkdir()
    (tmp_path / "pySim" / "exceptions.py").write_text(
        "class NoCardError(Exception): ...\nclass ProtocolError(Exception): ...\n"
        "class ReaderError(Exception): ...\n"
    )
    transport.write_text(
        "class LinkBase:\n  def __init__(self, **kwargs): ...\n"
        "def argparse_add_reader_args(parser): return parser\n"
        "def init_reader(opts): ...\n"
    )
    (tmp_path / "shell.py").write_text(program)
    return tmp_path / "shell.py"


def test_a_program_is_run_as_it_would_run_alone(tmp_path: Path) -> None:
    done = launch(stand_in(tmp_path, PROGRAM), "--wsrc-iccid", UICC)
    assert done.returncode == 0, done.stderr
    assert f"wsrc_iccid='{UICC}'" in done.stdout
    assert "'--wsrc-iccid'" in done.stdout
    assert "__main__" in done.stdout


@pytest.mark.shows_secrets("the program in place of pySim prints what it was given")
def test_d28_a_reader_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    program = PROGRAM + "\nimport pySim.transport\npySim.transport.init_reader(parser.parse_args())"
    url = "wss://user:geheim@localhost:1"
    done = launch(stand_in(tmp_path, program), "--wsrc-iccid", UICC, "--wsrc-server-url", url)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("wsrc-pysim: server_url: everyone on this machine can read a password")


def test_the_launcher_says_what_is_missing(tmp_path: Path) -> None:
    assert "Usage: wsrc-pysim" in launch().stderr
    assert "shell.py is no file" in launch(tmp_path / "shell.py").stderr
    (tmp_path / "shell.py").write_text("")
    done = launch(tmp_path / "shell.py")
    assert done.returncode == 1
    assert "pySim cannot be imported" in done.stderr


def launch(*args: object) -> "subprocess.CompletedProcess[str]":
    script = f"import sys; sys.path[:0] = ['{FOLDER}', '{FOLDER.parents[1]}']; sys.argv[0] = 'x'; "
    return subprocess.run(
        [sys.executable, "-c", script + "from wsrc_pysim.__main__ import main; main()", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
