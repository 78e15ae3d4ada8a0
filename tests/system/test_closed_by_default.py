# SPDX-License-Identifier: Apache-2.0
"""A server that was told nothing lets in nobody from the network (issue 13, 1)."""

import subprocess
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Program, argv, environment

PORTS = ("--user-port", "0", "--card-port", "0")


def start(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv("wsrc-server", *PORTS, *args),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("plain", [True, False])
def test_13_with_no_way_to_know_anybody_it_refuses_to_start_on_a_network_and_says_what_to_do(
    certificates: Certificates, plain: bool
) -> None:
    tls = ("--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key))
    how = ("--no-tls", "--allow-plaintext-on-network") if plain else tls
    ended = start("--host", "0.0.0.0", *how)
    assert (ended.returncode, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("wsrc-server: host: whoever reaches 0.0.0.0 could use every card")
    for way in ("tls_client_ca", "tokens", "localhost", "allow_anyone_on_network"):
        assert way in line


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--no-tls",), r"Whoever is on this host is let in; give .* to serve others"),
        (
            ("--no-tls", "--allow-plaintext-on-network", "--allow-anyone-on-network"),
            "Whoever reaches this server is let in and can use every card",
        ),
    ],
)
def test_13_a_server_that_lets_anybody_in_says_so(args: tuple[str, ...], said: str) -> None:
    program = Program(argv("wsrc-server", *PORTS, *args), environment(), Path())
    try:
        program.wait_for(said)
        assert program.end() == 0
    finally:
        program.close()
