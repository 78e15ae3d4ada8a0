# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.known_hosts: the file, as it is made and read."""

from pathlib import Path

import pytest

from tests.support.sealing import NOW, self_signed
from wsrc.errors import ConfigError
from wsrc.net.known_hosts import KnownHostsFile
from wsrc.sealing.faults import SealError

SERVER = "wss://relay.example:4220"


def remember(file: KnownHostsFile, host: str) -> tuple[bytes, ...]:
    chain = self_signed(host).certificates
    file.remember(host, file.hosts.check(host, chain, NOW))
    return chain


def test_a_card_host_is_known_to_the_next_program(tmp_path: Path) -> None:
    path = tmp_path / "state" / "wsrc" / "known_hosts"
    file = KnownHostsFile(path, SERVER)
    assert not path.exists()
    chains = {host: remember(file, host) for host in ("bench", "Werkbank 2")}
    next_one = KnownHostsFile(path, SERVER).hosts
    assert not any(next_one.check(host, chain, NOW).first_use for host, chain in chains.items())
    with pytest.raises(SealError, match=f"delete line 2 of {path}"):
        next_one.check("Werkbank 2", chains["bench"], NOW)


def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "wsrc" / "known_hosts"
    remember(KnownHostsFile(path, SERVER), "bench")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_another_program_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    first, second = KnownHostsFile(path, SERVER), KnownHostsFile(path, SERVER)
    remember(first, "one")
    remember(second, "two")
    hosts = KnownHostsFile(path, SERVER).hosts
    assert "one" in hosts
    assert "two" in hosts


def test_a_last_line_without_its_end_is_not_run_into(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("# mine", "utf-8")
    file = KnownHostsFile(path, SERVER)
    remember(file, "bench")
    remember(file, "other")
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "# mine"
    assert len(lines) == 3
    assert "bench" in KnownHostsFile(path, SERVER).hosts


@pytest.mark.parametrize("octets", [b"one line\n", b"\xff\n"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(octets)
    with pytest.raises(ConfigError, match=str(path)):
        KnownHostsFile(path, SERVER)


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KnownHostsFile(tmp_path, SERVER)
