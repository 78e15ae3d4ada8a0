# SPDX-License-Identifier: Apache-2.0
"""The scanner that listens to every test finds each secret in each form, and nothing else."""

import base64
import logging
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import Program
from tests.support.secret_scan import EARS, KNOWN, MARK, Ears, Known, Scanner
from wsrc.errors import ConfigError, ErrorCode
from wsrc.protocol import messages as m

pytestmark = pytest.mark.shows_secrets("they are planted here")

PIN = b"1234"
TPDU = b"\x00\x20\x00\x01\x08" + PIN + b"\xff\xff\xff\xff"


def spaced(octets: bytes, between: str) -> str:
    return between.join(f"{octet:02x}" for octet in octets)


FORMS = {
    "hexadecimal": bytes.hex,
    "upper case": lambda octets: octets.hex().upper(),
    "pairs with spaces": lambda octets: spaced(octets, " "),
    "pairs with colons": lambda octets: spaced(octets, ":").upper(),
    "base64": lambda octets: base64.b64encode(octets).decode(),
    "base64 of more": lambda octets: base64.b64encode(b"ab" + octets + b"c").decode(),
    "base64 of a little more": lambda octets: base64.b64encode(b"a" + octets + b"bc").decode(),
}


@pytest.mark.parametrize("known", KNOWN, ids=lambda each: f"{each.name}-{each.octets.hex()[:8]}")
@pytest.mark.parametrize("form", FORMS)
def test_each_secret_is_found_in_each_form(known: Known, form: str) -> None:
    text = f"bench-3 answered to {FORMS[form](known.octets)} in time"
    assert known.name in {found.what for found in Scanner().scan(text, "a log")}


@pytest.mark.parametrize("form", FORMS)
def test_a_pin_is_found_in_its_tpdu(form: str) -> None:
    assert "PIN" in {found.what for found in Scanner().scan(FORMS[form](TPDU), "a trace")}


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("PUK, ADM", "the PUK is 12345678."),
        ("password", "no host for wss://ida:s3cret"),
        ("password in a URL", "cannot connect to wss://ida:Whatever1@relay.example:4220"),
        ("password in a URL", "cannot connect to tls://a:Whatever1@nats.example:4222"),
        ("seed of a NATS user", "SUA" + "CSSL3" * 11),
        ("password in a URL", "the proxy http://me:x@proxy:3128 does not answer"),
        ("token", "Bearer wsrc_" + "aB3-" * 11),
        ("credentials", "Authorization: Basic aWRhOndoYXRldmVyMQ=="),
        ("JSON Web Token", f"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.{'a' * 20}"),
        ("private key", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE"),
        ("secret of a session", '{"msg_type":"resume","session":"s","secret":"0f0f0f0f0f0f"}'),
        ("secret of a session", "Resume(session='s', secret='deadbeefdeadbeef')"),
        ("session secret", f"resumed with {'0f' * 32}"),
    ],
)
def test_what_looks_like_a_secret_is_found(what: str, text: str) -> None:
    assert what in {found.what for found in Scanner().scan(text, "a log")}


@pytest.mark.parametrize(
    "text",
    [
        "user@lab took 898821…0002 in SIM Array A 00 00 at farm-a",
        "No card here has ICCID 8949020000012345678.",
        "Session 0123abcd of me@lab (bench/r1) ended: 1234 commands",
        "write them as wss://USER:PASSWORD@HOST:PORT in WSRC_SERVER_URL",
        "https://relay.example:4220/user is no URL of a server",
        "the EID 89882119900000000000000000007280, the ATR 3b9f96801fc78031a073be2113674320",
        "this is no secret: a token begins with wsrc_",
    ],
)
def test_what_is_no_secret_is_not_found(text: str) -> None:
    assert Scanner().scan(text, "a log") == []


def test_the_secret_of_a_session_is_known_once_it_is_made() -> None:
    made = secrets.token_hex(32)
    EARS.hear(f"begin{made}end", "a log")
    assert "session secret" in {found.what for found in EARS.take()}


def test_a_secret_is_heard_wherever_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def heard() -> set[tuple[str, str]]:
        return {(found.what, found.source) for found in EARS.take()}

    assert heard() == set()
    logging.getLogger("wsrc.server").warning("Refused %s", TPDU.hex())
    assert heard() == {("PIN", "a log record of wsrc.server")}
    ConfigError("pin", f"{TPDU.hex()} is too long")
    assert heard() == {("PIN", "an error")}
    m.error(ErrorCode.BAD_HEX, f"Octets are wrong: {TPDU.hex()}.")
    assert heard() == {("PIN", "an error message")}
    say = f"import sys; print('{TPDU.hex()}', file=sys.stderr)"
    subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, check=True)
    assert heard() == {("PIN", "what a process complained of")}
    program = Program([sys.executable, "-c", say], os.environ)
    program.wait_for("0020")
    program.close()
    assert heard() == {("PIN", "the output of a program")}
    sys.stderr.write(TPDU.hex(" "))
    capsys.readouterr()
    assert heard() == {("PIN", "what was complained of")}
    (tmp_path / "state").mkdir()
    for name in ("server.log", "audit.jsonl", "audit.jsonl.1", "metrics", "apdus.pcapng"):
        path = tmp_path / "state" / name
        path.write_bytes(b"\0" + TPDU.hex().encode() + b"\xff")
        EARS.files(tmp_path)
        assert heard() == {("PIN", name)}
        path.unlink()
    (tmp_path / "user.toml").write_text("server_url = 'wss://ida:s3cret@h'", "utf-8")
    EARS.files(tmp_path)
    assert heard() == set()


def test_no_more_is_kept_than_is_needed_to_fail() -> None:
    ears = Ears()
    for _ in range(1_000):
        ears.hear(TPDU.hex(), "a log")
    assert len(ears.take()) <= 100


LEAKS = """
import logging
import pytest
from tests.conftest import _no_secret_is_shown

def leak():
    logging.getLogger("wsrc").error("VERIFY 31323334ffffffff")

def test_that_leaks():
    leak()

def test_that_does_not():
    logging.getLogger("wsrc").error("VERIFY 0020 00 01 08 …")

@pytest.mark.shows_secrets("it is asked to")
def test_that_may():
    leak()
"""


def test_a_test_that_shows_a_secret_fails(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(LEAKS, "utf-8")
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *settings, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "3 passed, 1 error" in done.stdout
    assert "ERROR" in done.stdout
    assert "test_that_leaks" in done.stdout.partition("short test summary")[2]
    assert "PIN in a log record of wsrc" in done.stdout


def test_whoever_shows_secrets_says_why() -> None:
    """The exemptions are few, and each has its reason."""
    found: list[str] = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for call in re.findall(rf"mark\.{MARK}(.*)", path.read_text("utf-8")):
            assert re.match(r'\("[^"]{10,}"\)', call), f"{path}: {call}"
            found.append(path.name)
    assert len(found) < 20
