# SPDX-License-Identifier: Apache-2.0
"""Certificates of seals that are renewed and revoked while programs run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pki import Pki
from tests.support.processes import Program, Programs, running
from tests.support.world import UICC
from wsrc.certs.making import Kind
from wsrc.command_line.invocation import Exit

HOST = "bench.example"
USER = "anna@example.com"

LASTING = """
import sys, time
from pathlib import Path
from wsrc import blocking
url, ca, card_ca, card_crl, folder = sys.argv[1:]
given = {"ca": ca, "card_ca": card_ca, "card_crl": card_crl, "name": "lasting"}
with blocking.Client(url, **given) as client:
    with client.select(eid="89882119900000000000000000007280") as card:
        for number in range(3):
            while not (Path(folder) / f"go-{number}").exists():
                time.sleep(0.05)
            print(f"answer {number}: {card.transmit(bytes.fromhex('00a40004023f00')).sw:04X}")
            sys.stdout.flush()
"""
"""A session that goes on as files say, with the other card."""


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        programs.seal = programs.host_seal = None
        yield programs


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path / "pki")
    made.revoked("somebody@example.com")
    return made


def host_of(programs: Programs, pki: Pki, *more: str) -> Program:
    pair = pki.client(HOST, Kind.CARD_HOST)
    keys = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    host = programs.card_client("--no-pcsc", "--simulated", "default", *keys, *more)
    host.wait_for(r"has card 898821\D*0010")
    return host


def test_a_certificate_that_is_renewed_or_revoked_ends_no_session_but_the_next_attach(
    programs: Programs, pki: Pki, tmp_path: Path
) -> None:
    programs.server()
    host = host_of(programs, pki)
    trust = (str(pki.folder.ca), str(pki.folder.crl))
    url = f"wss://localhost:{programs.user_port}/user"
    lasting = programs.user_script(
        LASTING, url, str(programs.certificates.ca), *trust, str(tmp_path)
    )

    def goes_on(number: int) -> None:
        (tmp_path / f"go-{number}").touch()
        lasting.wait_for(rf"answer {number}: (6|9)\w+")

    def once() -> tuple[int, str]:
        given = ("--card-ca", trust[0], "--card-crl", trust[1], "--iccid", UICC)
        done = programs.wsrc("apdu", *given, "00200001")
        return done.returncode, done.stdout[:4] + done.stderr

    goes_on(0)
    assert once() == (Exit.DONE, "63C3")
    pki.folder.renew(HOST, new_key=True)
    goes_on(1)
    assert once() == (Exit.DONE, "63C3")
    host.wait_for("The certificates and keys of seals were read anew")
    pki.folder.revoke(HOST)
    status, said = once()
    assert (status, "bench.example was revoked" in said) == (Exit.REFUSED, True), said
    goes_on(2)


def test_a_user_who_is_revoked_goes_on_and_begins_nothing_new(
    programs: Programs, pki: Pki, tmp_path: Path
) -> None:
    programs.server()
    audit = tmp_path / "audit"
    who = ("--user-ca", str(pki.folder.ca), "--user-crl", str(pki.folder.crl))
    host_of(programs, pki, *who, "--accept-users", "*@example.com", "--audit-dir", str(audit))
    pair = pki.client(USER)
    kept = pair.cert.read_bytes(), pair.key.read_bytes()

    def once() -> tuple[int, str]:
        given = ("--card-ca", str(pki.folder.ca), "--iccid", UICC)
        keys = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
        done = programs.wsrc("apdu", *given, *keys, "00200001")
        return done.returncode, done.stdout[:4] + done.stderr

    assert once() == (Exit.DONE, "63C3")
    pki.folder.revoke(USER)
    for path, octets in zip(pair, kept, strict=True):
        path.write_bytes(octets)
    status, said = once()
    assert status != Exit.DONE
    assert re.search(r"anna@example\.com was revoked", said), said
    gave = [line for each in audit.glob("*.jsonl") for line in each.read_text().splitlines()]
    proved = [line for line in gave if '"gave_back"' in line]
    assert '"proved":"anna@example.com"' in proved[0].replace(" ", "")
    assert '"proved"' not in proved[1]
