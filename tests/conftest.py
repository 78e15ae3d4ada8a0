# SPDX-License-Identifier: Apache-2.0
"""
What every kind of test may use, and how long hypothesis searches.

`HYPOTHESIS_PROFILE=ci` searches ten times as long, `soak` for a night; `bugs` fails without looking
for the shortest example.
"""

import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.support.certificates import Certificates, make

settings.register_profile("default", max_examples=200, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=2000, deadline=None)
settings.register_profile("bugs", settings.get_profile("default"), phases=[Phase.generate])
settings.register_profile("soak", max_examples=50_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A throw-away CA and a certificate for loopback."""
    return make(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def unusable_library(tmp_path: Path) -> str:
    """A folder whose libpcsclite cannot be loaded, for LD_LIBRARY_PATH."""
    (tmp_path / "libpcsclite.so.1").write_bytes(b"")
    return str(tmp_path)
