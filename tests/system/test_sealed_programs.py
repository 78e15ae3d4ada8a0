# SPDX-License-Identifier: Apache-2.0
"""Programs that seal their sessions, and a server that is looked into."""

import base64
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import Program, Programs, running
from tests.support.world import UICC
from wsrc.blocking import Client
from wsrc.errors import NotExecutedError, OutcomeUnknownError, SessionLostError

COMMANDS = (
    "00a40004023f00",
    "00a40004022fe2",
    "00b000000a",
    "0020000108 31323334ffffffff",
    "00a4040c10a0000000871002ffffffff8907090000",
    "00a40004026f07",
    "00b0000009",
    "0088008122 10 000102030405060708090a0b0c0d0e0f 10 101112131415161718191a1b1c1d1e1f",
)
"""A job: files are read, a PIN is verified, and a network is authenticated to."""

ALONE = "0020000108 31323334ffffffff".replace(" ", "")
"""Sent by itself; those above are sent as a batch."""

SHORTEST = 9
"""Octets of the shortest that is searched for, and digits of base64: shorter ones are anywhere."""


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


def job(programs: Programs, tmp_path: Path, seal: str) -> tuple[Program, Program, list[bytes]]:
    """Do the job; return the server, the card client, and what went to and fro."""
    server = programs.server("--log-level", "debug", "--audit-dir", str(tmp_path / "audit"))
    host = programs.card_client(
        *("--no-pcsc", "--simulated", "default", "--seal", seal, "--guard-profile", "full"),
        *("--audit-dir", str(tmp_path / "host-audit")),
        env={"STATE_DIRECTORY": str(tmp_path / "host")},
    )
    host.wait_for(r"has card 898821\D*0010")
    known = str(tmp_path / "known_hosts")
    lines = "\n".join(command.replace(" ", "") for command in COMMANDS)
    done = programs.wsrc(
        *("apdu", "--seal", seal, "--known-hosts", known, "--iccid", UICC, "--keep-going", "-"),
        stdin=lines,
    )
    said = [bytes.fromhex(each) for each in re.findall(r"[0-9a-f]{18,}", done.stdout)]
    assert len(done.stdout.splitlines()) >= len(COMMANDS), (done.stdout, done.stderr)
    assert said
    sent = [bytes.fromhex(command) for command in COMMANDS]
    return server, host, [octets for octets in (*sent, *said) if len(octets) >= SHORTEST]


UNREADABLE = frozenset(("[vvar]", "[vvar_vclock]", "[vsyscall]"))
"""What Linux lends every process, and lets nobody read; it is the same in all of them."""


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield all that a process can read of its memory, one mapping after the other."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            span, rights, name = *line.split()[:2], line.split(" ")[-1]
            start, end = (int(each, 16) for each in span.split("-"))
            if not rights.startswith("r") or name in UNREADABLE:
                continue
            memory.seek(start)
            left = end - start
            while left:
                part = memory.read(left)
                assert part, f"{line} cannot be read to its end"
                left -= len(part)
                yield part


def forms_of(octets: bytes) -> Iterator[bytes]:
    """Yield how octets can stand somewhere: as they are, as digits, and in base64."""
    yield octets
    yield octets.hex().encode()
    yield octets.hex().upper().encode()
    for before in range(3):  # what stands before shifts base64; its first and last digits are lost
        digits = base64.b64encode(bytes(before) + octets).rstrip(b"=")[4 * bool(before) : -1]
        if len(digits) > SHORTEST:
            yield digits


def found_in(octets: bytes, job: list[bytes]) -> list[str]:
    """Return which commands and responses are there, in whatever form."""
    return [each.hex() for each in job if any(form in octets for form in forms_of(each))]


def traces_of(program: Program, folder: Path, job: list[bytes]) -> set[str]:
    """Return what of a job a program has in its memory, its log and its files."""
    found = {each for part in memory_of(program.process.pid) for each in found_in(part, job)}
    found.update(found_in(program.output.encode(), job))
    for file in folder.rglob("*"):
        if file.is_file():
            found.update(found_in(file.read_bytes(), job))
    return found


def test_what_is_searched_for_is_found_in_every_form() -> None:
    octets = bytes(range(40, 56))
    for before in range(3):
        there = base64.b64encode(b"z" * before + octets + b"more")
        assert found_in(there, [octets])
    assert found_in(octets.hex().upper().encode(), [octets])
    assert not found_in(base64.b64encode(bytes(60)), [octets])


def test_a_server_that_carried_a_job_has_no_octet_of_it(programs: Programs, tmp_path: Path) -> None:
    """Neither in its memory, nor in its log at its finest level, nor in its audit log."""
    server, _, job_ = job(programs, tmp_path, "required")
    known = ("--known-hosts", str(tmp_path / "known_hosts"))
    alone = programs.wsrc("apdu", "--seal", "required", *known, "--iccid", UICC, ALONE)
    assert alone.stdout.startswith("9000")
    job_.append(bytes.fromhex(ALONE))
    assert traces_of(server, tmp_path / "audit", job_) == set()


def test_without_a_seal_it_has(programs: Programs, tmp_path: Path) -> None:
    """The search finds what is there."""
    server, _, job_ = job(programs, tmp_path, "off")
    assert traces_of(server, tmp_path / "audit", job_) != set()


@pytest.mark.parametrize(("seal", "is_sealed"), [("required", True), ("off", False)])
def test_the_audit_logs_of_both_ends_say_whether_a_session_is_sealed(
    programs: Programs, tmp_path: Path, seal: str, *, is_sealed: bool
) -> None:
    job(programs, tmp_path, seal)
    for log in ("audit", "host-audit"):
        files = (tmp_path / log).glob("*.jsonl")
        lines = [line for file in files for line in file.read_text().splitlines()]
        (took,) = (json.loads(line) for line in lines if '"took"' in line)
        assert took.get("sealed", False) is is_sealed


def test_a_command_says_in_json_who_has_sealed_its_session(
    programs: Programs, tmp_path: Path
) -> None:
    _, host, _ = job(programs, tmp_path, "preferred")
    known = tmp_path / "known_hosts"
    for seal, is_sealed in (("preferred", True), ("off", False)):
        given = ("--seal", seal, "--known-hosts", str(known), "--iccid", UICC)
        done = programs.wsrc("apdu", "--json", *given, "00a40004023f00")
        card = json.loads(done.stdout)["card"]
        assert (card["sealed"] is not None) is is_sealed
        if is_sealed:
            assert card["sealed"]["name"] == "bench"
            assert card["sealed"]["fingerprint"] in known.read_text()
            assert f"the key of this host is {card['sealed']['fingerprint']}" in host.output
    assert "read anew" not in host.output


def test_a_card_client_that_is_killed_before_the_first_request_has_run_nothing(
    programs: Programs, tmp_path: Path
) -> None:
    """Whoever comes in its place has no key of the session, and no word on it."""
    programs.server()
    host = simulated(programs, tmp_path)
    settings = {"seal": "required", "known_hosts": tmp_path / "known_hosts", "keep_s": 5.0}
    url = f"wss://localhost:{programs.user_port}/user"
    with Client(url, ca=programs.certificates.ca, **settings) as client:
        card = client.select(iccid=UICC)
        host.end(signal.SIGKILL)
        simulated(programs, tmp_path)
        with pytest.raises((OutcomeUnknownError, NotExecutedError, SessionLostError)):
            card.transmit(bytes.fromhex("0020000108 39393939ffffffff"))
        with client.select(iccid=UICC, wait_s=10) as again:
            assert again.sealed is not None
            assert again.transmit(bytes.fromhex("00200001")).sw == 0x63C3


def simulated(programs: Programs, tmp_path: Path) -> Program:
    """Start a card client that seals, with simulated cards."""
    host = programs.card_client(
        *("--no-pcsc", "--simulated", "default", "--seal", "required"),
        env={"STATE_DIRECTORY": str(tmp_path / "host")},
    )
    host.wait_for(r"has card 898821\D*0010")
    return host
