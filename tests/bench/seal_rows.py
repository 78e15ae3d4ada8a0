# SPDX-License-Identifier: Apache-2.0
"""What it costs to seal a session: CPU of each program, octets on the wire, and setting it up."""

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding

from tests.bench import accounting, programs
from tests.bench.book import Book, interleaved
from tests.bench.driver import Orders
from tests.bench.path_rows import (
    READ,
    SEALS,
    card_client,
    iccids,
    sealing,
    simulated,
    user_environment,
    worker,
)
from tests.bench.relay_rows import PAIR_SESSIONS, WARM_S
from wsrc.certs.making import Issuer, Kind, Period, make_ca, make_leaf, new_key
from wsrc.net.certificates import subject_of
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.boxed import CardBoxes, UserBoxes
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, encode
from wsrc.sealing.encoding import NONCE_OCTETS
from wsrc.sealing.ends import CardSeal, UserSeal
from wsrc.sealing.handshake import Agreed, Expected, Host, Offered, agree
from wsrc.sealing.keys import SECRET_OCTETS
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import Identity
from wsrc.sealing.suites import available
from wsrc.sealing.terms import Ask, Asked, Card
from wsrc.sealing.trust import HOST_ROLE, Authority

COMMANDS = 4_000
SESSIONS = 1, 20
RESPONSE = "988812010000400310f0"
SET_UPS = 50
MODES = {"on": "required", "off": "off"}
SESSION = "5f0c0123456789abcdef0123456789ab"
CARD = Card("bench", "Reader 00 00@bench", "Reader 00 00", iccid="8988211000000430010")
ASKED = Asked(SESSION, "exclusive", (), "anna@desk")
EXPECTED = Expected(SESSION, ASKED.share, ASKED.ways, lambda card: card == CARD)


def sealed(book: Book) -> None:
    """
    Measure sessions with a seal beside such without, and what both have on the wire.

    `sealed.SESSIONS.MODE.PROGRAM_us` and `sealed.SESSIONS.added.PROGRAM_us` are CPU for a command
    of as many sessions at once, each program one process; `sealed.relay.MODE_us` is that of the
    server alone, `sealed.set_up.SUITE_ms` of both ends together, `sealed.MODE.octets` the texts of
    a command and its answer.
    """
    for sessions in SESSIONS:
        _programs(book, sessions)
    _relay(book)
    _set_up(book)
    for mode, octets in octets_of_command().items():
        book.add(f"sealed.{mode}.octets", octets)


def _programs(book: Book, sessions: int) -> None:
    host = book.host
    names = iccids(len(MODES) * sessions)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(programs.running(host, programs.WSRC, tls=True))
        ours = simulated(host.folder, names)
        client = stack.enter_context(card_client(host, server, *SEALS, *ours))
        client.wait_for("has card", len(names))
        users: dict[str, Orders] = {}
        for number, (mode, seal) in enumerate(MODES.items()):
            env = sealing(user_environment(host, server), host) | {"WSRC_SEAL": seal}
            cards = ",".join(names[number * sessions : (number + 1) * sessions])
            users[mode] = stack.enter_context(worker("aio", cards, env))
            users[mode].answer()
        fixed = {"server": server.pids[0], "card_client": client.process.pid}
        for number, mode in interleaved(list(users), 2 * book.effort.rounds + 1):
            book.tell(f"round {number}: sealed {mode}, {sessions} at once")
            found = _cpu(users[mode], sessions, fixed | {"user": users[mode].process.pid})
            for program, us in found.items():
                if number:  # the first warms up
                    book.add(f"sealed.{sessions}.{mode}.{program}_us", us)
    for program in ("server", "card_client", "user", "all"):
        on, off = (book.values[f"sealed.{sessions}.{mode}.{program}_us"] for mode in MODES)
        for mine, plain in zip(on, off, strict=True):
            book.add(f"sealed.{sessions}.added.{program}_us", mine - plain)


def _cpu(user: Orders, sessions: int, pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU time that a command takes in each program, and in all."""
    before = {name: accounting.cpu_s(pid) for name, pid in pids.items()}
    user.ask(f"times {COMMANDS // sessions}")
    found = {
        name: (accounting.cpu_s(pid) - before[name]) / COMMANDS * 1e6 for name, pid in pids.items()
    }
    return found | {"all": sum(found.values())}


def _relay(book: Book) -> None:
    """Measure the server alone, which sees boxes that nobody can open."""
    kinds = {"on": programs.WSRC._replace(options={"sealed": 1}), "off": programs.WSRC}
    for number, (mode, kind) in interleaved(list(kinds.items()), book.effort.rounds):
        book.tell(f"round {number + 1}: sealed relay {mode}")
        with (
            programs.running(book.host, kind, tls=True) as server,
            programs.driven(book.host, kind, server, PAIR_SESSIONS, tls=True) as (_, users),
        ):
            users.ask(f"run {WARM_S} {PAIR_SESSIONS} 0")
            before = server.cpu_s
            told = users.ask(f"run {book.effort.seconds} {PAIR_SESSIONS} 0")
            cost = (server.cpu_s - before) / max(told["apdus"], 1) * 1e6
        book.add(f"sealed.relay.{mode}_us", cost)


class Ends:
    """Both ends of sealed sessions, as often as wanted."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        period = Period(self.now - timedelta(hours=1), self.now + timedelta(days=1))
        ca_key, key = new_key(), new_key()
        ca = make_ca(ca_key, "a CA", period)
        issuer = Issuer(ca, ca_key)
        made = make_leaf(key.public_key(), Kind.CARD_HOST, ["bench.example"], period, issuer)
        identity = Identity((made.public_bytes(Encoding.DER),), key)
        self._host = Host(identity, Mode.PREFERRED)
        self._trust = Authority([ca], subject_of, HOST_ROLE)

    def agreed(self, *suites: str) -> tuple[Offered, Agreed]:
        """Return both ends of a session that begins."""
        ask = Ask(secrets.token_bytes(NONCE_OCTETS), suites, Mode.REQUIRED)
        offered = self._host.offer(ask, ASKED, CARD, secrets.token_bytes(NONCE_OCTETS))
        return offered, agree(ask, EXPECTED, offered.offer, self._trust, self.now)

    def set_up(self, suite: str) -> None:
        """Set a session up, up to the keys of both."""
        offered, agreed = self.agreed(suite)
        secret, _ = agreed.seal(secrets.token_bytes(SECRET_OCTETS))
        offered.accept(secret, self.now)

    def boxes(self) -> tuple[UserBoxes, CardBoxes]:
        """Return both ends of a session, in messages."""
        offered, agreed = self.agreed(*available())
        secret, keys = agreed.seal(secrets.token_bytes(SECRET_OCTETS))
        user = UserBoxes(UserSeal(secret, keys), lambda: b"")
        return user, CardBoxes(CardSeal(offered), lambda: self.now, lambda: MAX_MESSAGE_OCTETS)


def _set_up(book: Book) -> None:
    ends = Ends()
    for number, suite in interleaved(available(), book.effort.rounds + 1):
        took = _took(lambda suite=suite: ends.set_up(suite))  # type: ignore[misc]
        if number:
            book.add(f"sealed.set_up.{suite}_ms", took * 1e3)


def _took(do: Callable[[], object]) -> float:
    begun = time.process_time()
    for _ in range(SET_UPS):
        do()
    return (time.process_time() - begun) / SET_UPS


def octets_of_command() -> dict[str, int]:
    """Return the octets of the texts of a command and its answer, with a seal and without."""
    user, host = Ends().boxes()
    found = {"on": 0, "off": 0}
    for seq in (1, 2):  # the first has the secret as well
        asked = m.CApdu(id=seq, seq=seq, session=SESSION, command=Octets.fromhex(READ))
        said = m.RApdu(
            id=seq, seq=seq, session=SESSION, response=Octets.fromhex(RESPONSE), sw="9000"
        )
        box = user.seal(asked)
        host.open(box, seq - 1)
        answer = host.seal(said)
        user.open(answer)
        user.settled(seq)
        found["on"] = len(encode(box)) + len(encode(answer))
        found["off"] = len(encode(asked)) + len(encode(said))
    return found
