# SPDX-License-Identifier: Apache-2.0
"""Lists of a cluster name the servers that did not answer, and leave out nothing silently."""

import json
import signal
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.nats import nats_server
from tests.support.processes import ports_of, running

MISSING = "Without those of b: no answer, or we may not see them."


@pytest.mark.parametrize("command", ["list", "who", "readers"])
@pytest.mark.parametrize("as_json", [False, True])
def test_who_did_not_answer_is_named(
    certificates: Certificates, tmp_path: Path, command: str, as_json: bool
) -> None:
    with nats_server(tmp_path / "nats") as nats, running(certificates) as programs:
        own = ("--cluster-url", nats.url, "--log-level", "info")
        a, b = (
            programs.server_that_starts(
                0, 0, *own, "--node-name", name, "--state-dir", str(tmp_path / name)
            )
            for name in ("a", "b")
        )
        programs.user_port, programs.card_port = ports_of(a)
        a.wait_for("Server b of the cluster is there")
        whole = programs.wsrc(command)
        assert (whole.returncode, MISSING in whole.stderr) == (0, False)
        b.process.send_signal(signal.SIGSTOP)
        try:
            said = programs.wsrc(*["--json"] * as_json, command)
        finally:
            b.process.send_signal(signal.SIGCONT)
        assert said.returncode == 0
        if as_json:
            assert json.loads(said.stdout)["unanswered"] == ["b"]
        else:
            assert MISSING in said.stderr
