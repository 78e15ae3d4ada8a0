# SPDX-License-Identifier: Apache-2.0
"""wsrc.command_line.table, listing and live: what fits which width, and in which order."""

import pytest
from hypothesis import given, strategies as st

from wsrc.command_line import listing
from wsrc.command_line.live import drawing
from wsrc.command_line.shell_line import above
from wsrc.command_line.table import blocks, columns, cut, folded, lines
from wsrc.errors import LocalProtocolError
from wsrc.protocol.messages import CardInfo, CardState, Identities, LeaseInfo

ICCID, EID = "8988211000000430010", "89049032000000000000000000000013"
TITLES = ("Card", "Reader")


def card(reader: str, host: str = "bench", **fields: object) -> CardInfo:
    told = {"identities": Identities(iccid=ICCID, eid=EID), "state": CardState.READY, **fields}
    return CardInfo(remote_addr=(host, 0), host=host, reader=f"id-{reader}", reader_name=reader,
                    **told)  # type: ignore[arg-type] # fmt: skip


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert lines(TITLES, [["1", "a"], [["22", "333"], "b c"]], None) == [
        "Card  Reader",
        "1     a",
        "22    b c",
        "333",
    ]


def test_a_text_is_folded_between_words_and_an_identity_never() -> None:
    rows = [[[ICCID, EID], "ACME Reader [CCID] 00 00"]]
    shown = lines(TITLES, rows, 50)
    assert shown == [
        "Card                              Reader",
        f"{ICCID}               ACME Reader",
        f"{EID}  [CCID] 00 00",
    ]
    assert lines(TITLES, rows, 39) is None


def test_no_table_breaks_an_identity_wherever_it_stands() -> None:
    rows = [[f"iccid {ICCID}", "n" * 30], ["a" * 30 + "-label", ""]]
    shown = lines(("Kept", "Holder"), rows, 38)
    assert shown is not None
    assert [line.split("  ")[0].rstrip() for line in shown] == [
        "Kept",
        "iccid",
        ICCID,
        "a" * 19,
        "a" * 11 + "-label",
    ]
    assert lines(("Kept", "Holder"), rows, 30) is None


def test_a_long_word_is_broken_where_nothing_else_helps() -> None:
    assert list(folded("ab cdefghij k", 4)) == ["ab", "cdef", "ghij", "k"]


def test_wide_and_combining_characters_take_what_a_terminal_gives_them() -> None:
    assert [columns(text) for text in ("ab", "读卡", "e\u0301")] == [2, 4, 1]
    assert lines(("A", "B"), [["读卡", "x"], ["abcd", "y"]], None) == [
        "A     B",
        "读卡  x",
        "abcd  y",
    ]
    assert cut("读卡器", 5) == "读卡…"
    assert cut("abc", 3) == "abc"


def test_what_a_terminal_would_obey_is_shown_and_not_obeyed() -> None:
    assert lines(("A",), [["\x1b[2J\t"]], None) == ["A", "\\x1b[2J\\t"]
    assert blocks(("A", "BB"), [["x", ""], ["y", ["1", "2"]]]) == [
        "A   x", "", "A   y", "BB  1", "BB  2",
    ]  # fmt: skip


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), max_size=5), st.integers(1, 120))
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, list[str]]], width: int) -> None:
    shown = lines(TITLES, rows, width)
    assert shown is None or all(columns(line) <= width for line in shown)
    assert all(columns(cut(row[0], width)) <= width for row in rows if row[0].isprintable())


def test_cards_stand_by_host_and_reader_and_numbers_count() -> None:
    cards = [card("R 10"), card("R 9"), card("A", "b2"), card("Z", "B1")]
    shown = [each.reader_name for each in listing.in_order(cards)]
    assert shown == ["Z", "A", "R 9", "R 10"]


@given(st.lists(TEXTS))
def test_cards_of_any_name_have_an_order(names: list[str]) -> None:
    assert len(listing.in_order(card(name) for name in names)) == len(names)


def test_a_row_has_what_its_columns_say() -> None:
    lease = LeaseInfo(holder="ida", since="2026-01-01T00:00:00Z", until="2026-01-01T01:00:00Z")
    held = card("R 1", lease=lease, state=CardState.ASSOCIATED, label="tab\there")
    names = listing.columns_of("iccid,eid label HOLDER,since,until,state,host,reader,id,atr")
    assert listing.values(held, names, str.lower) == [
        ICCID, EID, "tab\there", "ida", "2026-01-01t00:00:00z", "2026-01-01t01:00:00z",
        "in use", "bench", "R 1", "id-R 1", "",
    ]  # fmt: skip
    assert listing.row(held, ["card"], str) == [[ICCID, EID]]
    assert listing.count([held, card("R 2")]) == "2 cards, 1 in use"
    assert listing.count([card("R 2")]) == "1 card, 0 in use"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "No column is named"), ("iccid,colour", "'colour' is no column; there are card, iccid")],
)
def test_columns_that_are_not_there_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(LocalProtocolError, match=sentence):
        listing.columns_of(text)


def test_a_drawing_overwrites_the_one_before() -> None:
    assert drawing(["a", "b"], 0) == "\x1b[?2026h\ra\x1b[K\nb\x1b[K\x1b[?2026l"
    assert drawing(["a"], 3) == "\x1b[?2026h\x1b[2A\ra\x1b[K\x1b[J\x1b[?2026l"
    assert drawing(["a"], 0, clear=True).startswith("\x1b[?2026h\x1b[H\x1b[2J")


def test_a_note_above_a_line_of_several_rows_has_that_line_written_again() -> None:
    assert above("note", "> " + "x" * 20, 10) == "\nnote\n> " + "x" * 20
    assert above("a note", "> x", 4).count("\x1bD") == 2
