# SPDX-License-Identifier: Apache-2.0
"""Real programs: `wsrc take` holds a card, and programs inside find it (issue 15)."""

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Program, Programs, argv, running
from tests.support.world import EUICC, UICC

VERIFY, ASK_PIN = "002000010831323334ffffffff", "00200001"

WSRC = 'wsrc() { "$PYTHON" -c "$MAIN" "$@"; }; '
"""What `wsrc` is in a shell inside."""


class Farm:
    """A server, which may be started again, and a card host with two cards."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.server = programs.server()
        simulated = ("--no-pcsc", "--simulated", "default", "--seal", "preferred")
        self.host = programs.card_client(*simulated)
        self.host.wait_for(r"has card 898821\D*0010")
        self.host.wait_for(r"has card 898821\D*0028")


class Bench:
    """A user who has a folder of their own."""

    def __init__(self, farm: "Farm", folder: Path, stack: ExitStack) -> None:
        self.farm, self.programs, self.folder, self.stack = farm, farm.programs, folder, stack

    @property
    def env(self) -> dict[str, str]:
        program = argv("wsrc")
        own = {"XDG_RUNTIME_DIR": str(self.folder), "PYTHON": program[0], "MAIN": program[-1]}
        return self.programs.user_environment | own

    @property
    def held(self) -> list[Path]:
        """The folders of what is held."""
        return sorted(self.folder.glob("wsrc-take-*/card-*"))

    def run(self, *args: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            argv("wsrc", *args),
            env=self.env | more,
            capture_output=True,
            text=True,
            timeout=2 * LIMIT_S,
            check=False,
        )

    def take(
        self, script: str, *options: str, iccid: str = UICC
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script of the shell inside."""
        return self.run("take", "--iccid", iccid, *options, "--", "sh", "-c", WSRC + script)

    def begin(self, script: str, *options: str, trap: str = "") -> Program:
        """Start a script of the shell inside, which says `inside` after `trap`."""
        words = ("take", "--iccid", UICC, *options, "--", "sh", "-c")
        program = Program(argv("wsrc", *words, f"{WSRC} {trap} echo inside; {script}"), self.env)
        self.programs._stack.callback(program.close)
        program.wait_for("^inside$")
        return program

    def inside(self, *args: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside the hold that there is."""
        (folder,) = self.held
        return self.run(*args, WSRC_SESSION=str(folder / "session.json"))


@pytest.fixture(scope="module")
def farm(certificates: Certificates) -> Iterator[Farm]:
    with running(certificates) as programs:
        yield Farm(programs)


@pytest.fixture
def bench(farm: Farm) -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="take-", dir="/tmp") as folder,
        ExitStack() as stack,
    ):
        yield Bench(farm, Path(folder), stack)


def test_a_command_inside_needs_no_selection_and_its_status_is_passed_on(bench: Bench) -> None:
    done = bench.take(f"wsrc apdu {VERIFY} && wsrc apdu {ASK_PIN}; wsrc list --json; exit 7")
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines[:2]] == ["9000", "9000"]
    (card,) = json.loads(lines[2])["cards"]
    assert (card["iccid"], card["host"]) == (UICC, "bench")
    assert bench.held == []
    assert "63C3" in bench.run("apdu", "--iccid", UICC, ASK_PIN).stdout


def test_between_commands_the_card_is_reset_where_that_is_asked_for(bench: Bench) -> None:
    done = bench.take(f"wsrc apdu {VERIFY} {ASK_PIN}; wsrc apdu {ASK_PIN}", "--reset-between")
    assert [line[:4] for line in done.stdout.splitlines()] == ["9000", "9000", "63C3"], done.stderr


def test_an_explicit_reset_goes_through(bench: Bench) -> None:
    done = bench.take(f"wsrc apdu {VERIFY}; wsrc reset --quiet >&2; wsrc apdu {ASK_PIN}")
    assert [line[:4] for line in done.stdout.splitlines()] == ["9000", "63C3"], done.stderr


def test_no_secret_is_in_an_argument_or_the_environment_and_files_are_private(
    bench: Bench,
) -> None:
    program = bench.begin(
        "cat /proc/$PPID/cmdline /proc/$PPID/environ | tr '\\0' '\\n'; env; read x"
    )
    program.wait_for("^WSRC_SESSION=")
    (folder,) = bench.held
    tokens = [(folder / name).read_text("ascii") for name in ("token", "card-token")]
    assert all(token.startswith("wsrc_") for token in tokens), tokens
    assert not any(token in program.output for token in tokens)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir()}
    assert {"session.json", "token", "card-token", "control"} <= set(modes)
    assert set(modes.values()) == {0}
    assert not any(token in bench.farm.server.output + bench.farm.host.output for token in tokens)
    program.end()


@pytest.mark.parametrize("how", ["mode", "link", "owner"])
def test_a_file_that_others_could_have_made_is_refused(bench: Bench, how: str) -> None:
    program = bench.begin("exec sleep 60")
    (folder,) = bench.held
    file = folder / "session.json"
    if how == "mode":
        file.chmod(0o644)
    elif how == "owner":
        if os.geteuid():
            pytest.skip("only root can give a file away")
        os.chown(file, 65534, 65534)
    else:
        file.rename(folder / "other")
        file.symlink_to(folder / "other")
    refused = bench.run("apdu", ASK_PIN, WSRC_SESSION=str(file))
    assert refused.returncode == 2, refused
    assert "WSRC_SESSION" in refused.stderr
    program.end()


def test_it_is_given_back_from_elsewhere(bench: Bench) -> None:
    program = bench.begin(
        trap="trap 'echo hung up; exit 3' HUP;", script="while :; do sleep 0.1; done"
    )
    (folder,) = bench.held
    done = bench.run("give-back", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"given_back": UICC}), done.stderr
    program.wait_for("^hung up$")
    assert program.process.wait(LIMIT_S) == 3
    assert bench.held == []
    assert bench.run("apdu", "--iccid", UICC, ASK_PIN).returncode == 0
    late = bench.run("apdu", ASK_PIN, WSRC_SESSION=str(folder / "session.json"))
    assert late.returncode == 4
    assert "was given back" in late.stderr
    nothing = bench.run("give-back")
    assert (nothing.returncode, "No card is held" in nothing.stderr) == (3, True)


def test_who_holds_several_says_which(bench: Bench) -> None:
    first = bench.begin("exec sleep 60")
    words = ("take", "--eid", EUICC, "--", "sh", "-c", "echo inside; exec sleep 60")
    second = Program(argv("wsrc", *words), bench.env)
    bench.programs._stack.callback(second.close)
    second.wait_for("^inside$")
    several = bench.run("give-back")
    assert several.returncode == 3
    assert UICC in several.stderr
    assert bench.run("give-back", "--card", UICC).returncode == 0
    first.process.wait(LIMIT_S)
    assert bench.run("give-back").returncode == 0
    second.process.wait(LIMIT_S)


def test_a_signal_ends_the_command_and_gives_the_card_back(bench: Bench) -> None:
    program = bench.begin(trap="trap 'exit 5' TERM; ", script="while :; do sleep 0.1; done")
    assert program.end(signal.SIGTERM) == 5
    assert bench.held == []
    assert bench.run("apdu", "--iccid", UICC, ASK_PIN).returncode == 0


def test_a_command_that_ignores_the_signal_is_hung_up_on(bench: Bench) -> None:
    program = bench.begin(
        trap="trap '' TERM; trap 'exit 6' HUP; ", script="while :; do sleep 0.1; done"
    )
    assert program.end(signal.SIGTERM) == 6


def test_after_it_was_killed_later_commands_say_so_and_the_card_is_freed(bench: Bench) -> None:
    program = bench.begin("sleep 40 >/dev/null 2>&1 & echo pid $!; wait", "--keep-s", "1")
    orphan = int(program.wait_for(r"^pid (\d+)$")[1])
    (folder,) = bench.held
    program.process.kill()
    program.process.wait(LIMIT_S)
    os.kill(orphan, signal.SIGTERM)
    file = str(folder / "session.json")
    late = bench.run("apdu", ASK_PIN, WSRC_SESSION=file)
    assert late.returncode == 4
    assert "was killed" in late.stderr
    assert "63C3" in bench.run("apdu", "--iccid", UICC, "--wait", "20", ASK_PIN).stdout
    assert bench.take("true").returncode == 0
    assert bench.held == [], "who takes a card removes what the killed have left"


def test_who_loses_the_card_is_told_why_inside_and_out(bench: Bench) -> None:
    program = bench.begin("exec sleep 60")
    taken = bench.run("revoke", UICC, "--why", "the night needs it")
    if taken.returncode:
        pytest.fail(taken.stderr)
    program.wait_for("wsrc: The card is no longer ours: Revoked.*the night needs it")
    late = bench.inside("apdu", ASK_PIN)
    assert late.returncode == 4
    assert "the night needs it" in late.stderr
    program.end()


def test_a_lost_connection_is_not_noticed_inside(bench: Bench) -> None:
    program = bench.begin("exec sleep 60")
    assert "9000" in bench.inside("apdu", VERIFY).stdout
    bench.farm.server.end(signal.SIGKILL)
    bench.farm.server = bench.programs.server()
    asked = bench.inside("apdu", ASK_PIN)
    assert "9000" in asked.stdout, asked.stderr
    program.end()


def test_two_inside_are_two_users(bench: Bench) -> None:
    done = bench.take(
        "mkfifo $WSRC_SESSION.fifo; wsrc shell --quiet <$WSRC_SESSION.fifo >/dev/null & "
        f'exec 3>$WSRC_SESSION.fifo; until wsrc list --json | grep -q \'"holder": "\'; do :; done; '
        f"wsrc apdu {ASK_PIN}; echo $?; (sleep 0.5; exec 3>&-)& exec 3>&-; "
        f"wsrc apdu --wait 20 {ASK_PIN}; wait"
    )
    assert [line[:4].strip() for line in done.stdout.splitlines()] == ["3", "63C3"], done


def test_one_inside_another_holds_the_same_card(bench: Bench) -> None:
    inner = f"wsrc apdu {VERIFY}; wsrc take -- sh -c '{WSRC} wsrc apdu {ASK_PIN}; exit 4'; echo $?"
    done = bench.take(inner.replace("'" + WSRC, "'" + WSRC))
    assert [line[:4].strip() for line in done.stdout.splitlines()] == ["9000", "9000", "4"], done


def test_a_shell_of_the_terminal_is_had_without_a_command(bench: Bench) -> None:
    done = bench.run("take", "--iccid", UICC, SHELL="/bin/true")
    assert done.returncode == 0, done.stderr


def test_a_command_that_is_not_there(bench: Bench) -> None:
    done = bench.run("take", "--iccid", UICC, "--", "/nowhere/to/be/found")
    assert done.returncode == 127
    assert bench.held == []


def test_lpac_and_a_pc_sc_program_find_the_card(bench: Bench) -> None:
    asked = '{"type":"apdu","payload":{"func":"connect","param":null}}'
    done = bench.take(f"echo '{asked}' | wsrc lpac", iccid="8988211000000430028")
    assert '"ecode":0' in done.stdout.replace(" ", ""), done.stderr
    script = (
        "import wsrc.pyscard as ours; ours.install(); from smartcard.System import readers; "
        "[reader] = [each for each in readers() if isinstance(each, ours.RemoteReader)]; "
        "c = reader.createConnection(); c.connect(); print(c.transmit([0x00, 0x20, 0x00, 0x01]))"
    )
    pytest.importorskip("smartcard")
    own = bench.take(f'wsrc apdu {VERIFY} >&2; "$PYTHON" -c "{script}"')
    assert "([], 144, 0)" in own.stdout, own.stderr


def test_what_is_said_of_the_seal_inside_is_that_of_the_session_that_has_the_card(
    bench: Bench,
) -> None:
    for seal, said in (("preferred", "Sealed       with "), ("off", "Sealed       no, the server")):
        done = bench.take("wsrc status; wsrc status --json", "--seal", seal)
        assert said in done.stdout, done.stderr
        told = json.loads(done.stdout[done.stdout.index("{") :])["card"]["sealed"]
        assert (told is not None) == (seal == "preferred")


@pytest.mark.skipif(not shutil.which("opensc-tool"), reason="opensc-tool is not installed")
def test_a_program_of_pc_sc_by_wsrc_pcsc_run_finds_the_card_as_it_was_left(bench: Bench) -> None:
    ask = "opensc-tool --card-driver default --send-apdu 00:20:00:01"
    done = bench.take(f"wsrc apdu {VERIFY} >&2; wsrc pcsc run -- {ask}")
    assert "SW1=0x90, SW2=0x00" in done.stdout, done.stderr
    done = bench.take(f"wsrc pcsc run -- {ask}; wsrc apdu {ASK_PIN}")
    assert "SW1=0x63, SW2=0xC3" in done.stdout, done.stderr
    assert "63C3" in done.stdout, done.stderr


def test_a_colleague_shares_it_or_is_handed_it(bench: Bench) -> None:
    program = bench.begin(trap="trap 'exit 9' HUP; ", script="while :; do sleep 0.1; done")
    assert "9000" in bench.inside("apdu", VERIFY).stdout
    allowed = bench.run("allow", "bob@desk")
    assert allowed.returncode == 0, allowed.stderr
    shared = bench.run("apdu", "--iccid", UICC, "--share", "shared", ASK_PIN, WSRC_NAME="bob@desk")
    assert "9000" in shared.stdout, shared.stderr
    lent = bench.run("lend", "bob@desk")
    assert lent.returncode == 0, lent.stderr
    assert program.process.wait(LIMIT_S) == 9
    has = bench.run("apdu", "--iccid", UICC, ASK_PIN, WSRC_NAME="bob@desk")
    assert "63C3" in has.stdout, has.stderr


def test_the_setting_of_another_server_leads_there(bench: Bench) -> None:
    url = bench.programs.user_environment["WSRC_SERVER_URL"]
    done = bench.take(
        f"wsrc apdu --server-url {url} --eid {EUICC} 00A4000C023F00; wsrc apdu --seal off {ASK_PIN}"
    )
    assert done.stdout.splitlines()[0].startswith(("9000", "61", "6"))
    assert done.returncode == 2
    assert "give server_url too" in done.stderr
