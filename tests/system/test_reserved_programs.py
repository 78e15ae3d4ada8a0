# SPDX-License-Identifier: Apache-2.0
"""A reservation outlives the server that is killed, and the program that died with the card."""

import json
import signal
from pathlib import Path

from tests.support.certificates import Certificates
from tests.support.processes import running

ICCID = "8988211000000430010"
APDU = "00a40004023f00"


def test_a_reservation_outlives_a_killed_server_and_a_killed_user(
    certificates: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "card.toml").write_text(f'kind = "uicc"\niccid = "{ICCID}"\n', "utf-8")
    state = ("--state-dir", str(tmp_path / "state"))
    with running(certificates) as programs:
        server, wsrc = programs.server(*state), programs.wsrc
        simulated = ("--no-pcsc", "--simulated", str(tmp_path / "card.toml"))
        host = programs.card_client(*simulated)
        host.wait_for("Connected to")
        made = json.loads(wsrc("reserve", "--iccid", ICCID, "--for", "1h", "--json").stdout)
        token = made["token"]
        assert server.end(signal.SIGKILL) == -signal.SIGKILL

        server = programs.server(*state)
        host.wait_for("Connected to", 2)
        refused = wsrc("apdu", "--iccid", ICCID, "--wait", "0.2", APDU)
        assert (refused.returncode, "is reserved for another" in refused.stderr) == (3, True)
        shell = programs.wsrc_that_runs("shell", "--reservation", token, "--wait", "20")
        server.wait_for("took")
        assert shell.end(signal.SIGKILL) == -signal.SIGKILL
        again = wsrc("apdu", "--reservation", token, "--wait", "20", APDU)
        assert (again.returncode, again.stdout[:2]) == (0, "61"), again.stdout
        shown = json.loads(wsrc("reservations", "--json").stdout)["reservations"]
        assert [each["number"] for each in shown] == [made["reservation"]["number"]]
        assert wsrc("cancel", str(made["reservation"]["number"])).returncode == 0
        assert wsrc("apdu", "--iccid", ICCID, "--wait", "20", APDU).returncode == 0
