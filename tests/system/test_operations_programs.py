# SPDX-License-Identifier: Apache-2.0
"""`wsrc who`, `revoke` and `admin` as an operator types them, with all programs."""

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Programs, argv, environment, running

ICCID = "8988211000000430010"
CARD = f'kind = "uicc"\niccid = "{ICCID}"\n'


class Lab:
    """A server and a card host with evidence, and a shell that has the card."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        (folder / "card.toml").write_text(CARD, "utf-8")
        self.server = programs.server("--audit-dir", str(folder / "server"))
        simulated = ("--no-pcsc", "--simulated", str(folder / "card.toml"))
        label, audit = ("--labels", f"{ICCID}=blue"), ("--audit-dir", str(folder / "host"))
        self.host = programs.card_client(*simulated, *label, *audit)
        self.host.wait_for("Connected to")

    def shell(self, name: str) -> "subprocess.Popen[str]":
        """Begin a shell that has the card, and say one line to be sure."""
        env = self.programs.user_environment | {"WSRC_NAME": name}
        shell = subprocess.Popen(
            argv("wsrc", "shell", "--iccid", ICCID, "--wait", "20"),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write("atr\n")
        shell.stdin.flush()
        assert shell.stdout.readline().startswith("3b")
        return shell

    def of(self, folder: str, event: str) -> list[dict[str, Any]]:
        files = sorted((self.folder / folder).glob("*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def lab(certificates: Certificates, tmp_path: Path) -> Iterator[Lab]:
    with running(certificates) as programs:
        yield Lab(programs, tmp_path)


def test_a_forgotten_shell_is_found_and_its_card_taken_back(lab: Lab) -> None:
    wsrc = lab.programs.wsrc
    with lab.shell("ann@desk") as shell:
        shown = wsrc("who", "--busy")
        assert shown.returncode == 0
        assert "ann@desk" in shown.stdout
        (use,) = json.loads(wsrc("who", "--json", "--holder", "ann*").stdout)["cards"]
        assert use["card"]["label"] == "blue"
        assert use["holders"][0]["holder"] == "ann@desk"
        since = use["holders"][0]["since"]
        assert since in wsrc("who", "--busy", "--utc").stdout
        for command in (("who", "--busy"), ("admin", "peers")):
            told = wsrc(*command, env={"TZ": "Asia/Tokyo"}).stdout
            assert ("+09:00" in told, "Z " in told) == (True, False)
        assert wsrc("who", "--free").stderr.strip() == "No card is there that matches."
        taken = wsrc("revoke", "blue", "--why", "the\x1b[2J farm is needed")
        assert (taken.returncode, taken.stderr) == (0, "")
        (_, told) = taken.stdout.split("Taken from ann@desk, who had it since ")
        assert datetime.fromisoformat(told.strip()[:-1]) == datetime.fromisoformat(since)
        _, said = shell.communicate("00a40004023f00\n", timeout=LIMIT_S)
        assert shell.returncode == 4
        assert ": the[2J farm is needed." in said
    assert wsrc("revoke", "blue").stderr.strip() == "Nobody had it."
    missing = wsrc("revoke", "blu")
    assert (missing.returncode, "Did you mean blue?" in missing.stderr) == (3, True)
    assert wsrc("revoke").returncode == 2
    assert wsrc("who", "--free", "--busy").returncode == 2
    assert (lab.host.end(), lab.server.end()) == (0, 0)
    for folder in ("server", "host"):
        (lost,) = lab.of(folder, "gave_back")
        assert ": the[2J farm is needed." in lost["why"]
        assert not lost.get("asked", False)
    did = [(each["did"], each["to"], each.get("why")) for each in lab.of("server", "operated")]
    assert did[0] == ("revoke", "the card name blue", "the[2J farm is needed")


def test_a_card_is_lent_at_the_prompt_and_let_be_shared(lab: Lab) -> None:
    wsrc = lab.programs.wsrc
    with lab.shell("ann@desk") as shell:
        _, said = shell.communicate("allow\nallow Bob (Desk)\nlend Bob (Desk)\n", timeout=LIMIT_S)
        assert shell.returncode == 0
        assert "Usage: allow WHO" in said
        assert "Bob (Desk) may share the card from now on." in said
        assert "The card is kept for Bob (Desk) until " in said
    shown = wsrc("who")
    assert "lent to Bob (Desk)" in shown.stdout
    busy = wsrc("apdu", "--iccid", ICCID, "00a40004023f00")
    assert (busy.returncode, "is lent to Bob (Desk) by ann@desk" in busy.stderr) == (3, True)


def test_a_server_is_run_from_the_command_line(lab: Lab) -> None:
    wsrc = lab.programs.wsrc
    host = json.loads(wsrc("admin", "peers", "--json").stdout)["peers"][0]
    assert (host["role"], host["readers"]) == ("card", 1)
    assert "card host" in wsrc("admin", "peers").stdout
    name = host["name"]
    drained = wsrc("admin", "drain", name, "--why", "a new rack", "--wait")
    assert (drained.returncode, drained.stderr.strip()) == (
        0,
        f"Card host {name} is drained; no session is left on its cards.",
    )
    assert "ready, draining" in wsrc("list").stdout
    refused = wsrc("apdu", "--iccid", ICCID, "00a40004023f00")
    assert (refused.returncode, "(a new rack)" in refused.stderr) == (3, True)
    assert wsrc("admin", "undrain", name).returncode == 0
    assert wsrc("admin", "undrain", name).returncode == 3
    assert wsrc("apdu", "--iccid", ICCID, "00a40004023f00").returncode == 0

    kicked = wsrc("admin", "kick", name, "--why", "try")
    assert "is closed; 0 sessions may be resumed" in kicked.stderr
    lab.host.wait_for("Kicked by .*: try")
    lab.host.wait_for("Connected to", 2)
    assert wsrc("admin", "kick", "nobody").returncode == 3

    assert wsrc("admin", "ban", "192.0.2.7", "--for", "30m").returncode == 0
    (ban,) = json.loads(wsrc("admin", "bans", "--json").stdout)["bans"]
    assert (ban["who"], ban["why"]) == ("192.0.2.7", None)
    assert "192.0.2.7" in wsrc("admin", "bans").stdout
    itself = [wsrc("admin", "ban", address) for address in ("127.0.0.1", "::1")]
    assert 3 in [each.returncode for each in itself]
    assert any("nobody bans themselves" in each.stderr for each in itself)
    assert wsrc("admin", "unban", "192.0.2.7").returncode == 0
    assert wsrc("admin", "ban", "eve", "--for", "soon").returncode == 2

    stopped = wsrc("admin", "stop", "--why", "a new kernel")
    assert (stopped.returncode, stopped.stderr.strip()) == (0, "The server stops.")
    lab.server.wait_for("asked for stop of the server: a new kernel")
    assert lab.server.process.wait(LIMIT_S) == 0


def test_help_tells_of_all() -> None:
    for words in (("who",), ("revoke",), ("admin",), ("admin", "drain")):
        command = argv("wsrc", *words, "--help")
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=True, timeout=LIMIT_S
        )
        assert "Usage: wsrc" in done.stdout
