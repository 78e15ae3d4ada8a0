# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.identification: which tags of the operator a card and a reader are given."""

from collections.abc import Mapping
from typing import Any

import pytest

from wsrc.card_client.identification import Identification
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import ConfigError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.settings.clients import TagTable
from wsrc.settings.load import CardClientSettings

ICCID = "8988211000000430010"
EID = "89049032123451234512345678901235"


def tags_of(*tables: TagTable, **fields: Any) -> Mapping[str, str] | None:
    """Return the tags that a reader is told with."""
    told: list[m.Message] = []
    settings = CardClientSettings(tags=tables, labels={"Gemalto 00": "blue"})
    thread = ReaderThread("reader", lambda: pytest.fail("The reader is not asked."))
    card = Identification(settings, "Gemalto 00", thread, told.append)
    state = m.ReaderState.READY
    card.info = m.ReaderInfo(**{"reader": "r", "name": "Gemalto 00", "state": state, **fields})
    for atr in ("3b01", "3b00"):
        card.was_reset(m.ResetResp(session="s", atr=Octets.fromhex(atr)), fields.get("iccid"))
    thread.stop()
    _, report = told
    assert isinstance(report, m.ReaderReport)
    return report.reader.tags


def table(cards: str, **tags: str) -> TagTable:
    return TagTable(cards=cards, set=tags)


@pytest.mark.parametrize(
    "cards",
    [ICCID, "8988211*", EID, "8904 9032*", "gemalto 00", "*malto*", "R", "3b 00", "blue", "*"],
)
def test_a_table_is_for_identities_readers_labels_and_patterns(cards: str) -> None:
    tags = tags_of(table(cards, kind="sgp22"), iccid=ICCID, eids=(EID,))
    assert tags == {"kind": "sgp22"}


def test_a_table_is_for_no_other_card() -> None:
    assert tags_of(table("8988211000000430028", kind="x"), iccid=ICCID) is None
    assert tags_of(table("8949*", kind="x"), iccid=ICCID) is None


def test_the_last_table_that_fits_says_what_a_key_is() -> None:
    tables = table("*", kind="a", bench="1"), table(ICCID, kind="b"), table("none", kind="c")
    assert tags_of(*tables, iccid=ICCID) == {"kind": "b", "bench": "1"}


def test_a_reader_without_a_card_has_the_tags_of_its_name_alone() -> None:
    tables = table("gemalto*", bench="1"), table(ICCID, kind="b")
    settings = CardClientSettings(tags=tables)
    told: list[m.Message] = []
    thread = ReaderThread("reader", lambda: pytest.fail("The reader is not asked."))
    card = Identification(settings, "Gemalto 00", thread, told.append)
    card.info = m.ReaderInfo(reader="r", name="Gemalto 00", state=m.ReaderState.READY, iccid=ICCID)
    card.no_card(m.ReaderState.EMPTY, b"")
    thread.stop()
    (report,) = told
    assert isinstance(report, m.ReaderReport)
    assert report.reader.tags == {"bench": "1"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (table("*"), "sets nothing"),
        (table(" ", kind="x"), "cards is empty"),
        (table("*", card="x"), "cannot be set"),
        (TagTable(cards="*", set={"kind": "a\nb"}), "cannot be printed"),
        (TagTable(cards="*", set={"Kind": "a"}), "no key"),
        (TagTable(cards="*", set={f"k{n}": "v" for n in range(10_000)}), "more than 32"),
    ],
)
def test_a_table_that_cannot_work_is_a_wrong_setting(wrong: TagTable, why: str) -> None:
    with pytest.raises(ConfigError, match=f"tags: table 2: .*{why}"):
        CardClientSettings(tags=(table("*", kind="x"), wrong))
