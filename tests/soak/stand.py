# SPDX-License-Identifier: Apache-2.0
"""The processes of one run, what the users among them say, and the trace of all that happened."""

import collections
import contextlib
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from tests.soak.ledger import Event, Ledger, Outcome, Troubled, sentence
from tests.support.certificates import Certificates
from tests.support.processes import Program, Programs, running
from wsrc.card.identity import luhn_digit

STALL_S = 120.0
"""How long it may be silent before a run has failed: longer than any limit of the programs."""

LAST_WORDS_S = 10.0
"""How long users may take to end after one of them broke."""

POLL_S = 0.005
PING_S = 1.0
"""Short, since a cut that nobody is told of lasts as long."""

TRACED = 100
"""Events that a failure shows."""

DELAY_S = 0.003
"""How long a card takes to answer after it ran a command: many are in flight when a cut comes."""

RESUMED = re.compile(r"\bresumed\b")
"""What a card client logs of a session that is used on another connection."""

LEFT = re.compile(r"\): Its user did not come back in time")
"""What a server logs of a session that nobody wanted any more, though no user had died."""

TRACEBACK = "Traceback (most recent call last)"
"""What no program prints, whatever happens to its peers."""

BEFORE, AFTER = 10, 80
"""Lines around the first line of a traceback that are shown."""

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class SoakError(AssertionError):
    """A run found a fault; the text has it, the seed and what happened before."""


def printed(lines: Sequence[str]) -> list[str]:
    """Return the first traceback in what a program said, with what is around it; none if none."""
    at = next((number for number, line in enumerate(lines) if TRACEBACK in line), None)
    return [] if at is None else list(lines[max(0, at - BEFORE) : at + AFTER])


class Trace:
    """All events of a run, each with the time as in the logs of the programs; for any thread."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def note(self, text: str) -> None:
        """Add an event."""
        now = datetime.now().astimezone()
        self.events.append(f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03} {text}")


class Stand:
    """A server, a card client and users; made by `standing`, which has what is not said here."""

    def __init__(self, programs: Programs, seed: str, folder: Path, users: int, seal: str) -> None:
        self.programs = programs
        self.seed = seed
        self.trace = Trace()
        self.iccids = [_iccid(number) for number in range(users)]
        self.ledgers = {f"user-{iccid[-3:]}": Ledger() for iccid in self.iccids}
        self.troubles: list[Troubled] = []
        self.lossless = False
        """Whether it is a fault if a command is not answered, or a session left over."""

        self.flawless = False
        """Whether any error at all that a user sees is one, beside what `lossless` says."""

        self.longest_s = 0.0
        """Longest time between two things that one user said."""

        self.folder = folder
        self._latest: dict[str, float] = {}
        self._silent: set[str] = set()
        self._seal = seal
        self._all: dict[str, list[Program]] = collections.defaultdict(list)
        self._user: Program | None = None
        self._read = 0

    @property
    def told(self) -> int:
        """Commands of which users were told the outcome."""
        return sum(ledger.outcomes.total() for ledger in self.ledgers.values())

    @property
    def left(self) -> int:
        """How many sessions were held for a user who had forgotten them."""
        lines = (line for program in self._all["server"] for line in program.lines)
        return sum(1 for line in lines if LEFT.search(line))

    @property
    def resumed(self) -> int:
        """How often a session was resumed."""
        lines = (line for program in self._all["card client"] for line in program.lines)
        return sum(1 for line in lines if RESUMED.search(line))

    def outcome(self, outcome: Outcome) -> int:
        """Count the commands that ended so."""
        return sum(ledger.outcomes[outcome] for ledger in self.ledgers.values())

    def server(self, *args: str) -> Program:
        """Start a server, at the ports of the earlier one if there was one."""
        given = ("--ping-s", f"{PING_S}", "--drain-s", "5", "--reconnect-in-s", "0.1")
        self.trace.note("server starts")
        program = self.programs.server(*given, *args)
        self.trace.note("server is ready")
        self.keep("server", program)
        return program

    def card_client(self, *args: str, env: Mapping[str, str] | None = None) -> Program:
        """Start a card client."""
        given = ("--ping-s", f"{PING_S}", "--reconnect-min-s", "0.02", "--reconnect-max-s", "0.2")
        seal = ("--seal", "preferred" if self._seal == "mixed" else self._seal)
        self.trace.note("card client starts")
        state = {"STATE_DIRECTORY": str(self.folder / "host")}
        program = self.programs.card_client(*given, *seal, *args, env=state | dict(env or {}))
        self.keep("card client", program)
        return program

    def simulated(self, iccids: Sequence[str] | None = None) -> list[str]:
        """Return the arguments with which a card client has a simulated card for each user."""
        arguments = ["--no-pcsc"]
        for iccid in self.iccids if iccids is None else iccids:
            path = self.folder / f"{iccid}.toml"
            path.write_text(description(iccid), encoding="utf-8")
            arguments += ["--simulated", str(path)]
        return arguments

    def users(self, port: int, *args: str) -> Program:
        """Start the users, who reach the server at a port."""
        given = [f"--server-url=wss://localhost:{port}/user", f"--seed={self.seed}"]
        given += [f"--ca={self.programs.certificates.ca}", f"--ping-s={PING_S}"]
        given += [f"--seal={self._seal}", f"--known-hosts={self.folder / 'known_hosts'}"]
        script = "from tests.soak.user import main; main()"
        arguments = [*given, *args, *self.iccids]
        self._user = self.programs.user_script(script, *arguments)
        self.keep("users", self._user)
        return self._user

    def keep(self, name: str, program: Program) -> None:
        """Have a program that was started looked at as what `name` says."""
        self._all[name].append(program)

    def end(self, name: str, program: Program, number: signal.Signals) -> int:
        """Send a signal to a program, wait for its end, and give its exit status."""
        self.trace.note(f"{name} gets {number.name}")
        return program.end(number)

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Listen to the users until something is so; fail if they say nothing for too long."""
        latest = time.monotonic()
        while not true():
            if self._listen():
                latest = time.monotonic()
            elif time.monotonic() - latest > STALL_S:
                self.fail(f"nothing happened for {STALL_S:g} s, waiting for {what}")
            else:
                self._check(what)
                time.sleep(POLL_S)

    def until_told(self, more: int) -> None:
        """Listen until users are told the outcome of so many more commands, from now on."""
        self._listen()
        mark = self.told + more
        self.until(lambda: self.told >= mark, f"the outcomes of {more} more commands")

    def until_all_go_on(self) -> None:
        """Listen until each user has said something from now on."""
        self._listen()
        self._silent = set(self.ledgers)
        self.until(lambda: not self._silent, "each user to go on")

    def finish(self) -> None:
        """Ask the users for their end, and wait until each counter was read once more."""
        assert self._user is not None
        self._user.process.send_signal(signal.SIGTERM)
        done = self.ledgers.values()
        self.until(lambda: all(ledger.done for ledger in done), "the last look at each counter")
        if self._user.process.wait(STALL_S):
            self.fail("the users ended with an error")
        if self.lossless and self.left:
            self.fail("a session was left over")
        for name, programs in self._all.items():
            for program in programs:
                found = printed(program.lines)
                if found:
                    self.fail(f"the {name} printed a traceback:\n" + "\n".join(found))

    def fail(self, why: str) -> NoReturn:
        """Fail with what happened before."""
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        ends = [f"{why}\nseed {self.seed}; {counts}", *self._latest_events()]
        for name, programs in self._all.items():
            for program in programs[-2:]:
                lines = [line for line in program.lines if not line.startswith("{")][-15:]
                ends.append(f"The end of what the {name} said:\n" + "\n".join(lines))
        raise SoakError("\n\n".join(ends))

    @property
    def counts(self) -> dict[str, int]:
        """Return what users were told and what is wrong with it."""
        ledgers = self.ledgers.values()
        return {str(each): self.outcome(each) for each in Outcome} | {
            "errors": len(self.troubles),
            "left": self.left,
            "leases": sum(ledger.leases for ledger in ledgers),
            "PIN kept": sum(ledger.pin_kept for ledger in ledgers),
            "misreported": sum(ledger.misreported for ledger in ledgers),
            "run twice": sum(ledger.ran_twice for ledger in ledgers),
        }

    def hear(self, line: str) -> None:
        """Take one line of the users; fail if it tells of a fault."""
        try:
            event = _decoder.decode(line)
        except msgspec.DecodeError:
            self._broken(line)
        self.trace.note(sentence(event))
        if isinstance(event, Troubled):
            self.troubles.append(event)
        ledger = self.ledgers[event.user]
        ledger.take(event)
        if ledger.faults:
            self.fail(ledger.faults[0])
        unanswered = ledger.outcomes.total() > ledger.outcomes[Outcome.ANSWERED]
        if (self.lossless and unanswered) or (self.flawless and ledger.troubles):
            self.fail(f"this was not to happen: {sentence(event)}")
        self._clock(event)

    def _clock(self, event: Event) -> None:
        now = time.monotonic()
        self.longest_s = max(self.longest_s, now - self._latest.get(event.user, now))
        self._latest[event.user] = now
        self._silent.discard(event.user)

    def write(self, folder: Path, run: str) -> None:
        """Write the trace and all that the programs said, to one file in the order of time."""
        lines = list(self.trace.events)
        for name, programs in self._all.items():
            for number, program in enumerate(programs, 1):
                said = (line for line in program.lines if not line.startswith("{"))
                lines += [f"{line[:23]} [{name} {number}] {line[24:]}" for line in said]
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join(sorted(lines)) + "\n"
        (folder / f"{run}-{self.seed}.log").write_text(text, encoding="utf-8")

    def _latest_events(self) -> list[str]:
        latest = "\n".join(self.trace.events[-TRACED:])
        return [f"The latest events:\n{latest}"]

    def _listen(self) -> bool:
        """Take what users said since the last call; tell whether it was anything."""
        assert self._user is not None
        lines = self._user.lines[self._read :]
        self._read += len(lines)
        for line in lines:
            self.hear(line)
        return bool(lines)

    def _broken(self, line: str) -> NoReturn:
        """Fail after the users have said all that they have to say."""
        if self._user is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._user.process.wait(LAST_WORDS_S)
        self.fail(f"a user broke: {line}")

    def _check(self, what: str) -> None:
        """Fail where the users ended, or a server says what must not be."""
        assert self._user is not None
        servers = self._all["server"][-1:]
        latest = (line for server in servers for line in server.lines[-20:])
        if self.lossless and any(map(LEFT.search, latest)):
            self.fail("a session was held until its end for a user who was there all the time")
        if self._user.process.poll() and self._read == len(self._user.lines):
            self.fail(f"the users ended, waiting for {what}")


S = TypeVar("S", bound=Stand)


@contextlib.contextmanager
def standing(
    certificates: Certificates,
    run: str,
    seed: str,
    users: int,
    logs: str = "",
    seal: str = "off",
    kind: "Callable[[Programs, str, Path, int, str], S]" = Stand,  # type: ignore[assignment]
) -> Iterator[S]:
    """
    End every process that was started in the context, and write what all said to `logs`.

    `seal` is as in `runs.Sizes`; `kind` makes the stand.
    """
    with tempfile.TemporaryDirectory(prefix="wsrc-soak-") as folder:
        stand = None
        try:
            with running(certificates) as programs:
                stand = kind(programs, seed, Path(folder), users, seal)
                yield stand
        finally:
            if stand is not None and logs:
                stand.write(Path(logs), run)


def description(iccid: str) -> str:
    """Describe a card whose INCREASE takes a moment to be answered after it ran."""
    faults = f'[faults]\ndelay_s = {DELAY_S}\nwhen = "after"\nonly = "8032"\n'
    return f'kind = "uicc"\niccid = "{iccid}"\n{faults}'


def rows(table: Sequence[Sequence[object]]) -> str:
    """Lay out a table with the columns side by side."""
    texts = [[str(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in texts
    )


def _iccid(number: int) -> str:
    digits = f"8988211000000{number + 100:05}"
    return digits + luhn_digit(digits)
