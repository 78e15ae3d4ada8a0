# SPDX-License-Identifier: Apache-2.0
"""Programs that seal their sessions, and a server that is looked into."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import Program, Programs, running
from tests.support.world import UICC

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

SHORTEST = 8
"""Octets of the shortest command or response that is searched for: shorter ones are anywhere."""


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
    said = [bytes.fromhex(each) for each in re.findall(r"[0-9a-f]{16,}", done.stdout)]
    assert len(done.stdout.splitlines()) >= len(COMMANDS), (done.stdout, done.stderr)
    assert said
    sent = [bytes.fromhex(command) for command in COMMANDS]
    return server, host, [octets for octets in (*sent, *said) if len(octets) >= SHORTEST]


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield what a process has in its memory, one mapping after the other."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end, rights in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (\S+)", maps, re.MULTILINE):
            if not rights.startswith("rw"):
                continue
            memory.seek(int(start, 16))
            try:
                yield memory.read(int(end, 16) - int(start, 16))
            except OSError:
                continue


def found_in(octets: bytes, job: list[bytes]) -> list[str]:
    """Return which commands and responses are there, as octets or as digits of either case."""
    return [
        each.hex()
        for each in job
        if each in octets or each.hex().encode() in octets or each.hex().upper().encode() in octets
    ]


def traces_of(program: Program, folder: Path, job: list[bytes]) -> set[str]:
    """Return what of a job a program has in its memory, its log and its files."""
    found = {each for part in memory_of(program.process.pid) for each in found_in(part, job)}
    found.update(found_in(program.output.encode(), job))
    for file in folder.rglob("*"):
        if file.is_file():
            found.update(found_in(file.read_bytes(), job))
    return found


def test_a_server_that_carried_a_job_has_no_octet_of_it(programs: Programs, tmp_path: Path) -> None:
    server, _, job_ = job(programs, tmp_path, "required")
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
