# SPDX-License-Identifier: Apache-2.0
"""A server obeys the policy of its file, and another one as soon as that is there (issue 13, 2)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make
from tests.support.processes import Programs, running

HOSTS = "[[host]]\nwho = ['anyone']\nannounces = '*'\n"
LIST_EUICC = HOSTS + "[[grant]]\nto = ['anyone']\ncards = { kind = 'euicc' }\nmay = ['list']\n"
USE_ALL = HOSTS + "[[grant]]\nto = ['anyone']\ncards = '*'\nmay = ['use']\n"
OTHERS = HOSTS + "[[grant]]\nto = ['*', 'idp:*']\ncards = '*'\nmay = ['use']\n"

ICCID = "8988211000000430010"
SELECT_MF = "00a40004023f00"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    with running(make(tmp_path / "certs")) as programs:
        yield programs


def test_13_a_policy_on_disk_says_who_may_use_which_card(
    programs: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(LIST_EUICC, "utf-8")
    server = programs.server("--policy", str(path))
    host = programs.card_client("--no-pcsc", "--simulated", "default")
    host.wait_for("has card", 2)
    listed = programs.wsrc("list").stdout
    assert "Simulated eUICC 00 00" in listed
    assert "Simulated UICC 00 00" not in listed
    # What may not be listed is not there, and what may be listed is not therefore used.
    assert "No card here has ICCID" in programs.wsrc("apdu", "--iccid", ICCID, SELECT_MF).stderr
    refused = programs.wsrc("apdu", "--reader", "Simulated eUICC 00 00", SELECT_MF)
    assert refused.returncode == 3
    assert "no grant of the server's policy gives it" in refused.stderr

    path.write_text(USE_ALL, "utf-8")
    server.wait_for("The policy was read anew")
    assert programs.wsrc("apdu", "--iccid", ICCID, SELECT_MF).returncode == 0

    path.write_text(OTHERS, "utf-8")
    server.wait_for("The policy was read anew", 2)
    assert "No card is there" in programs.wsrc("list").stderr

    path.write_text("", "utf-8")
    server.wait_for("The policy was read anew", 3)
    host.wait_for("may not announce", 2)
    assert host.process.poll() is None
    assert server.end() == 0
    assert "Traceback" not in server.output
