# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.trust: what is remembered of a chain that was good, and for how long."""

from datetime import timedelta

import pytest

from tests.support.sealing import NOW, VALID, Ca, number_of
from wsrc.certs.making import Kind, Period
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.trust import MAX_FOUND


def test_a_chain_that_was_good_is_not_looked_at_again() -> None:
    ca = Ca()
    trust, chain = ca.hosts(), ca.identity("bench.example").certificates
    assert trust.check("", chain, NOW) is trust.check("", chain, NOW + timedelta(days=1))


def test_a_certificate_that_ends_is_refused_though_it_was_good() -> None:
    ca = Ca()
    trust, chain = ca.hosts(), ca.identity("bench.example").certificates
    trust.check("", chain, NOW)
    for now in (
        VALID.end + timedelta(seconds=1),
        VALID.end + timedelta(days=1),
        VALID.start - timedelta(days=1),
    ):
        with pytest.raises(SealError, match="not valid") as caught:
            trust.check("", chain, now)
        assert caught.value.fault is Fault.HOST


def test_a_chain_ends_with_its_first_certificate_that_ends() -> None:
    ca = Ca()
    valid = Period(VALID.start, NOW + timedelta(hours=1))
    trust, chain = ca.hosts(), ca.identity("bench.example", valid=valid).certificates
    trust.check("", chain, NOW)
    with pytest.raises(SealError, match="not valid"):
        trust.check("", chain, NOW + timedelta(hours=2))


def test_what_is_remembered_has_a_bound() -> None:
    ca = Ca()
    trust = ca.hosts()
    chains = [ca.identity(f"bench{n}.example").certificates for n in range(MAX_FOUND + 3)]
    first = trust.check("", chains[0], NOW)
    for chain in chains[1:]:
        trust.check("", chain, NOW)
    assert trust.check("", chains[0], NOW) is not first


def test_what_was_refused_is_looked_at_again() -> None:
    ca = Ca()
    bad = ca.identity("anna@example.com", Kind.USER).certificates
    trust = ca.hosts()
    for _ in range(2):
        with pytest.raises(SealError, match="is for WSRC user"):
            trust.check("", bad, NOW)


def test_a_list_of_revocations_holds_for_users_as_well() -> None:
    ca = Ca()
    user = ca.identity("anna@example.com", Kind.USER)
    with pytest.raises(SealError, match="was revoked") as caught:
        ca.users(revoked={number_of(user)}).check("", user.certificates, NOW)
    assert caught.value.fault is Fault.USER
