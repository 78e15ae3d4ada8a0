# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.suites: which is used, and keys that are none."""

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from wsrc.sealing import suites
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.suites import Suite, available, best_of, key_of, new_key, seal_to, suite_of

LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]
"""Points of X25519 that have the same secret with every key (RFC 7748 section 6.1)."""


def test_the_hybrid_is_preferred_where_both_have_it() -> None:
    assert available() == tuple(Suite)
    assert best_of(["p256", "x25519", "mlkem768-x25519"], Suite) is Suite.HYBRID
    assert best_of(["p256", "x25519"], Suite) is Suite.X25519
    assert best_of(Suite, ["p256", "of_tomorrow"]) is Suite.P256


def test_a_host_whose_openssl_has_no_ml_kem_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        @staticmethod
        def generate() -> None:
            raise UnsupportedAlgorithm("no ML-KEM")

    monkeypatch.setattr(suites.mlkem, "MLKEM768PrivateKey", Without)
    assert available.__wrapped__() == (Suite.X25519, Suite.P256)


def test_a_suite_nobody_knows_is_refused() -> None:
    with pytest.raises(SealError, match="no way of sealing in common") as none_in_common:
        best_of(["of_tomorrow"], Suite)
    with pytest.raises(SealError, match="'of_tomorrow', which is not known") as unknown:
        suite_of("of_tomorrow")
    assert none_in_common.value.fault is unknown.value.fault is Fault.SUITE


@pytest.mark.parametrize("suite", Suite)
def test_what_is_sealed_to_a_key_is_opened_by_it_with_the_same_info(suite: Suite) -> None:
    key = new_key(suite)
    sealed = seal_to(suite, key.public, b"secret", b"info")
    assert key.open(sealed, b"info") == b"secret"
    for other, info in ((key, b"other"), (new_key(suite), b"info")):
        with pytest.raises(SealError, match="cannot be opened") as caught:
            other.open(sealed, info)
        assert caught.value.fault is Fault.SECRET


@pytest.mark.parametrize("suite", Suite)
@pytest.mark.parametrize("change", [bytes, lambda s: s[:-1], lambda s: s[1:], lambda s: s + b"\0"])
def test_a_secret_of_another_length_does_not_open(suite: Suite, change: type[bytes]) -> None:
    key = new_key(suite)
    sealed = seal_to(suite, key.public, b"secret", b"")
    changed = change(sealed) if change is not bytes else b""
    with pytest.raises(SealError, match="cannot be opened"):
        key.open(changed, b"")


@pytest.mark.parametrize("suite", Suite)
def test_a_private_key_gives_the_same_public_key_each_time(suite: Suite) -> None:
    octets = bytes(range(1, 97))[: {Suite.HYBRID: 96}.get(suite, 32)]
    assert key_of(suite, octets).public == key_of(suite, octets).public
    with pytest.raises(ValueError, match="octets"):
        key_of(suite, octets[:-1])


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_key_of_low_order_is_refused(point: bytes) -> None:
    hybrid = new_key(Suite.HYBRID).public[:-32] + point
    for suite, public in ((Suite.X25519, point), (Suite.HYBRID, hybrid)):
        with pytest.raises(SealError, match="everybody knows") as caught:
            seal_to(suite, public, b"secret", b"")
        assert caught.value.fault is Fault.KEY


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_secret_from_a_key_of_low_order_does_not_open(point: bytes) -> None:
    for suite, start in ((Suite.X25519, 0), (Suite.HYBRID, 1088)):
        key = new_key(suite)
        sealed = seal_to(suite, key.public, b"secret", b"")
        with pytest.raises(SealError, match="cannot be opened"):
            key.open(sealed[:start] + point + sealed[start + 32 :], b"")


@pytest.mark.parametrize("suite", Suite)
def test_a_key_of_another_suite_or_off_the_curve_is_none(suite: Suite) -> None:
    own = new_key(suite).public
    others = [new_key(each).public for each in Suite if each is not suite]
    wrong = [b"", own[:-1], own + b"\0", *others]
    if suite is Suite.P256:
        wrong += [own[:-1] + bytes([own[-1] ^ 1]), b"\x04" + bytes(64), b"\x02" + own[1:33]]
    for public in wrong:
        with pytest.raises(SealError) as caught:
            seal_to(suite, public, b"secret", b"")
        assert caught.value.fault is Fault.KEY
