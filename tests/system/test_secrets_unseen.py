# SPDX-License-Identifier: Apache-2.0
"""What all programs say when they say all that they can: no PIN, no key, no secret."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Programs, argv, environment, running

ICCID = "8988211000000430010"
ADF = "00a4040c10a0000000871002ffffffff8907090000"
VERIFY = "0020000108 31323334ffffffff"
WRONG = "0020000108 39393939ffffffff"
UNBLOCK = "002c000110 3132333435363738 31323334ffffffff"
ADM = "0020000a08 3132333435363738"
LOAD_KEY = "80e2900018 465b5ce8b199b49faa5f0a2ee238a6bc 3132333435363738"

PLENTY = ("--log-level", "debug")


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


def test_programs_that_say_all_they_can_show_no_secret(programs: Programs, tmp_path: Path) -> None:
    server = programs.server(*PLENTY)
    host = programs.card_client("--no-pcsc", "--simulated", "default", *PLENTY)
    host.wait_for(r"has card 898821\D*0010")
    script = tmp_path / "pins.wsrc"
    script.write_text(f"{ADF}\n{VERIFY} -> 6a88\n{UNBLOCK}\n", "utf-8")
    runs = [
        programs.wsrc("apdu", "--iccid", ICCID, "-", stdin=f"{ADF}\n{VERIFY}\n"),
        programs.wsrc("apdu", "--iccid", ICCID, "-", stdin=f"{ADF}\n{WRONG}\n{WRONG}\n{WRONG}\n"),
        programs.wsrc("apdu", "--iccid", ICCID, "--json", "-", stdin=f"{UNBLOCK}\n{ADM}\n"),
        programs.wsrc("apdu", "--iccid", ICCID, "-", stdin=f"{VERIFY}0\n"),
        programs.wsrc("apdu", "--iccid", ICCID, "-", stdin=f"{VERIFY}zz\n"),
        programs.wsrc("apdu", "--iccid", ICCID, "-", stdin=f"{LOAD_KEY}\n{LOAD_KEY}ff\n"),
        programs.wsrc("script", "--iccid", ICCID, str(script)),
        programs.wsrc("script", "--iccid", ICCID, "--json", str(script)),
    ]
    told = [json.loads(run.stdout) for run in runs if run.stdout.startswith("{")]
    assert len(told) >= 1
    assert len({run.returncode for run in runs}) >= 3, [run.stderr for run in runs]
    host.wait_for(r"DEBUG +00 20 00 01 \+ 9 octets -> 63c2")
    assert host.end() == 0
    assert server.end() == 0
    for name, program in (("server", server), ("host", host)):
        assert re.search(r"(?i)traceback", program.output) is None, name


@pytest.mark.parametrize("url", ["wss://ida:s3cret@localhost:1", "wss://ida:12/s3cret@localhost"])
def test_a_password_of_a_url_is_shown_by_no_program(url: str, certificates: Certificates) -> None:
    for program, *args in (("wsrc", "list"), ("wsrc", "list", "--json"), ("wsrc", "readers")):
        done = subprocess.run(
            argv(program, *args),
            env=environment(WSRC_SERVER_URL=url, WSRC_TLS_CA=str(certificates.ca)),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode != 0
        assert "localhost" in done.stdout + done.stderr
        assert "s3cret" not in done.stdout + done.stderr
