# SPDX-License-Identifier: Apache-2.0
"""wsrc.settings: what an owner may say of the guard, and what cannot work."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from wsrc.card_client.cli import command
from wsrc.errors import ConfigError
from wsrc.settings.load import CardClientSettings, load

GUARDS = """
[[guard]]
cards = "bench*"
profile = ["read-only"]
[[guard]]
match = "80 e2 xx xx"
data = "bf31"
answer = "6985"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "card-client.toml"
    path.write_text(text, "utf-8")
    return path


def test_tables_are_in_the_file_alone(tmp_path: Path) -> None:
    config = written(tmp_path, GUARDS)
    settings = load(CardClientSettings, {"WSRC_GUARD": "bench*"}, config=config)
    first, second = settings.guard
    assert (first.cards, first.profile, first.is_rule) == ("bench*", ("read-only",), False)
    assert (second.cards, second.data, second.answer) == ("*", "bf31", "6985")
    assert "--guard " not in CliRunner().invoke(command, ["--help"]).output


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('profile = ["none"]', "Invalid enum value 'none'"),
        ('sort = "x"', "unknown field `sort`"),
        ('cards = "x"', "table 1: it has neither match"),
        ('match = "00 20"', "table 1: match: '00 20' is not CLA INS P1 P2"),
        ('match = "00 2g 00 00"', "table 1: '00 2g 00 00' is not pairs of hexadecimal digits"),
        (f'data = "{"00" * 65}"', "table 1: data has at most 64 octets"),
        (f'aid = "{"00" * 17}"', "an AID at most 16"),
        ('match = "00 20 xx xx"\nanswer = "9000"', "table 1: '9000' is neither allow, refuse"),
        ('match = "00 20 xx xx"\nanswer = "6100"', "nor a status word such as 6985"),
        ('profile = ["full", "no-pin"]', "table 1: full refuses nothing"),
    ],
)
def test_a_table_that_cannot_work_is_named(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(ConfigError, match="guard: ") as failed:
        load(CardClientSettings, {}, config=written(tmp_path, f"[[guard]]\n{table}"))
    assert said in str(failed.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"guard_answer": "9000"}, "guard_answer: '9000' is neither error nor a status word"),
        ({"guard_answer": "no"}, "guard_answer: 'no' is neither error nor a status word"),
        ({"guard_profile": ("full", "no-pin")}, "guard_profile: full refuses nothing"),
    ],
)
def test_a_guard_that_cannot_work_is_no_guard(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as failed:
        CardClientSettings(**given)
    assert said in str(failed.value)
