# SPDX-License-Identifier: Apache-2.0
"""What others say is cleaned in one place, for all outputs (issue 11, A9)."""

import json
import logging
import sys
import unicodedata

import pytest

from wsrc.command_line.output import Output
from wsrc.errors import AmbiguousCardError, WsrcError
from wsrc.process.logs import set_up
from wsrc.process.printable import clean, clean_json

HOSTILE = "a\n\r\x1b[2J\x00\x7f\x85\x9b31m\u2028\u2029\u202e\u2066\u200f\ufeff\udc80\U000e0001b"


def harmless(text: str) -> bool:
    return all(c.isprintable() or unicodedata.category(c) == "Zs" for c in text)


def test_a9_every_character_that_a_terminal_obeys_is_written_out() -> None:
    for number in range(sys.maxunicode + 1):
        c = chr(number)
        assert harmless(clean(c))
        if unicodedata.category(c)[0] not in "CZ":
            assert clean(c) == c
    assert clean("Müller \u3000 読") == "Müller \u3000 読"
    assert clean("\x9b2J\u202e\n") == r"\x9b2J\u202e\n"


@pytest.mark.parametrize("text", [HOSTILE, "plain", "😀\U000e0001", "\u2028"])
def test_a9_json_says_the_same_without_them(text: str) -> None:
    written = clean_json(json.dumps({"x": text}, ensure_ascii=False))
    assert json.loads(written) == {"x": text}
    assert harmless(written)


def test_a9_all_outputs_are_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.line(HOSTILE)
    output.note(HOSTILE)
    output.complain(HOSTILE)
    output.lines_of({"x": HOSTILE})
    output.grid(["T"], [[HOSTILE], [[HOSTILE, HOSTILE]]])
    output.failure(WsrcError(HOSTILE), 3)
    output.failure(AmbiguousCardError("x", (HOSTILE,)), 3)
    output.document({"x": HOSTILE})
    output.message(
        json.dumps({"x": HOSTILE[:-2]}, ensure_ascii=False).replace("\udc80", "").encode()
    )
    set_up("info", {})
    logging.getLogger("wsrc").error("%s", HOSTILE, exc_info=ValueError(HOSTILE))
    logging.getLogger().handlers.clear()
    out, err = capsys.readouterr()
    assert harmless(out.replace("\n", "")), "no control but the ends of our own lines"
    assert harmless(err.replace("\n", ""))
    # A table has a title and 3 cells; all others are one line each.
    assert len(out.split("\n")) - 1 == 2 + (1 + 3) + 2
    assert not [line for line in err.split("\n") if line.startswith("\r")]
