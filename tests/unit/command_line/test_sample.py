# SPDX-License-Identifier: Apache-2.0
"""The samples that come with the package (issue 11, 37)."""

import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from wsrc.command_line.program import run
from wsrc.command_line.sample import SAMPLES
from wsrc.policy.reading import read
from wsrc.settings.load import CardClientSettings, ServerSettings, UserSettings, load

FILES = {
    "nginx": "contrib/nginx/wsrc.conf",
    "server.service": "contrib/systemd/wsrc-server.service",
    "server-user.socket": "contrib/systemd/wsrc-server-user.socket",
    "server-card.socket": "contrib/systemd/wsrc-server-card.socket",
    "card-client.service": "contrib/systemd/wsrc-card-client.service",
    "policy.toml": "contrib/policy.toml",
}
KINDS = {
    "server.toml": ServerSettings,
    "card-client.toml": CardClientSettings,
    "user.toml": UserSettings,
}


def test_37_all_samples_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == list(SAMPLES) == [*FILES, *KINDS]


@pytest.mark.parametrize("name", FILES)
def test_37_a_file_that_the_documents_point_to_is_in_the_package(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sample", name]) == 0
    assert capsys.readouterr().out == (ROOT / FILES[name]).read_text("utf-8")


@pytest.mark.parametrize("name", KINDS)
def test_37_sample_settings_are_those_that_there_are(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--json", "sample", name]) == 0
    text = capsys.readouterr().out
    kind = KINDS[name]
    lines = [line.removeprefix("# ") for line in text.splitlines() if " = " in line]
    given = tomllib.loads("\n".join(lines))
    assert set(given) == set(kind.__struct_fields__)
    kept = [line for line in lines if '"FILE"' not in line and "LABEL" not in line]
    file = tmp_path / name
    file.write_text("\n".join([*kept, *(["no_tls = true"] if name == "server.toml" else [])]))
    if name == "server.toml":
        file.write_text(file.read_text().replace("no_tls = false\n", ""))
    assert load(kind, {}, config=file).name == kind(**NEEDED.get(name, {})).name


NEEDED = {"server.toml": {"no_tls": True}}


def test_the_sample_of_a_policy_is_good() -> None:
    document = read(SAMPLES["policy.toml"].text(), "policy.toml")
    assert (document.expectations, document.notes) == (3, ())


def test_37_a_sample_that_there_is_not_is_wrong_usage() -> None:
    assert run(["sample", "nonsense"]) == 2
