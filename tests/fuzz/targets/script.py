# SPDX-License-Identifier: Apache-2.0
"""Script files, and what is made of them for the wire."""

from tests.support.paths import ROOT
from wsrc.card.apdu import is_sw_pattern, sw_matches
from wsrc.command_line.script import ScriptCommand, ScriptError, batches, parse
from wsrc.process.printable import _is_harmless, clean, clean_json
from wsrc.process.texts import decode

SEEDS = [
    (ROOT / "docs" / "examples" / "read_iccid.wsrc").read_bytes(),
    b"!expect 9000 91xx\n00A4 0004 02 3F00\n00A40004022FE2 -> 9000 61xx\n!reset warm\n!reset\n",
    b"\xff\xfe0\x000\x00A\x004\x000\x000\x000\x000\x00\n\x00",
    b"\xef\xbb\xbf00:a4:00:00 -> any # comment\r\n!expect any\r80f20000 00\x0c!reset cold",
    b"00d60000000200" + b"41" * 512,
]
WORDS = [
    b"!expect ",
    b"!reset ",
    b"cold",
    b"warm",
    b" -> ",
    b"9000",
    b"61xx",
    b"any",
    b"00a4",
    b"\xe2\x80\xa8",
    b"\x85",
    b"\x00",
    b"#",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b":",
]
SHARE = 8


def one(data: bytes) -> None:
    """A file is refused in a sentence without its text, or its commands go into batches."""
    try:
        text = decode(data)
    except UnicodeError:
        return
    assert all(map(_is_harmless, clean(text)))
    clean_json(text)
    try:
        items = parse(text, "script")
    except ScriptError as exc:
        assert len(str(exc)) < 500, "the sentence grows with the line"
        return
    commands = [each for each in items if isinstance(each, ScriptCommand)]
    put = [
        each for batch in batches(items, 8, 1 << 20) if isinstance(batch, list) for each in batch
    ]
    assert put == commands
    for each in commands:
        assert all(map(is_sw_pattern, each.expect))
        sw_matches(each.expect, "9000")
