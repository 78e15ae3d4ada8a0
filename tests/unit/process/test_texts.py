# SPDX-License-Identifier: Apache-2.0
"""Scripts, settings and standard input as other systems write them (issue 11, C21)."""

import io
from pathlib import Path

import pytest

from wsrc.command_line.script import parse
from wsrc.errors import ConfigError
from wsrc.process.texts import decode, heed_mark, read_text
from wsrc.readers.simulation import load_card
from wsrc.settings.load import UserSettings, load

WRITTEN = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


def octets_of(text: str, encoding: str) -> bytes:
    """Return a text as editors write it, with a mark where UTF-16 is meant."""
    return (f"\ufeff{text}" if encoding in {"utf-16-le", "utf-16-be"} else text).encode(encoding)


@pytest.mark.parametrize("encoding", WRITTEN)
def test_c21_a_script_is_read_as_its_mark_says(encoding: str) -> None:
    text = decode(octets_of("# grün\r\n00A40004023F00\r\n!reset warm\r\n", encoding), "replace")
    assert [item.line for item in parse(text, "x")] == [2, 3]


@pytest.mark.parametrize("encoding", WRITTEN)
def test_c21_settings_are_read_as_their_mark_says(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "user.toml"
    file.write_bytes(octets_of('name = "grün"\r\n', encoding))
    assert load(UserSettings, {}, config=file).name == "grün"


@pytest.mark.parametrize("octets", [b'name = "gr\xfcn"', b"\xff\xfen\0a", b"\xff\xfe\x00\xd8"])
def test_c21_settings_that_are_no_text_are_one_sentence(octets: bytes, tmp_path: Path) -> None:
    file = tmp_path / "user.toml"
    file.write_bytes(octets)
    with pytest.raises(ConfigError, match=r"config: .* is not TOML"):
        load(UserSettings, {}, config=file)
    with pytest.raises(ConfigError):
        load_card(file)


@pytest.mark.parametrize("encoding", WRITTEN)
def test_c21_standard_input_is_read_as_its_mark_says(encoding: str) -> None:
    octets = octets_of("00A4 # grün\r\n", encoding)
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(octets)), "utf-8", "replace")
    heed_mark(stream)
    assert list(stream) == ["00A4 # grün\n"]


def test_c21_a_stream_that_is_no_file_is_left_alone() -> None:
    stream = io.StringIO("\ufeffx")
    heed_mark(stream)
    assert stream.read() == "\ufeffx"


def test_c21_a_file_without_a_mark_is_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes("grün".encode())
    assert read_text(file) == "grün"
