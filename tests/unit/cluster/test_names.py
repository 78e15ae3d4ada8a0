# SPDX-License-Identifier: Apache-2.0
"""What the subjects of a cluster are called."""

import re

import pytest

from wsrc.cluster.names import Heard, Names, Topic

ICCID = "8988211000000430010"
KEY = "iccid", ICCID


def test_subjects_have_the_words_by_which_nats_permits_them() -> None:
    names = Names("lab", "east-1")
    assert names.here == "wsrc.lab.here"
    assert names.roads == "wsrc.lab.road.east-1.*"
    assert names.road("west") == "wsrc.lab.road.west.east-1"
    assert re.fullmatch(r"wsrc\.lab\.has\.iccid\.[0-9a-f]{32}", names.has(KEY))
    assert names.came(KEY) == names.has(KEY).replace(".has.", ".came.")


def test_a_subject_is_read_as_what_it_was_made_of() -> None:
    east, west = Names("lab", "east"), Names("lab", "west")
    assert west.read(east.here) == Heard(Topic.HERE)
    assert west.read(east.road("west")) == Heard(Topic.ROAD, sender="east")
    assert west.read(east.has(KEY)) == Heard(Topic.HAS, west.key(KEY))
    assert west.read(east.came(KEY)) == Heard(Topic.CAME, west.key(KEY))


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "wsrc.lab",
        "wsrc.lab.",
        "wsrc.lab.gone",
        "wsrc.lab.here.too",
        "wsrc.other.here",
        "wsrc.lab.road.east.east",
        "wsrc.lab.road.west.north",
        "wsrc.lab.road.east.no*de",
        "wsrc.lab.road.east.-",
        "wsrc.lab.road.east.",
        "wsrc.lab.road.east",
        "wsrc.lab.has.iccid",
        "wsrc.lab.has.iccid." + "0" * 300,
    ],
)
def test_what_is_not_for_the_node_is_not_read(subject: str) -> None:
    assert Names("lab", "east").read(subject) is None


def test_a_digest_shows_no_number_and_differs_by_cluster_kind_and_name() -> None:
    names, other = Names("lab", "east"), Names("lab2", "east")
    keys = [names.key(KEY), names.key(("eid", ICCID)), names.key(("iccid", "1")), other.key(KEY)]
    assert len({each.partition(".")[2] for each in keys}) == 4
    assert not [each for each in keys if ICCID in each]
    assert names.key(KEY) == Names("lab", "west").key(KEY)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "x" * 41, "-a", "a-", "é", "a\n"])
def test_a_name_that_would_be_another_subject_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a node"):
        Names("lab", name)
    with pytest.raises(ValueError, match="cannot be the name of a cluster"):
        Names(name, "east")


def test_a_name_has_1_to_40_characters() -> None:
    for name in ("a", "_", "A-b_9", "x" * 40):
        assert Names(name, name).node == name
