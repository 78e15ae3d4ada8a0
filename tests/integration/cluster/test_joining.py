# SPDX-License-Identifier: Apache-2.0
"""A node that starts beside others finds their cards as soon as it serves."""

from pathlib import Path

from tests.support.certificates import Certificates
from tests.support.nats import nats_server
from tests.support.processes import Program, Programs, ports_of, running
from wsrc.blocking import Client

ICCID = "8988211000000430010"
"""Of the first simulated card."""


def start(programs: Programs, name: str, url: str, folder: Path, *more: str) -> Program:
    """Start a node, and have the programs that follow use it."""
    given = ("--node-name", name, "--cluster-url", url, "--state-dir", str(folder / name))
    node = programs.server_that_starts(0, 0, "--no-http", *given, *more)
    programs.user_port, programs.card_port = ports_of(node)
    return node


def test_a_card_of_another_node_is_found_as_soon_as_a_node_serves(
    certificates: Certificates, tmp_path: Path
) -> None:
    with nats_server(tmp_path / "nats") as nats, running(certificates) as programs:
        start(programs, "a", nats.url, tmp_path)
        host = programs.card_client("--no-pcsc", "--simulated", "default")
        host.wait_for("has card")
        node = start(programs, "b", nats.url, tmp_path)
        met, serves = (
            next(at for at, line in enumerate(node.lines) if what in line)
            for what in ("Server a of the cluster is there", "Ready: ")
        )
        assert met < serves
        url = f"wss://localhost:{programs.user_port}/user"
        with Client(url, ca=str(certificates.ca)) as client, client.select(iccid=ICCID) as card:
            assert card.transmit(bytes.fromhex("00a40004023f00")).sw >> 8 in {0x61, 0x90}


def test_a_node_serves_without_nats(certificates: Certificates, tmp_path: Path) -> None:
    with running(certificates) as programs:
        start(programs, "a", "nats://localhost:1", tmp_path)
        programs.card_client("--no-pcsc", "--simulated", "default").wait_for("has card")
        assert ICCID in programs.wsrc("list").stdout


def test_a_node_that_is_alone_waits_for_nobody(certificates: Certificates, tmp_path: Path) -> None:
    """NATS says at once that nobody else is there; JOIN_S and HEARD_S do not pass."""
    with nats_server(tmp_path / "nats") as nats, running(certificates) as programs:
        node = start(programs, "a", nats.url, tmp_path, "--log-level", "debug")
        assert any("No other server of the cluster is there" in line for line in node.lines)
