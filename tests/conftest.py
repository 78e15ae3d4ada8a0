# SPDX-License-Identifier: Apache-2.0
"""
What every kind of test may use, and how long hypothesis searches.

`HYPOTHESIS_PROFILE=ci` searches ten times as long, `soak` for a night; `bugs` fails without looking
for the shortest example.
"""

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.support.certificates import Certificates, make
from tests.support.ignored_signals import ignore_for_ourselves
from tests.support.secret_scan import EARS, MARK

settings.register_profile("default", max_examples=200, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=2000, deadline=None)
settings.register_profile("bugs", settings.get_profile("default"), phases=[Phase.generate])
settings.register_profile("soak", max_examples=50_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

PROCESSES_PER_CORE = 2
"""For more than half of their time, tests wait: for a program to start, for a limit to pass."""


def pytest_configure() -> None:
    """Have the programs of tests heed signals, however the tests are run."""
    ignore_for_ourselves()


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run tests, where nobody said how many."""
    return PROCESSES_PER_CORE * len(os.sched_getaffinity(0))


def pytest_collection_finish() -> None:
    """Have the collector of garbage pass over the tests themselves, which stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_secret_is_shown(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which a log, an error, an output or an audit file showed a secret."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    EARS.open()
    EARS.take()
    yield
    if folder is not None:
        EARS.files(folder)
    found = EARS.take()
    if found and request.node.get_closest_marker(MARK) is None:
        pytest.fail("\n".join(map(str, found[:10])), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _folder_of_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what programs remember out of the folders of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(folder / "host"))
        patch.setenv("XDG_STATE_HOME", str(folder / "user"))
        yield folder


@pytest.fixture(autouse=True)
def _nobody_is_known(_folder_of_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test begin without card hosts that are known: ports are used again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(_folder_of_state / uuid.uuid4().hex))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A throw-away CA and a certificate for loopback."""
    return make(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def unusable_library(tmp_path: Path) -> str:
    """A folder whose libpcsclite cannot be loaded, for LD_LIBRARY_PATH."""
    (tmp_path / "libpcsclite.so.1").write_bytes(b"")
    return str(tmp_path)
