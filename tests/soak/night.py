# SPDX-License-Identifier: Apache-2.0
"""
A night of a farm: many users, cards on several hosts, a server that is killed and restarted.

`night` plays it with real programs and gives what came of it, or raises `NightError` with what
`night_judge` found. The seed draws what everybody does; the scheduler decides the rest.
"""

import contextlib
import json
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.soak.night_events import HIDDEN_KINDS, Event, event_of
from tests.soak.night_judge import Down, Evidence, Figures, judge
from tests.soak.sizes import sizes_of
from tests.soak.stand import TRACEBACK
from tests.support.certificates import Certificates
from tests.support.processes import Program, Programs, argv, environment, running
from tests.support.tokens import now, token_file
from wsrc.card.identity import luhn_digit
from wsrc.protocol.messages import ClientType
from wsrc.server.token_store import TokenStore

HOSTS = 3
KINDS = {
    "usim": 'kind = "uicc"\n',
    "isim": 'kind = "uicc"\nprotocol = "T1"\n',
    "sgp22": 'kind = "euicc"\n',
    "sgp32": 'kind = "euicc"\nprotocol = "T1"\n',
}
"""Kinds of the cards, by their tag, and how each is described."""

WANTED = 3
"""Cards that many ask for by name."""

START_S = 120.0
"""How long the programs, which start all at once, may take until they are at work."""

CRASHERS = 4
"""Every so many of the programs of users is one that is killed."""

POLICY = """
[[host]]
who = ["farm-*"]
announces = "*"

[[grant]]
to = ["u*"]
cards = "*"
may = ["list", "use", "share", "reset", "events", "reserve"]

[[grant]]
to = ["v*"]
cards = {{ tag = {tags} }}
may = ["list", "use", "share"]

[[grant]]
to = ["operator"]
cards = "*"
may = ["admin"]
"""


class NightError(AssertionError):
    """A night had what must not be; the text has it, and the seed."""


class NightSizes(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long a night is, and how many there are; each field is set as `WSRC_NIGHT_` and its name.

    `wanted_kinds` of the kinds are asked for, so that few cards are for many; `common` cards, at
    most two, are shared by many, or had alone by one of them. `seed` and `logs` are
    as in `runs.Sizes`, and set as those.
    """

    seed: str
    logs: str = ""
    users: int = 40
    cards: int = 60
    wanted_kinds: int = 4
    common: int = 2
    programs: int = 8
    night_s: float = 240.0
    crashes: int = 20

    @classmethod
    def given(cls, **otherwise: float | str) -> Self:
        """Take what the environment has, then `otherwise`, then the full sizes."""
        return sizes_of(cls, "WSRC_NIGHT", otherwise)


class Night:
    """The programs of a night; made by `night`."""

    def __init__(self, programs: Programs, sizes: NightSizes, folder: Path) -> None:
        self.sizes = sizes
        self.downs: list[Down] = []
        self.crashes = 0
        self._programs = programs
        self._folder = folder
        self._draw = random.Random(f"{sizes.seed}/night")
        self._iccids = {kind: list[str]() for kind in KINDS}
        self._hosts: list[Program] = []
        self._users: list[Program] = []
        self._parties: list[tuple[tuple[str, ...], bool]] = []
        self._running: list[Program] = []
        self._all: list[tuple[str, Program]] = []

    def begin(self) -> None:
        """Start the server, the hosts, the users and the operator."""
        (self._folder / "policy.toml").write_text(
            POLICY.format(
                tags=json.dumps([f"kind={kind}" for kind in KINDS if kind not in HIDDEN_KINDS])
            ),
            "utf-8",
        )
        names = [f"{'v' if n % 5 == 4 else 'u'}{n:02}" for n in range(self.sizes.users)]
        with TokenStore(self._folder / "state") as store:
            for name in [*names, "operator", *self._host_names]:
                role = ClientType.CARD if name in self._host_names else ClientType.USER
                token = store.add(name, role, now(), None)
                token_file(self._folder / f"{name}.token", token)
        self._server = self._start_server()
        self._start_hosts()
        size = -(-self.sizes.users // self.sizes.programs)
        for at in range(0, len(names), size):
            party = tuple(names[at : at + size])
            self._parties.append((party, (at // size) % CRASHERS == CRASHERS - 1))
        self._running = [self._start_users(number, 0) for number in range(len(self._parties))]
        self._operator = self._start_operator()
        for users in self._running:
            users.wait_for('"Took"', limit_s=START_S)

    @property
    def _host_names(self) -> list[str]:
        return [f"farm-{number}" for number in range(1, HOSTS + 1)]

    def _start_server(self) -> Program:
        folder = self._folder
        given = ("--tokens", "--state-dir", str(folder / "state"), "--policy")
        given += (str(folder / "policy.toml"), "--audit-dir", str(folder / "server"))
        given += ("--drain-s", "5", "--reconnect-in-s", "0.1", "--lend-s", "2")
        return self._noted("server", self._programs.server(*given))

    def _noted(self, name: str, program: Program) -> Program:
        self._all.append((name, program))
        return program

    def _start_hosts(self) -> None:
        cards: list[list[str]] = [[] for _ in range(HOSTS)]
        for number in range(self.sizes.cards):
            kind = list(KINDS)[number % len(KINDS)]
            iccid = _iccid(number)
            eid = f'eid = "8904903212345123451234567890{number:04}"\n' * (kind.startswith("sgp"))
            path = self._folder / f"{iccid}.toml"
            path.write_text(f'{KINDS[kind]}{eid}iccid = "{iccid}"\n', "utf-8")
            self._iccids[kind].append(iccid)
            cards[number // len(KINDS) % HOSTS].append(str(path))
        tags = "".join(
            f'[[tags]]\ncards = "{iccid}"\nset = {{ kind = "{kind}" }}\n'
            for kind, iccids in self._iccids.items()
            for iccid in iccids
        )
        (self._folder / "card-client.toml").write_text(tags, "utf-8")
        for name, mine in zip(self._host_names, cards, strict=True):
            self._hosts.append(self._start_host(name, mine))
        for host, mine in zip(self._hosts, cards, strict=True):
            host.wait_for("has card", len(mine), START_S)

    def _start_host(self, name: str, cards: list[str]) -> Program:
        folder = self._folder
        url = f"wss://localhost:{self._programs.card_port}/card"
        given = ["--server-url", url, "--tls-ca", str(self._programs.certificates.ca)]
        given += ["--token-file", str(folder / f"{name}.token"), "--name", name, "--no-pcsc"]
        given += ["--config", str(folder / "card-client.toml")]
        given += ["--reconnect-min-s", "0.02", "--reconnect-max-s", "0.2"]
        given += ["--audit-dir", str(folder / name)]
        given += [each for card in cards for each in ("--simulated", card)]
        script = "from tests.soak.night_host import main; main()"
        span_s = f"{max(2.0, self.sizes.night_s / 20)}"
        state = {"STATE_DIRECTORY": str(folder / f"state-{name}")}
        return self._script(name, script, self.sizes.seed, span_s, *given, env=state)

    def _start_users(self, number: int, run: int) -> Program:
        party, crashes = self._parties[number]
        kinds = list(KINDS)[-self.sizes.wanted_kinds :]
        wanted = [iccids[0] for iccids in self._iccids.values()][:WANTED]
        # Of the first kind, which all see, and of the last, of which any card is taken.
        common = [iccids[1] for iccids in self._iccids.values()][:: len(KINDS) - 1]
        common = common[: self.sizes.common]
        given = [*self._server_arguments, f"--run={run}", f"--keep-s={3 if crashes else 20}"]
        given += [f"--kinds={','.join(kinds)}", f"--wanted={','.join(wanted)}"]
        given += [f"--common={','.join(common)}", *party]
        script = "from tests.soak.night_user import main; main()"
        return self._script(f"users {number}", script, *given)

    def _start_operator(self) -> Program:
        script = "from tests.soak.night_operator import main; main()"
        span = f"--span-s={min(1.0, self.sizes.night_s / 60)}"
        return self._script("operator", script, *self._server_arguments, span, *self._host_names)

    @property
    def _server_arguments(self) -> list[str]:
        url = f"wss://localhost:{self._programs.user_port}/user"
        ca = self._programs.certificates.ca
        given = [f"--server-url={url}", f"--ca={ca}", f"--seed={self.sizes.seed}"]
        return [*given, f"--folder={self._folder}"]

    def _script(
        self, name: str, script: str, *args: str, env: dict[str, str] | None = None
    ) -> Program:
        return self._noted(name, self._programs.user_script(script, *args, env=env))

    def play(self) -> None:
        """Let the night go by: users crash, and the server is killed once and stopped once."""
        sizes = self.sizes
        moments: list[tuple[float, Any]] = [
            (sizes.night_s * 0.35, lambda: self._restart(signal.SIGKILL)),
            (sizes.night_s * 0.65, lambda: self._restart(signal.SIGTERM)),
        ]
        spans = (sizes.night_s * (n + self._draw.random()) for n in range(sizes.crashes))
        moments += [(span / max(1, sizes.crashes), self._crash) for span in spans]
        begun = time.monotonic()
        for at, act in sorted(moments, key=lambda moment: moment[0]):
            time.sleep(max(0.0, begun + at - time.monotonic()))
            act()
        time.sleep(max(0.0, begun + sizes.night_s - time.monotonic()))

    def _restart(self, number: signal.Signals) -> None:
        begun = now()
        status = self._server.end(number)
        if number is signal.SIGTERM and status:
            self._fail(["the server ended with an error"])
        self._server = self._start_server()
        self.downs.append(Down(begun, now(), killed=number is signal.SIGKILL))

    def _crash(self) -> None:
        number = self._draw.choice([n for n, (_, dies) in enumerate(self._parties) if dies])
        self._running[number].end(signal.SIGKILL)
        self.crashes += 1
        self._running[number] = self._start_users(number, self.crashes)

    def finish(self) -> Figures:
        """End all in order, and judge what is there then."""
        programs = [self._operator, *self._running, *self._hosts, self._server]
        ended = [("a program", program.end(signal.SIGTERM)) for program in programs]
        faults = [f"{what} ended with {status}" for what, status in ended if status]
        lines = ((name, line) for name, program in self._all for line in program.lines)
        faults += [f"{name} printed a traceback" for name, line in lines if TRACEBACK in line]
        logs = ["server", *self._host_names]
        faults += [f for name in logs for f in _verified(self._folder / name)]
        evidence = Evidence(
            kinds={iccid: kind for kind, iccids in self._iccids.items() for iccid in iccids},
            events=self._events(),
            server=_audit(self._folder / "server"),
            hosts={name: _audit(self._folder / name) for name in self._host_names},
            downs=self.downs,
            killed=self.crashes,
        )
        figures, found = judge(evidence)
        if faults or found:
            self._fail([*faults, *found])
        return figures

    def _events(self) -> list[Event]:
        found = (event_of(line) for _, program in self._all for line in list(program.lines))
        return [event for event in found if event is not None]

    def _fail(self, faults: list[str]) -> None:
        more = f"\nand {len(faults) - 20} more" if len(faults) > 20 else ""
        raise NightError("\n".join(faults[:20]) + more + f"\nseed {self.sizes.seed}")

    def write(self, folder: Path) -> None:
        """Write all that the programs said, and the audit logs, to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, program) in enumerate(self._all):
            (folder / f"{number:03}-{name}.log").write_text(program.output, "utf-8")
        for name in ("server", *self._host_names):
            for file in sorted((self._folder / name).glob("*.jsonl")):
                (folder / f"{name}-{file.name}").write_bytes(file.read_bytes())


def _audit(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def _verified(folder: Path) -> list[str]:
    """Return what `wsrc-server audit verify` has against an audit log."""
    command = argv("wsrc-server", "audit", "verify", str(folder))
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=60.0, check=False
    )
    return [f"audit verify of {folder.name}: {done.stdout}"] if done.returncode else []


def _iccid(number: int) -> str:
    digits = f"8988211000001{number + 100:05}"
    return digits + luhn_digit(digits)


@contextlib.contextmanager
def _night(certificates: Certificates, sizes: NightSizes) -> Iterator[Night]:
    with tempfile.TemporaryDirectory(prefix="wsrc-night-") as folder:
        this = None
        try:
            with running(certificates) as programs:
                this = Night(programs, sizes, Path(folder))
                yield this
        finally:
            if this is not None and sizes.logs:
                this.write(Path(sizes.logs) / f"night-{sizes.seed}")


def night(sizes: NightSizes, certificates: Certificates) -> Figures:
    """
    Play a night.

    Raises:
        NightError: If something was that must not be.
    """
    with _night(certificates, sizes) as this:
        this.begin()
        this.play()
        return this.finish()
