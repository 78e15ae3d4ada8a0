# SPDX-License-Identifier: Apache-2.0
"""A road: what is sent again and when, what it costs, and when it is down."""

from collections.abc import Sequence

import pytest

from wsrc.cluster.datagrams import BARE, DATA, FAREWELL, HEAD, MAX_ITEM_OCTETS, bare, read_bare
from wsrc.cluster.limits import Limits
from wsrc.cluster.road import Delivered, Down, Road, RoadEffect, Transmit, Way

LIMITS = Limits()
BOTH = Way.NATS | Way.DIRECT


def as_it_is(text: bytes) -> bytes:
    return text


def road(limits: Limits = LIMITS) -> Road:
    return Road(as_it_is, 0.0, limits)


def texts(effects: Sequence[RoadEffect]) -> list[bytes]:
    return [each.octets for each in effects if isinstance(each, Transmit)]


def items(effects: Sequence[RoadEffect]) -> list[bytes]:
    return [each.octets for each in effects if isinstance(each, Delivered)]


def heads(effects: Sequence[RoadEffect]) -> list[tuple[int, int, int]]:
    """Return what each datagram is, its number, and what it acknowledges."""
    return [HEAD.unpack_from(each) for each in texts(effects)]


def why(effects: Sequence[RoadEffect]) -> str:
    (down,) = [each for each in effects if isinstance(each, Down)]
    return down.why


def ping(now: float, number: int = 0, acked: int = 0) -> bytes:
    return bare(number, acked, Way.NATS, [])


# Acknowledgements


def test_a_command_and_its_answer_are_two_datagrams() -> None:
    here, there = road(), road()
    for turn in range(100):
        now = turn * 0.05
        (command,) = texts(here.send(b"command", now))
        assert items(there.received(command, now + 0.01)) == [b"command"]
        (answer,) = texts(there.send(b"answer", now + 0.04))
        (got,) = here.received(answer, now + 0.045)
        assert got == Delivered(b"answer")
        assert here.unacked == (0, 0)
    assert here.resent == there.resent == 0


def test_what_nothing_goes_back_for_is_acknowledged_alone_after_a_while() -> None:
    here, there = road(), road()
    for number in range(3):
        assert not texts(there.received(texts(here.send(b"", 0.0))[0], number * 0.01))
    assert there.deadline() == pytest.approx(0.1)
    effects = there.tick(0.1)
    assert heads(effects) == [(BARE, 0, 3)]
    here.received(texts(effects)[0], 0.1)
    assert here.unacked == (0, 0)
    assert there.tick(1.0) == []
    assert there.deadline() == pytest.approx(1.1)


def test_much_is_acknowledged_at_once() -> None:
    here, there = road(), road()
    sent = [texts(here.send(b"", 0.0))[0] for _ in range(LIMITS.ack_items)]
    answers = [head for each in sent for head in heads(there.received(each, 0.0))]
    assert answers == [(BARE, 0, LIMITS.ack_items)]


def test_an_acknowledgement_of_what_was_never_sent_ends_the_road() -> None:
    here = road()
    here.send(b"", 0.0)
    assert "acknowledges what was never sent" in why(here.received(ping(0.0, acked=2), 0.1))
    assert here.over


# What is sent again


def test_a_gap_is_named_at_once_and_filled_at_once() -> None:
    here, there = road(), road()
    sent = [texts(here.send(bytes([n]), 0.0))[0] for n in range(5)]
    assert items(there.received(sent[0], 0.01)) == [b"\0"]
    effects = there.received(sent[2], 0.02)
    assert items(effects) == []
    (named,) = texts(effects)
    assert read_bare(named)[1][0].behind == 0
    assert texts(there.received(sent[3], 0.021)) == []
    again = here.received(named, 0.3)
    assert heads(again) == [(DATA, 2, 0)]
    assert items(there.received(texts(again)[0], 0.31)) == [b"\1", b"\2", b"\3"]
    assert here.resent == 1


def test_a_gap_that_is_named_twice_in_a_moment_is_filled_once() -> None:
    here, there = road(), road()
    sent = [texts(here.send(b"", 0.0))[0] for _ in range(2)]
    (named,) = texts(there.received(sent[1], 0.1))
    assert len(texts(here.received(named, 0.3))) == 1
    assert texts(here.received(named, 0.301)) == []
    assert len(texts(here.received(named, 0.6))) == 1


def test_a_loss_at_the_end_is_found_by_a_ping() -> None:
    here, there = road(), road()
    here.send(b"lost", 0.0)
    pinged = there.received(bare(1, 0, Way.NATS, []), 0.2)
    again = here.received(texts(pinged)[0], 0.3)
    assert items(there.received(texts(again)[0], 0.3)) == [b"lost"]


def test_what_is_not_acknowledged_is_sent_again_ever_more_slowly() -> None:
    here = road()
    here.send(b"x", 0.0)
    times = []
    for _ in range(25):
        if here.over:
            break
        now = here.deadline()
        here.received(ping(now), now - 0.001)
        effects = here.tick(now)
        if (DATA, 1, 0) in heads(effects):
            times.append(now)
    assert times[:4] == pytest.approx([1, 3, 7, 13])


def test_after_an_outage_what_is_lost_is_sent_as_fast_as_it_is_acknowledged() -> None:
    here, there = road(), road()
    for _ in range(200):
        here.send(b"x", 0.0)
    flight, rounds = texts(here.tick(1.0)), 0
    assert len(flight) == 8
    while flight and rounds < 20:
        rounds += 1
        back = [each for text in flight for each in texts(there.received(text, 1.0))]
        back += texts(there.tick(1.0 + LIMITS.ack_s))
        flight = [each for text in back for each in texts(here.received(text, 1.1))]
    assert here.unacked == (0, 0)
    assert here.resent == 200
    assert rounds < 8


def test_what_comes_twice_is_delivered_once_and_acknowledged_again() -> None:
    here, there = road(), road()
    (sent,) = texts(here.send(b"x", 0.0))
    there.received(sent, 0.0)
    there.tick(0.1)
    effects = there.received(sent, 0.2)
    assert items(effects) == []
    assert heads(effects) == [(BARE, 0, 1)]


def test_a_slow_network_is_learnt_and_costs_few_copies() -> None:
    here, there = road(), road()
    flight: list[tuple[float, Road, bytes]] = []
    now, sent = 0.0, 0
    while now < 60:
        for one, other in ((here, there), (there, here)):
            if one.deadline() <= now:
                flight += [(now + 2, other, each) for each in texts(one.tick(now))]
        if sent < 10 * now:
            flight += [(now + 2, there, each) for each in texts(here.send(b"x", now))]
            sent += 1
        due = [each for each in flight if each[0] <= now]
        flight = [each for each in flight if each[0] > now]
        for _, to, text in due:
            other = here if to is there else there
            flight += [(now + 2, other, each) for each in texts(to.received(text, now))]
        now += 0.01
    assert not here.over
    assert not there.over
    assert here.resent < 0.1 * sent


# The end


def test_a_silent_road_is_down_after_4_s_and_says_so_to_the_other() -> None:
    here, there = road(), road()
    here.received(ping(1.0), 1.0)
    assert not [each for each in here.tick(4.99) if isinstance(each, Down)]
    effects = here.tick(5.0)
    assert why(effects) == "it was silent for 4 s"
    assert heads(effects) == [(FAREWELL, 0, 0)]
    told = there.received(texts(effects)[0], 3.0)
    assert why(told) == "it ended the road: this node was silent for 4 s"
    assert there.over


def test_what_comes_after_4_s_of_silence_is_not_delivered() -> None:
    here, there = road(), road()
    (sent,) = texts(here.send(b"late", 0.0))
    effects = there.received(sent, 4.0)
    assert items(effects) == []
    assert why(effects) == "it was silent for 4 s"


def test_each_end_says_something_each_second() -> None:
    here = road()
    for second in range(1, 20):
        assert here.deadline() == second
        assert heads(here.tick(second)) == [(BARE, 0, 0)]
        here.received(ping(second), second)


def test_who_takes_less_than_is_sent_loses_the_road_and_not_the_memory() -> None:
    for limits, size in (
        (Limits(unacked_items=10), 0),
        (Limits(unacked_octets=10 * 1_004), 1_000),
    ):
        here = road(limits)
        for _ in range(10):
            assert not here.over
            here.send(bytes(size), 0.0)
        effects = here.send(bytes(size), 0.0)
        assert why(effects) == "it is slow: it takes less than is sent to it"
        assert here.over


def test_what_is_never_acknowledged_ends_the_road() -> None:
    here, now = road(), 0.0
    here.send(b"x", now)
    effects: list[RoadEffect] = []
    for _ in range(100):
        if here.over:
            break
        now = here.deadline()
        here.received(ping(now), now - 0.001)
        effects = here.tick(now)
    assert why(effects) == "it acknowledges nothing of what is sent to it"
    assert LIMITS.stuck_s <= now < LIMITS.stuck_s + LIMITS.most_resend_s + 1


def test_an_item_that_is_too_long_is_refused_and_nothing_is_sent() -> None:
    here = road()
    with pytest.raises(ValueError, match="2097152 octets at most"):
        here.send_all([b"x", bytes(MAX_ITEM_OCTETS + 1)], 0.0)
    assert here.unacked == (0, 0)


@pytest.mark.parametrize(
    "text",
    [b"", b"\1", HEAD.pack(DATA, 1, 0) + b"\0", HEAD.pack(BARE, 0, 0), HEAD.pack(BARE, 0, 0)[:-1]],
)
def test_what_is_no_datagram_ends_the_road(text: bytes) -> None:
    here = road()
    assert why(here.received(text, 0.1)).startswith("it breaks the rules of a road: ")


def test_a_datagram_of_a_later_version_only_acknowledges() -> None:
    here = road()
    here.send(b"x", 0.0)
    assert here.received(HEAD.pack(77, 9, 1) + b"whatever", 0.1) == []
    assert here.unacked == (0, 0)


def test_a_number_that_is_far_ahead_costs_nothing() -> None:
    here = road()
    for number in (2**64 - 1, 2**63, 10**9):
        effects = here.received(HEAD.pack(DATA, number, 0) + b"x" * 1_000, 0.1)
        assert len(texts(effects)) <= 1
    assert here.deadline() > 0.1


# Two ways


def ways(effects: Sequence[RoadEffect]) -> list[Way]:
    return [each.way for each in effects if isinstance(each, Transmit)]


def direct(now: float = 0.0) -> Road:
    """Return a road whose other end says that it hears us over both ways."""
    here = road()
    assert ways(here.way_is(Way.DIRECT, now, is_there=True)) == [Way.DIRECT]
    here.received(bare(0, 0, BOTH, []), now, Way.DIRECT)
    return here


def test_a_way_is_taken_once_the_other_hears_us_over_it() -> None:
    here = road()
    here.way_is(Way.DIRECT, 0.0, is_there=True)
    assert ways(here.send(b"", 0.0)) == [Way.NATS]
    here.received(bare(0, 0, Way.NATS, []), 0.1, Way.DIRECT)
    assert ways(here.send(b"", 0.1)) == [Way.NATS]
    here.received(bare(0, 0, BOTH, []), 0.2, Way.NATS)
    assert ways(here.send(b"", 0.2)) == [Way.DIRECT]


def test_each_way_is_pinged_and_says_over_which_the_other_is_heard() -> None:
    here = direct()
    effects = here.tick(1.0)
    assert sorted(ways(effects)) == [Way.NATS, Way.DIRECT]
    assert {read_bare(each)[0] for each in texts(effects)} == {BOTH}
    here.received(ping(2.9), 2.9, Way.NATS)
    assert {read_bare(each)[0] for each in texts(here.tick(3.0))} == {Way.NATS}


def test_a_way_over_which_the_other_hears_nothing_more_is_left() -> None:
    here = direct()
    for now in (1.0, 2.0, 3.0):
        here.received(bare(0, 0, Way.NATS, []), now, Way.NATS)
    assert ways(here.send(b"", 3.0)) == [Way.NATS]


def test_what_is_late_over_one_way_is_sent_again_over_the_other() -> None:
    here = direct()
    assert ways(here.send(b"x", 0.0)) == [Way.DIRECT]
    assert Way.NATS in ways(here.tick(1.0))
    assert ways(here.send(b"x", 1.0)) == [Way.NATS]
    here.received(bare(0, 0, BOTH, []), 1.1, Way.NATS)
    assert ways(here.send(b"x", 1.1)) == [Way.DIRECT]


def test_what_was_sent_over_a_way_that_is_lost_is_sent_again_at_once() -> None:
    here = direct()
    here.send(b"x", 0.0)
    effects = here.way_is(Way.DIRECT, 0.1, is_there=False)
    assert heads(effects) == [(DATA, 1, 0)]
    assert ways(effects) == [Way.NATS]
    assert here.way_is(Way.DIRECT, 0.2, is_there=False) == []


def test_a_farewell_goes_over_every_way() -> None:
    effects = direct().leave(0.1)
    assert sorted(ways(effects)) == [Way.NATS, Way.DIRECT]
    assert why(effects) == "this node goes"
    there = road()
    assert why(there.received(texts(effects)[0], 0.2)) == "it ended the road: it goes"
