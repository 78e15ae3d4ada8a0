# SPDX-License-Identifier: Apache-2.0
"""Tests of the bridge to pyscard are for hosts that have pyscard; CI does not go on without."""

import importlib.util

if importlib.util.find_spec("smartcard") is None:
    collect_ignore_glob = ["test_pyscard_*.py"]
