# SPDX-License-Identifier: Apache-2.0
"""What is kept of whole sessions: who, what and when, and nothing secret (issue 13, 4)."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.gsmtap import read_gsmtap, read_pcapng
from tests.support.processes import LIMIT_S, Program, Programs, argv, environment, running
from tests.support.seal_way import SEAL
from wsrc.audit.check import Check
from wsrc.audit.files import read_into

PIN, ICCID = "73915264", "8988211000000430010"
VERIFY = f"0020000108{PIN.encode().hex()}"
WRONG = f"0020000108{b'64825193'.hex()}"
SELECT_USIM = "00a4040c07a0000000871002"
AUTHENTICATE = (
    "00880081 2210 23553cbe9637a89d218ae64dae47bf3510 55f328b43577b9b94a9ffac354dfafb3 00"
)
CARD = f"""
kind = "uicc"
iccid = "{ICCID}"
pin1 = "{PIN}"
"""


class Lab:
    """Programs with audit logs and traces, in a folder."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.server_log, self.host_log = folder / "server", folder / "host"
        (folder / "card.toml").write_text(CARD, "utf-8")
        self.said: list[Program] = []

    def server(self) -> Program:
        self.said.append(self.programs.server("--audit-dir", str(self.server_log)))
        return self.said[-1]

    def host(self, *more: str) -> Program:
        card = ("--no-pcsc", "--simulated", str(self.folder / "card.toml"))
        log = ("--audit-dir", str(self.host_log))
        program = self.programs.card_client(*card, *log, *more)
        self.said.append(program)
        program.wait_for("has card")
        program.wait_for("Connected to")
        return program

    def apdu(self, *commands: str) -> "subprocess.CompletedProcess[str]":
        select = ("--iccid", ICCID, "--wait-s", "20")
        return self.programs.wsrc("apdu", *select, "--keep-going", *commands)


@pytest.fixture
def lab(certificates: Certificates, tmp_path: Path) -> Iterator[Lab]:
    with running(certificates) as programs:
        yield Lab(programs, tmp_path)


def lines(folder: Path) -> list[dict[str, Any]]:
    texts = [t for p in sorted(folder.glob("*.jsonl")) for t in p.read_bytes().splitlines()]
    return [json.loads(text) for text in texts]


def of(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if line["event"] in kinds]


def faults(folder: Path) -> list[str]:
    check = Check()
    for path in sorted(folder.glob("*.jsonl")):
        read_into(check, path)
    return [finding.sentence for finding in check.end() if finding.fault]


def test_13_the_audit_logs_of_a_session_say_who_had_which_card_from_when_to_when(lab: Lab) -> None:
    server, host = lab.server(), lab.host()
    assert lab.apdu("00a40004023f00", WRONG, "00200001").returncode in {0, 1}
    missing = lab.programs.wsrc("apdu", "--iccid", ICCID.replace("43", "44"), "00a40004023f00")
    assert missing.returncode == 3
    server.wait_for("was refused the card with ICCID 898821…0010")
    assert (host.end(), server.end()) == (0, 0)
    seen = [line["event"] for line in lines(lab.server_log)]
    assert seen[:2] == ["file", "started"]
    assert seen[-1] == "stopped"
    took, gave = of(lab.server_log, "took", "gave_back")
    assert took["who"]["name"] == gave["who"]["name"] == "first@laptop"
    assert took["card"]["iccid"] == gave["card"]["iccid"] == ICCID
    assert took["card"]["host"] == "bench"
    assert took["session"] == gave["session"]
    seen_commands = 3 if SEAL == "off" else 1
    assert (gave["commands"], gave["asked"]) == (seen_commands, True), "a server sees one box"
    peers = {line["peer"]: line for line in of(lab.server_log, "connected")}
    assert peers[took["who"]["peer"]]["address"] in {"127.0.0.1", "::1"}
    (denied,) = of(lab.server_log, "denied")
    assert (denied["code"], denied["who"]["name"]) == ("no_such_card", "first@laptop")
    at_host = of(lab.host_log, "server_found", "took", "gave_back")
    assert [line["event"] for line in at_host] == ["server_found", "took", "gave_back"]
    assert (at_host[2]["commands"], at_host[2]["session"]) == (3, gave["session"])
    assert (faults(lab.server_log), faults(lab.host_log)) == ([], [])
    said = server.output
    assert "first@laptop took 898821…0010 in Simulated UICC 00 00 at bench" in said
    assert "first@laptop gave back 898821…0010 in Simulated UICC 00 00 at bench after " in said
    assert f"and {seen_commands} command" in said
    assert ICCID not in said


def test_13_what_a_guard_refuses_who_is_refused_and_reloads_are_kept(lab: Lab) -> None:
    server, host = lab.server(), lab.host("--guard-profile", "no-pin")
    assert lab.apdu(VERIFY).returncode != 0
    with socket.create_connection(("localhost", lab.programs.user_port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        server.wait_for("is refused")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("were read anew")
    host.end()
    server.end()
    assert len(of(lab.server_log, "reloaded")) == 1
    (refused,) = of(lab.host_log, "guarded")
    assert refused["rule"] == "no-pin"
    assert refused["what"] == "00 20 00 01 + 9 octets"
    assert refused["card"]["iccid"] == ICCID
    (stranger_,) = of(lab.server_log, "refused")
    assert stranger_["why"] == "it speaks HTTP without TLS"


def test_13_evidence_outlives_a_kill_of_both_programs(lab: Lab) -> None:
    for _ in range(2):
        server, host = lab.server(), lab.host()
        assert lab.apdu("00a40004023f00").returncode == 0
        server.wait_for("gave back")
        for program in (server, host):
            program.process.kill()
            program.close()
    lab.server().end()
    assert len(of(lab.server_log, "took")) == 2
    assert len(of(lab.server_log, "started")) == 3
    assert len(of(lab.server_log, "stopped")) == 1
    verify = subprocess.run(
        argv("wsrc-server", "audit", "verify", str(lab.server_log)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert verify.returncode == 0, verify.stdout


def test_13_two_servers_have_no_audit_log_in_common(lab: Lab) -> None:
    lab.server()
    command = argv("wsrc-server", "--no-tls", "--audit-dir", str(lab.server_log))
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 2
    assert "audit_dir: another process writes to the log of wsrc-server" in done.stderr


@pytest.mark.parametrize("name", ["trace.txt", "trace.pcapng"])
def test_13_no_pin_and_no_key_is_in_what_programs_write(lab: Lab, name: str) -> None:
    """A secret is looked for in octets and in digits, in whatever was written or said."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wireshark:
        wireshark.bind(("127.0.0.1", 0))
        wireshark.settimeout(LIMIT_S)
        to = f"127.0.0.1:{wireshark.getsockname()[1]}"
        trace = lab.folder / name
        server = lab.server()
        host = lab.host(
            "--trace", "--trace-file", str(trace), "--trace-gsmtap", to, "--log-level", "debug"
        )
        done = lab.apdu(VERIFY, WRONG, SELECT_USIM, AUTHENTICATE)
        host.wait_for("00 88 00 81")
        assert (host.end(), server.end()) == (0, 0)
        sent = [read_gsmtap(wireshark.recv(65_535)) for _ in range(5)]
    answer = bytes.fromhex(done.stdout.split()[-3])
    assert answer[0] == 0xDB, done.stdout + done.stderr
    secrets = [PIN.encode(), b"64825193", answer[2:10], answer[11:27], answer[28:44]]
    written = {str(path): path.read_bytes() for path in lab.folder.rglob("*") if path.is_file()}
    written["datagrams"] = b"".join(payload for _, payload in sent)
    written |= {f"output {n}": p.output.encode() for n, p in enumerate(lab.said)}
    del written[str(lab.folder / "card.toml")]
    assert trace.stat().st_mode & 0o777 == 0o600
    if name.endswith("pcapng"):
        assert len(read_pcapng(trace.read_bytes())) == 5
    else:
        assert b"00 20 00 01 08 [8 octets] -> 90 00" in written[str(trace)]
    assert [sub_type for sub_type, _ in sent] == [1, 0, 0, 0, 0]
    assert [(what, n) for what, octets in written.items() for n in found(secrets, octets)] == []


def found(secrets: list[bytes], octets: bytes) -> list[int]:
    """Return which of these secrets are in octets, in any form."""
    forms = [
        {s, s.hex().encode(), s.hex().upper().encode(), s.hex(" ").encode(), s.hex(":").encode()}
        for s in secrets
    ]
    return [n for n, each in enumerate(forms) if any(form in octets for form in each)]


def test_13_secrets_would_be_found() -> None:
    pin = PIN.encode()
    for octets in (pin, pin.hex().encode(), pin.hex(" ").encode(), pin.hex().upper().encode()):
        assert found([pin], b"x" + octets + b"x") == [0]


def test_13_all_is_in_a_trace_where_its_owner_wants_that_and_is_told(lab: Lab) -> None:
    trace = lab.folder / "trace.txt"
    lab.server()
    host = lab.host("--trace-file", str(trace), "--trace-secrets")
    lab.apdu(VERIFY)
    host.end()
    assert PIN.encode().hex(" ") in trace.read_text("utf-8")
    assert "Nothing is left out of the trace: keep it away from others, it has PINs" in host.output
    assert "37 33 39" not in host.output


def test_13_a_trace_that_cannot_be_written_is_in_no_sessions_way(lab: Lab) -> None:
    lab.server()
    host = lab.host("--trace-file", str(lab.folder / "none" / "trace.txt"))
    assert lab.apdu("00a40004023f00").returncode == 0
    host.wait_for("The trace is not complete: .*No such file or directory")


@pytest.mark.parametrize("name", ["trace.txt", "trace.pcapng"])
def test_13_a_user_traces_its_own_sessions_without_pins(lab: Lab, name: str) -> None:
    trace = lab.folder / name
    lab.server()
    lab.host()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wireshark:
        wireshark.bind(("127.0.0.1", 0))
        wireshark.settimeout(LIMIT_S)
        to = f"127.0.0.1:{wireshark.getsockname()[1]}"
        traced = ("--trace-file", str(trace), "--trace-gsmtap", to)
        done = lab.apdu(*traced, "00a40004023f00", VERIFY)
        assert done.returncode == 0, done.stdout + done.stderr
        sent = [read_gsmtap(wireshark.recv(65_535)) for _ in range(3)]
    assert [sub_type for sub_type, _ in sent] == [1, 0, 0]
    assert sent[1][1].startswith(bytes.fromhex("00a40004023f00"))
    written = trace.read_bytes()
    assert trace.stat().st_mode & 0o777 == 0o600
    if name.endswith("pcapng"):
        assert [each.sub_type for each in read_pcapng(written)] == [1, 0, 0]
    else:
        assert b"Simulated UICC 00 00 ATR 3b" in written
        assert b"00 20 00 01 08 [8 octets] -> 90 00" in written
    assert not found([PIN.encode()], written + sent[2][1])


def test_13_a_user_has_all_in_its_trace_where_it_wants_that_and_is_told(lab: Lab) -> None:
    trace = lab.folder / "trace.txt"
    lab.server()
    lab.host()
    done = lab.apdu("--trace-file", str(trace), "--trace-secrets", VERIFY)
    assert done.returncode == 0, done.stderr
    assert PIN.encode().hex(" ") in trace.read_text("utf-8")
    assert "Nothing is left out of the trace" in done.stderr
    assert "37 33 39" not in done.stderr
