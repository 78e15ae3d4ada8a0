# SPDX-License-Identifier: Apache-2.0
"""Certificates of nodes that end, are revoked, are of a CA that is gone, or are renewed."""

from datetime import timedelta

import pytest

from tests.support.nodes import CA, NAMES, NOW, World, days_later
from tests.support.sealing import Ca, number_of
from wsrc.certs.making import Kind, Period
from wsrc.cluster.credentials import Credentials, Nodes
from wsrc.net.certificates import subject_of

ENDS = Period(NOW - timedelta(days=1), NOW + timedelta(days=2))


def short_lived() -> World:
    """Return a world in which west has a certificate that ends in two days, and both a road."""
    nodes = Nodes([CA.certificate], subject_of)
    west = Credentials(CA.identity("west", Kind.NODE, valid=ENDS), nodes)
    world = World(given=(Credentials(CA.identity("east", Kind.NODE), nodes), west))
    world.run(2.0)
    assert world.east.up
    return world


def believes(world: World, name: str, nodes: Nodes) -> None:
    """Have a node believe others by other files."""
    end = world.ends[name]
    assert end.given is not None
    end.given = end.given._replace(nodes=nodes)


def days_pass(world: World, days: float) -> None:
    """Have both nodes see a later date."""
    for end in world.ends.values():
        end.neighbour._me = end.neighbour._me._replace(epoch=days_later(days))


def show(world: World, name: str) -> None:
    """Have a node show the other the certificates that it has by now."""
    end = world.ends[name]
    chain, signature = end.neighbour.shows()
    other = world.ends[end.other]
    world.do(other, other.neighbour.shown(chain, signature, world.now))


def test_a_road_ends_with_the_certificate_of_its_other_end() -> None:
    world = short_lived()
    days_pass(world, 2.1)
    world.run(2.0)
    assert not world.east.up
    assert not world.west.up
    ((_, why),) = world.east.downs
    assert why.startswith("it shows a certificate that is not good at ")
    ((_, why),) = world.west.downs
    assert why.startswith("it ended the road: this node shows a certificate that is not good at ")
    world.run(10.0)
    assert not world.east.up


@pytest.mark.parametrize("who", NAMES)
def test_a_road_ends_when_a_certificate_is_revoked(who: str) -> None:
    """Whichever end hears of it."""
    world = World.up()
    other = world.ends[world.ends[who].other]
    assert other.given is not None
    revoked = {number_of(other.given.own)}
    believes(world, who, Nodes([CA.certificate], subject_of, revoked))
    world.run(2.0)
    assert world.ends[who].downs[0][1] == "it shows a certificate that was revoked"
    world.run(5.0)
    assert not world.east.up
    assert not world.west.up


def test_a_road_ends_when_a_ca_is_believed_no_more() -> None:
    world = World.up()
    believes(world, "east", Nodes([Ca("another CA").certificate], subject_of))
    world.run(2.0)
    assert not world.east.up


def test_a_road_goes_on_with_certificates_that_are_renewed_in_time() -> None:
    world = short_lived()
    assert world.west.given is not None
    world.west.given = world.west.given._replace(own=CA.identity("west", Kind.NODE))
    show(world, "west")
    days_pass(world, 2.1)
    world.run(5.0)
    assert world.east.up
    assert world.east.downs == world.west.downs == []


def test_certificates_of_another_node_end_the_road() -> None:
    world = World.up()
    assert world.west.given is not None
    world.west.given = world.west.given._replace(own=CA.identity("other", Kind.NODE))
    show(world, "west")
    assert world.east.downs[0][1] == "it shows a certificate of 'other'"


@pytest.mark.parametrize("what", ["signature", "road", "direction"])
def test_certificates_are_shown_by_their_own_key_in_their_own_road(what: str) -> None:
    world = World.up()
    chain, signature = world.west.neighbour.shows()
    if what == "signature":
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    elif what == "road":
        world.restart("west", says_so=True)
        world.run(3.0)
        assert world.east.up
    to = world.west if what == "direction" else world.east
    downs = len(to.downs)
    world.do(to, to.neighbour.shown(chain, signature, world.now))
    assert len(to.downs) == downs + 1
    assert not to.up


def test_nodes_without_certificates_are_shown_none() -> None:
    world = World(given=(None, None))
    world.run(2.0)
    assert world.east.up
    assert world.west.neighbour.shows() == ((), b"")
    show(world, "west")
    assert world.east.up
