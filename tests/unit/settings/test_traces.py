# SPDX-License-Identifier: Apache-2.0
"""Settings of traces and audit logs that cannot work (issue 13, 4)."""

from pathlib import Path
from typing import Any

import pytest

from wsrc.errors import ConfigError
from wsrc.settings.load import CardClientSettings, ServerSettings, load


@pytest.mark.parametrize("value", ["localhost", "localhost:0", ":4729", "localhost:x", "h:70000"])
def test_13_an_address_for_gsmtap_is_a_host_and_a_port(value: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    with pytest.raises(ConfigError, match="not of the form HOST:PORT"):
        load(CardClientSettings, {}, {"trace_gsmtap": value}, empty)
    assert load(CardClientSettings, {}, {"trace_gsmtap": "[::1]:4729"}, empty)


@pytest.mark.parametrize("kind", [ServerSettings, CardClientSettings])
def test_13_the_folder_of_an_audit_log_is_relative_to_the_file_that_names_it(
    kind: Any, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('no_tls = true\naudit_dir = "audit"\n' if kind is ServerSettings else
                    'audit_dir = "audit"\n')  # fmt: skip
    assert load(kind, {}, config=file).audit_dir == tmp_path / "audit"
