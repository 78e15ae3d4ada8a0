# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.limits: counted by address and by principal, with time as a number."""

import pytest
from hypothesis import given, strategies as st

from wsrc.net.addresses import group_of
from wsrc.server.limits import (
    HANDSHAKES_BURST_S,
    MAX_IDLE,
    TOLD_BURST,
    Arrival,
    Bounds,
    Budget,
    HalfOpen,
    Limit,
    Quotas,
    Refusal,
    Usage,
)

A, B = "192.0.2.1", "192.0.2.2"


def usage_of(arrival: Arrival) -> Usage:
    assert arrival.refusal is None
    assert arrival.usage is not None
    return arrival.usage


def let_in(quotas: Quotas, principal: str) -> Usage:
    usage = quotas.let_in(principal)
    assert isinstance(usage, Usage)
    return usage


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "an unknown address"),
    ],
)
def test_13_an_address_counts_as_itself_or_as_its_network(address: str, group: str) -> None:
    assert group_of(address) == group


def test_13_connections_of_an_address_have_a_limit_and_those_of_others_do_not_count() -> None:
    quotas = Quotas(Bounds(max_connections_per_address=2))
    first, _ = usage_of(quotas.arrived(A, 0.0)), usage_of(quotas.arrived(A, 0.0))
    refusal = quotas.arrived(A, 0.0).refusal
    assert refusal is not None
    assert refusal.limit is Limit.CONNECTIONS_OF_ADDRESS
    assert refusal.retry_after_s > 0
    usage_of(quotas.arrived(B, 0.0))
    assert quotas.bitten == {"max_connections_per_address": 1}
    quotas.left(first)
    assert quotas.arrived(A, 0.0).refusal is not None, "the refused one is still there"
    quotas.left(first)
    quotas.left(first)
    usage_of(quotas.arrived(A, 0.0))


def test_13_a_refusal_is_told_at_a_rate_and_then_not_any_more() -> None:
    quotas = Quotas(Bounds(max_connections_per_address=1))
    usage = usage_of(quotas.arrived(A, 0.0))
    arrivals = [quotas.arrived(A, 0.0) for _ in range(100)]
    assert [arrival.told for arrival in arrivals].count(True) == TOLD_BURST
    assert usage.connections == 1 + TOLD_BURST
    assert quotas.bitten["max_connections_per_address"] == 100
    assert quotas.arrived(A, 1.0).told
    assert not quotas.arrived(A, 1.0).told


def test_13_handshakes_of_an_address_have_a_rate_and_a_burst() -> None:
    quotas = Quotas(Bounds(handshakes_per_s=2.0))
    burst = int(2 * HANDSHAKES_BURST_S)
    for _ in range(burst):
        usage_of(quotas.arrived(A, 100.0))
    refusal = quotas.arrived(A, 100.0).refusal
    assert refusal == Refusal(Limit.HANDSHAKES, 0.5)
    usage_of(quotas.arrived(B, 100.0))
    assert quotas.arrived(A, 100.4).refusal is not None
    usage_of(quotas.arrived(A, 100.6))


def test_13_who_is_refused_uses_up_nothing() -> None:
    quotas = Quotas(Bounds(handshakes_per_s=1.0))
    for _ in range(1000):
        quotas.arrived(A, 0.0)
    usage_of(quotas.arrived(A, 1.0))


def test_13_connections_of_a_principal_have_a_limit_wherever_they_come_from() -> None:
    quotas = Quotas(Bounds(max_connections_per_principal=2))
    first = let_in(quotas, "tester@example.org")
    assert let_in(quotas, "tester@example.org") is first
    refused = quotas.let_in("tester@example.org")
    assert isinstance(refused, Refusal)
    assert refused.limit is Limit.CONNECTIONS_OF_PRINCIPAL
    let_in(quotas, "other")
    quotas.left(first)
    let_in(quotas, "tester@example.org")


def test_13_a_principal_that_is_called_like_an_address_is_none() -> None:
    quotas = Quotas(Bounds(max_connections_per_address=1, max_connections_per_principal=1))
    assert usage_of(quotas.arrived(A, 0.0)) is not let_in(quotas, A)


def test_13_zero_is_no_limit() -> None:
    quotas = Quotas(Bounds())
    for _ in range(5000):
        usage = usage_of(quotas.arrived(A, 0.0))
        let_in(quotas, "x")
        assert quotas.wrong(A, 0.0) is None
        assert usage.requests.take(0.0) == usage.octets.take(0.0, 1 << 20) == 0.0
    assert quotas.bitten == {}


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.9", "::1", "10.1.2.3"])
def test_13_some_networks_have_no_limits(address: str) -> None:
    free = ("127.0.0.0/8", "::1/128", "10.0.0.0/8")
    bounds = Bounds(max_connections_per_address=1, handshakes_per_s=0.001, unlimited_from=free)
    quotas = Quotas(bounds._replace(wrong_credentials_per_min=1.0))
    for _ in range(100):
        assert quotas.arrived(address, 0.0) == Arrival(None)
        assert quotas.wrong(address, 0.0) is None
    assert len(quotas) == 0


def test_13_wrong_credentials_are_counted_by_address_and_forgiven_in_time() -> None:
    quotas = Quotas(Bounds(wrong_credentials_per_min=10.0))
    assert [quotas.wrong(A, 0.0) for _ in range(10)] == [None] * 10
    refusal = quotas.wrong(A, 0.0)
    assert refusal is not None
    assert refusal.limit is Limit.WRONG
    assert refusal.retry_after_s == pytest.approx(6.0)
    assert quotas.wrong(B, 0.0) is None
    assert quotas.wrong(A, 7.0) is None
    assert quotas.wrong(A, 7.0) is not None
    assert quotas.bitten == {"wrong_credentials_per_min": 2}


@pytest.mark.parametrize("make", [lambda n: f"198.{n >> 16}.{n >> 8 & 255}.{n & 255}", hex])
def test_13_a_scan_from_a_hundred_thousand_addresses_is_not_remembered(make: object) -> None:
    assert callable(make)
    quotas = Quotas(Bounds(1000, 1000, 20.0, 2000.0, 1e7, 10.0))
    for number in range(100_000):
        arrival = quotas.arrived(make(number), number / 1e5)
        quotas.wrong(make(number), number / 1e5)
        if arrival.usage is not None:
            quotas.left(arrival.usage)
    assert len(quotas) <= MAX_IDLE


def test_13_who_is_connected_is_not_forgotten_whoever_comes() -> None:
    quotas = Quotas(Bounds(max_connections_per_address=1))
    usage_of(quotas.arrived(A, 0.0))
    for number in range(2 * MAX_IDLE):
        quotas.wrong(f"198.18.{number >> 8}.{number & 255}", 0.0)
    assert quotas.arrived(A, 0.0).refusal is not None


def test_13_what_waits_uses_up_no_more_than_there_is() -> None:
    budget = Budget(rate=10.0, burst=1.0)
    assert budget.ask(0.0) == 0.0
    assert budget.ask(0.0) == pytest.approx(0.1)
    assert budget.ask(0.1) == 0.0
    assert Budget(0.0, 0.0).take(0.0, 1000) == Budget(0.0, 0.0).ask(0.0) == 0.0


def test_13_the_oldest_of_where_the_most_come_from_is_found() -> None:
    half_open: HalfOpen[int] = HalfOpen()
    assert half_open.oldest_of_most() is None
    for number, group in enumerate("abbacbb"):
        half_open.enter(group, number)
    assert half_open.oldest_of_most() == 1
    for number in (1, 2, 5):
        half_open.leave("b", number)
    assert half_open.oldest_of_most() == 0
    assert len(half_open) == 4


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=80))
def test_13_it_is_found_after_any_coming_and_going(steps: list[tuple[str, bool]]) -> None:
    half_open: HalfOpen[int] = HalfOpen()
    there: dict[str, list[int]] = {group: [] for group in "abcd"}
    for number, (group, comes) in enumerate(steps):
        if comes:
            half_open.enter(group, number)
            there[group].append(number)
        elif there[group]:
            half_open.leave(group, there[group].pop(number % len(there[group])))
        most = max(map(len, there.values()))
        heads = [each[0] for each in there.values() if each and len(each) == most]
        oldest = half_open.oldest_of_most()
        assert (oldest in heads) if most else oldest is None
        assert len(half_open) == sum(map(len, there.values()))
    for group, members in there.items():
        for number in members:
            half_open.leave(group, number)
    assert (half_open._groups, half_open._by_size, half_open._most) == ({}, {}, 0)
