# SPDX-License-Identifier: Apache-2.0
"""What cards store and answer is not ours: any octets are decoded or refused, and reading ends."""

import json

from hypothesis import given, strategies as st

from tests.support.card_reading import run
from wsrc.card import tlv
from wsrc.card.apdu import Response
from wsrc.card.contents import fcp
from wsrc.card.contents.catalogue import CATALOGUE, Es10, Pins, Records, Transparent
from wsrc.card.contents.decoding import decoded
from wsrc.card.contents.reading import read
from wsrc.card.contents.texts import alpha_identifier

OCTETS = st.binary(max_size=300)
NAMES = st.sampled_from(sorted(CATALOGUE))
SOME = st.lists(NAMES, min_size=1, max_size=4, unique=True)


@given(NAMES, st.lists(OCTETS, min_size=1, max_size=4))
def test_any_content_of_a_file_is_a_value_or_is_refused(name: str, stored: list[bytes]) -> None:
    source = CATALOGUE[name].source
    try:
        match source:
            case Pins():
                return
            case Records():
                json.dumps(source.decode(stored))
                if source.decode_sim is not None:
                    json.dumps(source.decode_sim(stored[0]))
            case Transparent() | Es10():
                json.dumps(source.decode(stored[0]))
    except (ValueError, IndexError):
        return  # it is refused, which a reading says


@given(OCTETS, st.sampled_from([0x61, 0x62, 0x6F, 0xE0, 0xBF2D, 0xBF22, 0xBF28, 0xBF31]))
def test_any_data_are_objects_or_left_alone(octets: bytes, tag: int) -> None:
    for data in (octets, tlv.encode(tag, octets), tlv.encode(tag, tlv.encode(0xA0, octets))):
        for node in decoded(data) or ():
            json.dumps(node.document())
            assert all(line.strip() for line in node.lines())
        fcp.file_of(data)
        fcp.file_of_gsm(data)
        fcp.pins_of(data)


@given(OCTETS)
def test_any_octets_are_a_name(octets: bytes) -> None:
    alpha_identifier(octets).encode()


@given(SOME, st.data())
def test_a_card_that_answers_anything_is_read_to_the_end(
    names: list[str], data: st.DataObject
) -> None:
    """A card answers the same to each kind of command, whatever that is; it is asked no more."""
    words = st.sampled_from(
        [0x9000, 0x6282, 0x6C05, 0x6110, 0x6A82, 0x6A83, 0x6982, 0x63C0, 0x9404, 0x6E00, 0x9F10]
    )
    answers = {
        ins: data.draw(st.tuples(st.binary(max_size=40), words))
        for ins in (0x70, 0xA4, 0xB0, 0xB2, 0xC0, 0xE2, 0x20, 0x2C)
    }
    assert list(run(read(names), lambda command: Response(*answers[command.ins]))) == names
