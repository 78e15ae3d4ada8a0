# SPDX-License-Identifier: Apache-2.0
"""Two card hosts of one name, as of one image: real programs, and what each party reads of them."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import Program, Programs, running

READER = "Simulated UICC 00 00"
SECOND = f"{READER}@bench (2)"
ICCIDS = "8988211999000000027", "8988211999000000019"


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


def host(programs: Programs, folder: Path, iccid: str) -> Program:
    """Start a card client of the common name with one card, and wait until it is identified."""
    card = folder / f"{iccid}.toml"
    card.write_text(f'kind = "uicc"\niccid = "{iccid}"\n', "utf-8")
    program = programs.card_client("--no-pcsc", "--simulated", str(card))
    program.wait_for("has card")
    program.wait_for("Connected to")
    return program


def listed(programs: Programs) -> dict[str, tuple[str, str]]:
    """Return the reader and the ICCID that each host is listed with."""
    cards = json.loads(programs.wsrc("list", "--json").stdout)["cards"]
    return {card["host"]: (card["reader"], card["iccid"]) for card in cards}


def test_a1_hosts_of_one_name_are_told_apart_by_everybody(
    programs: Programs, tmp_path: Path
) -> None:
    server = programs.server()
    first = host(programs, tmp_path, ICCIDS[0])
    watch = programs.wsrc_that_runs("watch")
    watch.wait_for("on bench$|on bench[^ ]|bench")
    second = host(programs, tmp_path, ICCIDS[1])
    second.wait_for(r"WARNING .*bench: users see this one as bench \(2\); give it another name")
    server.wait_for(r"WARNING .*it is shown as bench \(2\), for bench is another's already")
    watch.wait_for(r"added .*bench \(2\)")
    both = {"bench": (f"{READER}@bench", ICCIDS[0]), "bench (2)": (SECOND, ICCIDS[1])}
    assert listed(programs) == both
    info = programs.wsrc("info", "--reader", SECOND)
    assert "bench (2)" in info.stdout
    assert ICCIDS[1] in info.stdout
    asked = programs.wsrc("apdu", "--reader", SECOND, "00A4000C023F00")
    assert asked.returncode == 0, asked.stderr
    server.wait_for(r"took 898821…0019 in .* at bench \(2\)")
    vague = programs.wsrc("apdu", "--reader", READER, "00A4000C023F00")
    assert vague.returncode != 0
    assert SECOND in vague.stderr
    assert server.end(signal.SIGKILL)
    programs.server()
    for program in (first, second):
        program.wait_for("Connected to", 2)
    assert listed(programs) == both
    first.end()
    assert listed(programs) == {"bench (2)": both["bench (2)"]}
