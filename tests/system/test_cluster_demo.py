# SPDX-License-Identifier: Apache-2.0
"""`make cluster`: cards are taken through every node, nodes are killed, commands are done."""

import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

LIMIT_S = 300.0


def test_commands_are_done_though_nodes_are_killed_and_nothing_is_left(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "contrib" / "tools" / "cluster.py")],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("is killed)") == 2
    assert done.stdout.count("ff 9000") == 5
    assert "The tag is still there.\n\n$ wsrc list --tag bench=7\n" in done.stdout
    assert list(tmp_path.iterdir()) == []
