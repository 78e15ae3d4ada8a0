# SPDX-License-Identifier: Apache-2.0
"""The plugin of pytest: runs of pytest, in processes of their own, against the real programs."""

import json
import signal
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Program, Programs, running
from tests.support.secret_scan import EARS
from tests.support.world import UICC

# Longer than the aim: each run needs the same server, which takes long to start.

pytest_plugins = ("pytester",)

Run = Callable[..., pytest.RunResult]

TAGS = """
[[tags]]
cards = "89882119990*"
set = { kind = "pair" }
"""
PAIR = ("8988211999000000019", "8988211999000000027")
"""Cards beside the two that come with WSRC, which have a tag."""

TAKES_PAIR = ("--wsrc-tag", "kind=pair")
READ = """
def read(card):
    for command in ("00a4000c023f00", "00a4000c022fe2"):
        assert card.transmit(bytes.fromhex(command)).sw == 0x9000
    return card.transmit(bytes.fromhex("00b000000a")).data.hex()
"""


class Lab:
    """A server, a card host with four cards, and who has which."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.programs = programs
        settings = folder / "host.toml"
        settings.write_text(TAGS, "utf-8")
        files = ["--simulated", "default"]
        for iccid in PAIR:
            file = folder / f"{iccid}.toml"
            file.write_text(f'kind = "uicc"\niccid = "{iccid}"\n', "utf-8")
            files += ["--simulated", str(file)]
        self.server = programs.server()
        host = programs.card_client("--no-pcsc", "--config", str(settings), *files)
        host.wait_for("has card", 4)

    def held(self) -> list[str]:
        """Return the ICCIDs of the cards that somebody has."""
        said = self.programs.wsrc("who", "--busy", "--json")
        assert said.returncode == 0, said.stderr
        return [each["card"]["iccid"] for each in json.loads(said.stdout)["cards"]]

    def until_held(self, iccids: Sequence[str]) -> None:
        """Wait until these cards, and no other, are somebody's."""
        until = time.monotonic() + LIMIT_S
        while sorted(held := self.held()) != sorted(iccids):
            assert time.monotonic() < until, held


@pytest.fixture(scope="module")
def lab(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running(certificates) as programs:
        yield Lab(programs, tmp_path_factory.mktemp("lab"))


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest on a file, with this plugin and xdist alone, and hears what it prints."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def run(source: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(READ + source)
        result = pytester.runpytest_subprocess("-p", "wsrc", "-p", "xdist", "-W", "error", *args)
        EARS.hear("\n".join(result.outlines + result.errlines), "the output of pytest")
        return result

    return run


@pytest.fixture
def served(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab, which runs of pytest find in their environment."""
    for name, value in lab.programs.user_environment.items():
        if name.startswith("WSRC_"):
            monkeypatch.setenv(name, value)
    return lab


def text(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines)


def test_each_test_has_a_card_that_is_fresh_and_the_report_says_which(
    served: Lab, run: Run, pytester: pytest.Pytester
) -> None:
    result = run(
        """
import pytest

PIN = bytes.fromhex("002000010831323334ffffffff")

@pytest.mark.parametrize("number", range(2))
def test_pin(card, number):
    assert card.transmit(bytes.fromhex("00a4040c10a0000000871002ffffffff8907090000")).sw == 0x9000
    assert card.transmit(bytes.fromhex("00200001")).sw == 0x63C3  # nobody has verified it
    assert card.transmit(PIN).sw == 0x9000

@pytest.mark.wsrc(iccid="8988211999000000027")
def test_this_one(card):
    assert card.info.identities.iccid == "8988211999000000027"
""",
        *TAKES_PAIR,
        "--junitxml=junit.xml",
    )
    result.assert_outcomes(passed=3)
    header = "wsrc: cards with tag kind=pair of wss://localhost:*, for each function, wait 60 s"
    result.stdout.fnmatch_lines([header, f"ICCID {PAIR[1]}, in reader *: 2 tests, * s of waiting"])
    cases = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    had = [{p.get("name"): p.get("value") or "" for p in case.iter("property")} for case in cases]
    first = {each["wsrc_card"].split(",")[0] for each in had[:2]}
    assert first == {f"ICCID {iccid}" for iccid in PAIR}  # the least recently used one each time
    assert all(float(each["wsrc_waited_s"]) >= 0 for each in had)
    assert served.held() == []


def test_workers_that_want_one_card_or_both_never_have_the_same(
    served: Lab, run: Run, pytester: pytest.Pytester
) -> None:
    result = run(
        f"""
import pathlib, pytest

HELD = pathlib.Path({str(pytester.path)!r})

def hold(cards):
    names = [HELD / f"held-{{read(card)}}" for card in cards]
    for name in names:
        name.touch(exist_ok=False)
    for card in cards:
        assert card.transmit(bytes.fromhex("00a4000c023f00")).sw == 0x9000
    for name in names:
        name.unlink()

@pytest.mark.parametrize("number", range(3))
def test_one(card, number):
    hold([card])

@pytest.mark.parametrize("number", range(3))
def test_both(cards, number):
    hold(cards(2))
""",
        *TAKES_PAIR,
        "-n2",
    )
    result.assert_outcomes(passed=6)
    assert served.held() == []


def test_a_failed_test_shows_its_commands_without_pins(served: Lab, run: Run) -> None:
    result = run(
        """
def test_before(card):
    read(card)

def test_pin(card, pin=bytes.fromhex("002000010831323334ffffffff")):
    card.transmit(bytes.fromhex("00a4040c10a0000000871002ffffffff8907090000"))
    answer = card.transmit(pin)
    del pin
    assert answer.sw == 0x6982
""",
        *("--wsrc-iccid", UICC, "--wsrc-apdus=1", "-n1", "--tb=line"),
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*commands of cards, without PINs and keys*",
            "2 before these are not shown",
            "* 00 20 00 01 08 [[]8 octets[]] -> 90 00",
        ]
    )
    assert "00 b0 00 00 0a" not in text(result)
    assert "31 32 33 34" not in text(result)


def test_a_card_is_one_for_a_module_and_is_given_back_at_its_end(served: Lab, run: Run) -> None:
    result = run(
        """
import pytest

pytestmark = pytest.mark.wsrc(scope="module", tag={"kind": "pair"})

def test_first(card):
    card.transmit(bytes.fromhex("00a4000c022fe2"))

def test_as_it_was_left(card):
    assert card.transmit(bytes.fromhex("00b000000a")).sw == 0x9000

def test_another_after_it_was_lost(card):
    card.detach()

@pytest.mark.wsrc(scope="function")
def test_own(card):
    assert card.transmit(bytes.fromhex("00b000000a")).sw != 0x9000
"""
    )
    result.assert_outcomes(passed=4)
    assert served.held() == []


def test_the_first_failure_ends_the_run_and_gives_each_card_back(served: Lab, run: Run) -> None:
    for more in ((), ("--wsrc-scope", "session"), ("-n1",)):
        result = run(
            """
def test_good(card):
    read(card)

def test_wrong(card):
    raise AssertionError

def test_never(card):
    read(card)
""",
            *(*TAKES_PAIR, "-x", *more),
        )
        outcomes = result.parseoutcomes()
        assert (outcomes["passed"], outcomes["failed"]) == (1, 1)
        assert served.held() == []


def test_a_card_is_one_for_a_class_or_a_session(served: Lab, run: Run) -> None:
    result = run(
        """
import pytest

AT = []

def is_fresh(card):
    return card.transmit(bytes.fromhex("00b000000a")).sw != 0x9000

@pytest.mark.wsrc(scope="class")
class TestOfOne:
    def test_first(self, card):
        assert is_fresh(card)
        read(card)
        AT.append(card.info.identities.iccid)

    def test_second(self, card):
        assert not is_fresh(card)
        assert AT == [card.info.identities.iccid]

@pytest.mark.wsrc(scope="class")
class TestOfAnother:
    def test_first(self, card):
        assert is_fresh(card)

def test_of_the_session(card):
    assert is_fresh(card)
    read(card)
    AT[:] = [card.info.identities.iccid]

class TestOfTheSession:
    def test_as_it_was_left(self, card):
        assert not is_fresh(card)
        assert AT == [card.info.identities.iccid]
""",
        *(*TAKES_PAIR, "--wsrc-scope", "session"),
    )
    result.assert_outcomes(passed=5)
    assert served.held() == []


def test_a_card_is_shared_or_its_reader_used_alone(served: Lab, run: Run) -> None:
    first = PAIR[0]
    result = run(
        f"""
import pytest

@pytest.mark.wsrc(iccid="{first}", share="shared")
def test_both_have_it(card, wsrc_client):
    with wsrc_client.select(iccid="{first}", share="shared") as other:
        read(other)
        assert card.transmit(bytes.fromhex("00b000000a")).sw == 0x9000

@pytest.mark.wsrc(iccid="{first}", share="exclusive", wait=0)
def test_alone(card, wsrc_client):
    with pytest.raises(Exception, match="held by"):
        wsrc_client.select(iccid="{first}", share="shared", wait_s=0)

@pytest.mark.wsrc(iccid="{first}", share="direct")
def test_the_reader(card):
    assert card.status().reader_name

@pytest.mark.wsrc(share="shared")
def test_of_which(card): ...
""",
        *TAKES_PAIR,
    )
    result.assert_outcomes(passed=3, errors=1)
    assert "2 cards have" in text(result)
    assert served.held() == []


def test_what_cannot_be_had_is_told(served: Lab, run: Run) -> None:
    result = run(
        """
import pytest

@pytest.mark.wsrc(tag={"kind": "sgp22"})
def test_none(card): ...

@pytest.mark.wsrc(tag={"kind": "other"})
def test_contrary(card): ...

@pytest.mark.wsrc(kind="sgp22")
def test_word(card): ...

@pytest.mark.wsrc(iccid="8988211999000000019", wait=1)
def test_three(cards):
    cards(2)

@pytest.mark.wsrc(wait=0.5)
def test_second_never_comes(cards):
    cards(1, {"tag": {"kind": "sgp23"}})

def test_one_after_another(cards):
    cards(1)
    cards(1)
""",
        *("--wsrc-wait", "0", "--wsrc-no-card", "skip", "-rs"),
    )
    result.assert_outcomes(skipped=4, errors=1, failed=1)
    said = text(result)
    assert "Wanted: cards with tag kind=sgp22. " in said
    assert "Wanted: cards with tag kind=sgp23. " in said
    assert "The marker wsrc has no word 'kind'; it has tag, " in said
    assert "2 cards were wanted at once; 1 could be had. " in said
    assert "take all in one call, such as cards(2)" in said
    assert served.held() == []


def test_no_card_lets_a_test_fail_unless_told_and_options_are_checked(
    served: Lab, run: Run
) -> None:
    source = "def test_none(card): ..."
    result = run(source, "--wsrc-tag", "kind=sgp22", "--wsrc-wait=0")
    result.assert_outcomes(errors=1)
    assert "There is no card for this test." in text(result)
    result = run(source, "--wsrc-tag=kind")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: wsrc: 'kind' is not KEY=VALUE" in result.errlines


def test_no_server_skips_and_one_that_refuses_does_not(
    served: Lab, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "def test_one(card): ...\n\ndef test_two(wsrc_client): ..."
    result = run(source, "--wsrc-server-url", "wss://localhost:1", "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*There is no WSRC server. wss://localhost:1*"])
    run(source, "--wsrc-server-url=wss://localhost:1", "--wsrc-no-server=fail").assert_outcomes(
        errors=2
    )
    monkeypatch.delenv("WSRC_TLS_CA")
    result = run(source)
    result.assert_outcomes(errors=2)
    assert "CA" in text(result)


def test_ctrl_c_gives_cards_back(
    served: Lab, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    path = pytester.makepyfile(
        """
import time

def test_long(cards):
    cards(2)
    time.sleep(600)
"""
    )
    command = [sys.executable, "-m", "pytest", "-p", "wsrc", *TAKES_PAIR, str(path)]
    program = Program(command, served.programs.user_environment, pytester.path)
    try:
        served.until_held(PAIR)
        assert program.end(signal.SIGINT) == pytest.ExitCode.INTERRUPTED
        assert served.held() == []
    finally:
        program.close()


def test_a_run_that_uses_no_card_loads_nothing_of_us(run: Run) -> None:
    result = run(
        """
import sys

def test_other():
    assert {name for name in sys.modules if name.partition(".")[0] == "wsrc"} == {
        "wsrc", "wsrc.pytest_plugin"
    }

def test_library():
    import wsrc.blocking
    assert not any(name.startswith("@") for name in vars(wsrc.blocking))  # no rewritten assertions
""",
        "--strict-markers",
    )
    result.assert_outcomes(passed=2)
    assert not any(line.startswith(("wsrc:", "-")) for line in result.outlines)


def test_a_server_that_ends_in_mid_test_is_a_failure_and_not_a_skip(
    served: Lab, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of this file: there is no server after it."""
    monkeypatch.setenv("WSRC_KEEP_S", "0")
    pid = served.server.process.pid
    result = run(
        f"""
import os, signal

def test_killed(card):
    os.kill({pid}, signal.SIGKILL)
    read(card)

def test_after(card): ...
""",
        "--wsrc-iccid",
        UICC,
    )
    result.assert_outcomes(failed=1, errors=1)
    assert "There is no WSRC server." not in text(result)
