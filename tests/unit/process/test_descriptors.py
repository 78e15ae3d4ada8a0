# SPDX-License-Identifier: Apache-2.0
"""wsrc.process.descriptors: how many files there may be (issue 13, 5)."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys
from wsrc.process.descriptors import SPARE, allow
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow(wanted) >= wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted + SPARE)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "said"),
    [(100, 1000, "True True"), (1000, 1000, "True True"), (100, 300, "False False")],
)
def test_13_the_limit_of_open_files_is_raised_as_far_as_it_may_be(
    soft: int, hard: int, said: str
) -> None:
    command = [sys.executable, "-c", CODE, str(soft), str(hard), "500"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == said
