# SPDX-License-Identifier: Apache-2.0
"""What every kind of test may use."""

from pathlib import Path

import pytest

from certs.make_certs import Certificates, make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A throw-away CA and a certificate for loopback."""
    return make(Path(tmp_path_factory.mktemp("certificates")))
