# SPDX-License-Identifier: Apache-2.0
"""
Show WSRC at work on one machine: `make demo`.

Starts a server with TLS and a card client with two simulated cards and the PC/SC readers of this
machine, does as a user what users do, and tells what happens. KEEP=1 in the environment leaves
both up until Ctrl-C. Whichever way it ends, it leaves no process and no file.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stage import BIN, START_S, DemoError, Program, Signals, Stage

USER_PORT, CARD_PORT = 4220, 4221

LAPTOP, LAB = "user@laptop", "user@lab"
ICCID = "8988211000000430010"
EID = "89882119900000000000000000007280"
USIM = "A0000000871002FFFFFFFF8907090000"
ISD_R = "A0000005591010FFFFFFFF8900000100"
SELECT_USIM = f"00A4040C10{USIM}"
VERIFY_PIN = "002000010831323334FFFFFFFF"
SELECT_IMSI, READ_IMSI = "00A4000C026F07", "00B0000009"
RAND, AUTN = "23553CBE9637A89D218AE64DAE47BF35", "55F328B43577B9B94A9FFAC354DFAFB3"

SCRIPT = f"""\
# Run AUTHENTICATE on the USIM with test set 1 of 3GPP TS 35.208.
{SELECT_USIM}  # SELECT the USIM
{VERIFY_PIN}                  # VERIFY PIN 1234
!expect 9000
0088008122 10{RAND} 10{AUTN} 00
"""


class User:
    """A user, whose commands are shown as they would be typed."""

    def __init__(self, stage: Stage, url: str, name: str) -> None:
        self._stage = stage
        path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
        self._environ = {"WSRC_SERVER_URL": url, "WSRC_NAME": name, "PATH": path}
        self._prompt = "$" if name == LAPTOP else f"{name.rpartition('@')[2]}$"

    def start(self, *arguments: str) -> Program:
        """Show a command and start it."""
        print(f"{self._prompt} {shlex.join(['wsrc', *arguments])}", flush=True)
        return self._stage.start("wsrc", *arguments, **self._environ)

    def run(self, *arguments: str, status: int = 0) -> list[str]:
        """Show a command, run it, show all that it prints, and return the latter."""
        program = self.start(*arguments)
        ended = program.wait()
        for line in program.lines:
            print(line)
        if ended != status:
            program.fail(f"ended with status {ended}, not {status}")
        if status:
            print(f"(exit status {status})")
        print(flush=True)
        return program.lines


def say(text: str) -> None:
    """Tell the person in front of the screen something."""
    print(text, end="\n\n", flush=True)


def require(lines: Sequence[str], *parts: str) -> None:
    """Check that the output is what the text around it says."""
    for part in parts:
        if not any(part in line for line in lines):
            raise DemoError(f"This should have shown {part!r}.")


def set_up(stage: Stage, *, standard_ports: bool, pcsc: bool) -> tuple[str, list[Program]]:
    """Start the server and the card client, wait for the cards; give the URL for users."""
    for made in (["init"], ["server", "localhost", "127.0.0.1", "::1"]):
        making = stage.start("wsrc-certs", *made, "--dir", ".")
        if making.wait(START_S):
            making.fail("could not make a certificate")
    ports = (USER_PORT, CARD_PORT) if standard_ports else (0, 0)
    server, users, cards = _start_server(stage, *ports)
    arguments = ["--server-url", cards, "--name", "bench", "--simulated", "default"]
    client = stage.start("wsrc-card-client", *arguments, *([] if pcsc else ["--no-pcsc"]))
    client.line("Connected to", START_S)
    _wait_for_cards(stage, users, client)
    say(
        "WSRC carries the commands of a tool to a smart card that is somewhere else.\n"
        "Three programs do this; here all three run on this machine, with TLS:\n\n"
        "  wsrc-server       the relay, which both others connect to:\n"
        f"                    users on {users}, card clients on {cards}\n"
        "  wsrc-card-client  where the cards are; it calls itself 'bench' and has two simulated\n"
        "                    cards and the PC/SC readers of this machine\n"
        "  wsrc              where the tool is; it is what you see below"
    )
    others = _pcsc_readers(client) if pcsc else "left out, as you asked"
    say(f"PC/SC readers of this machine: {others}.")
    return users, [server, client]


def _start_server(stage: Stage, user_port: int, card_port: int) -> tuple[Program, str, str]:
    arguments = ["--tls-cert", "localhost.pem", "--tls-key", "localhost-key.pem"]
    arguments += ["--user-port", str(user_port), "--card-port", str(card_port)]
    server = stage.start("wsrc-server", *arguments)
    ready = server.line(r"Ready: users on (\S+)/user, card clients on (\S+)/card|in use", START_S)
    if ready[1] is None:
        server.wait()
        say("Another program has the standard ports, so others are used.")
        return _start_server(stage, 0, 0)
    return server, ready[1], ready[2]


def _wait_for_cards(stage: Stage, url: str, client: Program) -> None:
    """Wait until the cards are there and none is being identified any more."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        asked = stage.start("wsrc", "list", "--json", WSRC_SERVER_URL=url)
        if asked.wait():
            asked.fail("could not list the cards")
        cards = json.loads(asked.lines[-1])["cards"]
        if len(cards) >= 2 and all(card["state"] != "identifying" for card in cards):
            return
    client.fail("did not identify its cards in time")


def _pcsc_readers(client: Program) -> str:
    """Return which PC/SC readers the card client serves, or why there is none."""
    names = (re.search(r"Reader (.*) is served", line) for line in client.lines)
    others = [name[1] for name in names if name and not name[1].startswith("Simulated ")]
    if others:
        return ", ".join(others)
    reasons = (re.search(r"WARNING .*PC/SC readers.*?: (.*)", line) for line in client.lines)
    reason = next((found[1].rstrip(".") for found in reasons if found), "")
    return f"none ({reason})" if reason else "none is connected"


def look(laptop: User) -> None:
    """Show the cards; read a number from each."""
    say("1. Which cards are there? A user asks the server; nobody needs to know where they are.")
    require(laptop.run("list"), ICCID, EID)
    say(
        "2. Read the ICCID from the file EF.ICCID of the UICC. `wsrc apdu` takes the card, sends\n"
        "   the commands and gives the card back: SELECT MF, SELECT EF.ICCID, READ BINARY."
    )
    read = ["00A4000C023F00", "00A4000C022FE2", "00B000000A"]
    require(laptop.run("apdu", "--iccid", ICCID, *read), "988812010000400310f0 9000")
    say(f"   The card stores two digits to an octet, the second one first: {ICCID}.")
    say(
        "3. Select the eUICC by its EID and ask its ISD-R for the EID: SELECT, GetEID.\n"
        "   The card speaks T=0, where a response must be fetched by a further command; the card\n"
        "   client does that next to the card, so that it costs no round trip."
    )
    asked = [f"00A4040010{ISD_R}00", "80E2910006BF3E035C015A00"]
    require(laptop.run("apdu", "--eid", EID, *asked), f"bf3e125a10{EID} 9000")


def authenticate(laptop: User, folder: Path) -> None:
    """Run AUTHENTICATE, with its result in words."""
    say(
        "4. Run AUTHENTICATE on the USIM, as a network does, from a file of commands. They travel\n"
        "   in one message, and the card client stops at the first unexpected status word."
    )
    (folder / "authenticate.wsrc").write_text(SCRIPT, encoding="utf-8")
    print("$ cat authenticate.wsrc")
    say(SCRIPT.rstrip())
    lines = laptop.run("script", "--iccid", ICCID, "authenticate.wsrc")
    found = re.search(r"db08(\w{16})10(\w{32})10(\w{32}) 9000", "\n".join(lines))
    if found is None:
        raise DemoError("AUTHENTICATE gave no RES, CK and IK.")
    say(
        "   The card found the network genuine and answered with\n"
        f"   RES {found[1]}\n   CK  {found[2]}\n   IK  {found[3]}\n"
        "   which are the values that 3GPP publishes for this test set."
    )


def share(laptop: User, lab: User) -> None:
    """Show what a second user meets, and what is left of the first."""
    say(
        "5. A card has one user at a time. The laptop takes the card, verifies the PIN and\n"
        "   reads the IMSI, which the card gives only after the PIN. Its prompt stays open."
    )
    shell = laptop.start("shell", "--keep-s", "1", "--iccid", ICCID)
    for command in (SELECT_USIM, VERIFY_PIN, SELECT_IMSI, READ_IMSI):
        print(f"> {command}")
        shell.type(command)
        print(shell.line("9000").string, flush=True)
    say("\n   The lab wants the same card. It is refused, and told by whom the card is held.")
    wanted = ["--iccid", ICCID, SELECT_USIM, SELECT_IMSI, READ_IMSI]
    require(lab.run("apdu", *wanted, status=3), f"held by {LAPTOP}")
    say("   So it waits. Meanwhile the laptop's program is killed (kill -9).")
    waiting = lab.start("apdu", "--wait", "60", *wanted)
    print(waiting.line("Waiting").string, flush=True)
    shell.process.kill()
    waiting.wait()
    say("\n".join(waiting.lines[1:]))
    require(waiting.lines, "6982")
    say(
        "   The card was kept for the laptop for a second (--keep-s), for it could have been the\n"
        "   network. Then the card client reset the card, and the lab has it.\n"
        "   The PIN that the laptop verified is not verified for the lab (6982), nor if the\n"
        "   server or the card client had been killed: every user gets a card fresh from reset."
    )


def hold(laptop: User) -> None:
    """Hold any card for several commands."""
    say(
        "6. Any free card will do, for several commands: `wsrc take` holds the one that was used\n"
        "   least recently, until a command or a shell ends. Commands inside need no selection."
    )
    inside = "wsrc read iccid; wsrc apdu 00A4000C023F00"
    require(laptop.run("take", "--any", "--", "sh", "-c", inside), "9000")


def keep_up(url: str, folder: Path, programs: Sequence[Program]) -> None:
    """Leave all as it is until a signal comes."""
    here = Path.cwd()
    wsrc = BIN.relative_to(here) / "wsrc" if BIN.is_relative_to(here) else BIN / "wsrc"
    say(
        "It stays up until Ctrl-C. Talk to it from another terminal in this folder:\n\n"
        f"  export WSRC_SERVER_URL={url}\n"
        f"  export WSRC_TLS_CA={folder / 'ca.pem'}\n"
        f"  {wsrc} list\n"
        f"  {wsrc} shell --iccid {ICCID}\n"
        f"  {wsrc} watch\n\n"
        "What the server and the card client log from here on:"
    )
    for program in programs:
        program.echo = True
    while all(program.process.poll() is None for program in programs):
        time.sleep(0.5)
    next(p for p in programs if p.process.poll() is not None).fail("ended by itself")


def perform(stage: Stage, *, keep: bool, pcsc: bool) -> None:
    """Show everything."""
    url, programs = set_up(stage, standard_ports=keep, pcsc=pcsc)
    laptop, lab = User(stage, url, LAPTOP), User(stage, url, LAB)
    look(laptop)
    authenticate(laptop, stage.folder)
    share(laptop, lab)
    hold(laptop)
    if keep:
        keep_up(url, stage.folder, programs)
    say("That was all. The server and the card client are stopped, and nothing is left behind.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and give an exit status."""
    parser = argparse.ArgumentParser(description="Show WSRC at work on this machine.")
    parser.add_argument("--no-pcsc", action="store_true", help="leave the readers of it alone")
    given = parser.parse_args(arguments)
    keep = os.environ.get("KEEP", "") not in {"", "0"}
    if not all((BIN / name).exists() for name in ("wsrc", "wsrc-server", "wsrc-card-client")):
        print("demo: WSRC is not installed for this Python; run `make demo`.", file=sys.stderr)
        return 2
    signals = Signals()
    stage = Stage(signals)
    status = 0
    try:
        perform(stage, keep=keep, pcsc=not given.no_pcsc)
    except KeyboardInterrupt:
        as_meant = keep and signals.seen == signal.SIGINT
        status = 0 if as_meant else 128 + (signals.seen or signal.SIGINT)
        print("\nStopping: no process and no file is left behind.", flush=True)
    except BrokenPipeError:
        status = 128 + signal.SIGPIPE
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (DemoError, subprocess.SubprocessError, OSError) as exc:
        status = 1
        print(f"\ndemo: {exc}", file=sys.stderr)
    finally:
        stage.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
