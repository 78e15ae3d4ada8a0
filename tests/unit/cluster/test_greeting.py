# SPDX-License-Identifier: Apache-2.0
"""Two nodes that prove to each other who they are, and those who cannot."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.support.nodes import CA, credentials, days_later, me_of
from tests.support.sealing import NOW, VALID, Ca
from wsrc.certs.making import Kind, Period
from wsrc.cluster.credentials import Credentials, GreetingError, Nodes
from wsrc.cluster.greeting import (
    KEY_S,
    MAX_GREETING_OCTETS,
    Answerer,
    Caller,
    Greeted,
    Hello,
    Me,
    Proof,
)
from wsrc.net.certificates import subject_of
from wsrc.sealing.suites import available

STRANGER = Ca("another CA")


def nodes(ca: Ca = CA, **more: Any) -> Nodes:
    return Nodes([ca.certificate], subject_of, **more)


def east(given: Credentials | None = None, **fields: Any) -> Me:
    return me_of("east", given or credentials("east"), **fields)


def west(given: Credentials | None = None, **fields: Any) -> Me:
    return me_of("west", given or credentials("west"), **fields)


Between = Callable[[str, bytes], bytes]


def as_it_is(_: str, octets: bytes) -> bytes:
    return octets


def answered(caller: Caller, answer: bytes) -> tuple[bytes, Greeted]:
    found = caller.answered(answer)
    assert found is not None
    return found


def greet(one: Me, other: Me, between: Between = as_it_is) -> tuple[Greeted, Greeted]:
    """Have two nodes greet; `between` may change what they say."""
    caller, answerer = Caller(one, "west"), Answerer(other, "east")
    answer = between("answer", answerer.hello(between("hello", caller.hello), 0.0))
    proof, here = answered(caller, answer)
    there = answerer.proved(between("proof", proof), 0.1)
    assert there is not None
    return here, there


def test_both_have_the_same_keys_and_know_what_both_can() -> None:
    one, other = east(features=frozenset({"a", "b"})), west(features=frozenset({"b", "c"}))
    here, there = greet(one, other)
    assert there.boxes.open(here.boxes.seal(b"to west")) == b"to west"
    assert here.boxes.open(there.boxes.seal(b"to east")) == b"to east"
    assert here.boxes.number == there.boxes.number
    assert here.features == there.features == {"b"}
    assert (here.run, there.run) == (other.run, one.run)
    assert here.version == there.version == 1
    assert here.certificate is not None
    assert subject_of(credentials("west").own.certificates[0]).serial == (
        here.certificate.serial_number
    )


def test_no_two_greetings_have_the_same_keys() -> None:
    one, other = east(), west()
    numbers = {greet(one, other)[0].boxes.number for _ in range(5)}
    assert len(numbers) == 5


@pytest.mark.parametrize("suite", available())
def test_any_suite_will_do_that_both_have(suite: str) -> None:
    here, there = greet(east(suites=available()), west(suites=(suite,)))
    assert there.boxes.open(here.boxes.seal(b"x")) == b"x"


def test_without_certificates_nothing_is_proved_and_all_else_is_the_same() -> None:
    here, there = greet(me_of("east", None), me_of("west", None))
    assert there.boxes.open(here.boxes.seal(b"x")) == b"x"
    assert here.certificate is None


# Versions


def changed(kind: type[msgspec.Struct], **fields: Any) -> Between:
    """Change fields of one message, and add one that nobody knows."""

    def change(what: str, octets: bytes) -> bytes:
        if what != kind.__name__.lower():
            return octets
        said = msgspec.msgpack.decode(octets)
        return msgspec.msgpack.encode({**said, **fields, "later": [1, 2]})

    return change


def test_a_caller_of_a_later_version_is_answered_in_ours() -> None:
    answerer = Answerer(west(), "east")
    hello = changed(Hello, version=7)("hello", Caller(east(), "west").hello)
    answer = msgspec.msgpack.decode(answerer.hello(hello, 0.0))
    assert msgspec.msgpack.decode(answer["offer"])["version"] == 1


def test_an_answer_in_a_later_version_is_refused() -> None:
    caller = Caller(me_of("east", None), "west")
    answer = msgspec.msgpack.decode(Answerer(me_of("west", None), "east").hello(caller.hello, 0.0))
    offer = {**msgspec.msgpack.decode(answer["offer"]), "version": 2}
    answer["offer"] = msgspec.msgpack.encode(offer)
    with pytest.raises(GreetingError, match="a version that is not known here"):
        caller.answered(msgspec.msgpack.encode(answer))


# Who is refused, with which sentence

LATE = Period(NOW - timedelta(days=40), NOW - timedelta(days=1))
EARLY = Period(NOW + timedelta(days=1), NOW + timedelta(days=40))

NOT_GOOD = "shows a certificate that is not good at 2026-07-01 12:00 UTC: "


def issued(ca: Ca = CA, kind: Kind = Kind.NODE, **more: Any) -> Callable[[str], Credentials]:
    """Return what makes the credentials of a name."""
    return lambda name: Credentials(ca.identity(name, kind, **more), nodes())


def of_another(name: str) -> Credentials:
    return issued()(f"not-{name}")


def with_another_key(name: str) -> Credentials:
    own = credentials(name).own
    return Credentials(own._replace(key=credentials("north").own.key), nodes())


def in_a_long_chain(name: str) -> Credentials:
    own = credentials(name).own
    return Credentials(own._replace(certificates=own.certificates * 6), nodes())


WRONG: dict[str, tuple[Callable[[str], Credentials], str]] = {
    "another CA": (issued(STRANGER), NOT_GOOD),
    "expired": (issued(valid=LATE), NOT_GOOD),
    "not valid yet": (issued(valid=EARLY), NOT_GOOD),
    "a server": (issued(kind=Kind.SERVER), NOT_GOOD),
    "a user": (issued(kind=Kind.USER), "a certificate that is for WSRC user, not for a node"),
    "a card host": (issued(kind=Kind.CARD_HOST), "that is for WSRC card host, not for a node"),
    "another node": (of_another, "shows a certificate of 'not-"),
    "another's key": (with_another_key, "does not have the key of the certificate that it shows"),
    "a long chain": (in_a_long_chain, "that is understood"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_caller_that_cannot_prove_who_it_is_is_refused(what: str) -> None:
    make, said = WRONG[what]
    answerer = Answerer(west(), "east")
    wrong, right = Caller(east(make("east")), "west"), Caller(east(), "west")
    forged, _ = answered(wrong, answerer.hello(wrong.hello, 0.0))
    proof, _ = answered(right, answerer.hello(right.hello, 0.0))
    with pytest.raises(GreetingError) as caught:
        answerer.proved(forged, 0.1)
    assert said in str(caught.value)
    assert answerer.proved(proof, 0.1) is not None


@pytest.mark.parametrize("what", WRONG)
def test_an_answerer_that_cannot_prove_who_it_is_is_refused(what: str) -> None:
    make, said = WRONG[what]
    caller = Caller(east(), "west")
    wrong = Answerer(west(make("west")), "east")
    with pytest.raises(GreetingError) as caught:
        caller.answered(wrong.hello(caller.hello, 0.0))
    assert said in str(caught.value)
    caller.answered(Answerer(west(), "east").hello(caller.hello, 0.0))


def test_who_shows_no_certificate_is_refused() -> None:
    caller, answerer = Caller(east(), "west"), Answerer(west(), "east")
    with pytest.raises(GreetingError, match="has no certificate; give it cluster_cert"):
        caller.answered(Answerer(me_of("west", None), "east").hello(caller.hello, 0.0))
    proof, _ = answered(caller, answerer.hello(caller.hello, 0.0))
    bare = changed(Proof, chain=[], signature=b"")("proof", proof)
    with pytest.raises(GreetingError, match="has no certificate; give it cluster_cert"):
        answerer.proved(bare, 0.1)


def test_a_certificate_that_was_revoked_is_refused() -> None:
    given = credentials("west")
    subject = subject_of(given.own.certificates[0])
    revoked = nodes(revoked={(subject.issuer, subject.serial)})
    caller = Caller(east(Credentials(credentials("east").own, revoked)), "west")
    with pytest.raises(GreetingError, match="was revoked"):
        caller.answered(Answerer(west(), "east").hello(caller.hello, 0.0))


def test_who_has_a_certificate_is_refused_by_who_has_none() -> None:
    caller = Caller(me_of("east", None), "west")
    with pytest.raises(GreetingError, match="this node has none; give it cluster_cert"):
        caller.answered(Answerer(west(), "east").hello(caller.hello, 0.0))


def test_a_clock_that_is_a_day_off_is_no_obstacle_and_one_of_a_year_is_named() -> None:
    greet(east(epoch=days_later(1)), west(epoch=days_later(-0.9)))
    with pytest.raises(GreetingError, match="not good at 2027-07-01 12:00 UTC: "):
        greet(east(epoch=days_later(365)), west())


def test_a_certificate_that_was_good_is_looked_at_again_when_it_has_ended() -> None:
    checks = nodes()
    chain = CA.identity("west", Kind.NODE).certificates
    checks.check("west", chain, NOW)
    checks.check("west", chain, VALID.end - timedelta(seconds=1))
    with pytest.raises(GreetingError, match="not good"):
        checks.check("west", chain, VALID.end + timedelta(seconds=1))
    with pytest.raises(GreetingError, match="of 'west'"):
        checks.check("east", chain, NOW)


def test_a_node_of_another_cluster_is_refused_by_its_name() -> None:
    with pytest.raises(GreetingError, match="is of the cluster 'farm', not of 'lab'"):
        greet(east(cluster="farm"), west())


def test_nodes_without_a_suite_in_common_are_told() -> None:
    with pytest.raises(GreetingError, match="no way of sealing in common"):
        greet(east(suites=("p256",)), west())


# What somebody between them does


@pytest.mark.parametrize(
    "between",
    [
        changed(Hello, run="0" * 16),
        changed(Hello, features=["a"]),
        changed(Hello, version=2),
    ],
)
def test_a_hello_that_was_changed_comes_to_nothing(between: Between) -> None:
    with pytest.raises(GreetingError, match="does not have the key"):
        greet(east(), west(), between)


def test_a_hello_of_which_the_nonce_was_changed_is_not_answered() -> None:
    caller, answerer = Caller(east(), "west"), Answerer(west(), "east")
    hello = changed(Hello, nonce=bytes(32))("hello", caller.hello)
    assert caller.answered(answerer.hello(hello, 0.0)) is None


@pytest.mark.parametrize("field", ["run", "nonce", "key", "features", "suite"])
def test_an_offer_that_was_changed_comes_to_nothing(field: str) -> None:
    def between(what: str, octets: bytes) -> bytes:
        if what != "answer":
            return octets
        answer = msgspec.msgpack.decode(octets)
        offer = msgspec.msgpack.decode(answer["offer"])
        offer[field] = {
            "run": "0" * 16,
            "nonce": bytes(32),
            "key": bytes(32),
            "features": ["a"],
            "suite": "p256",
        }[field]
        return msgspec.msgpack.encode({**answer, "offer": msgspec.msgpack.encode(offer)})

    with pytest.raises(GreetingError, match="does not have the key"):
        greet(east(), west(), between)


@pytest.mark.parametrize("field", ["hello", "offer", "sealed", "signature"])
def test_a_proof_that_was_changed_comes_to_nothing(field: str) -> None:
    def between(what: str, octets: bytes) -> bytes:
        if what != "proof":
            return octets
        proof = msgspec.msgpack.decode(octets)
        changed = bytearray(proof[field])
        changed[-1] ^= 1
        return msgspec.msgpack.encode({**proof, field: bytes(changed)})

    with pytest.raises(GreetingError):
        greet(east(), west(), between)


def test_a_proof_is_good_once_and_a_copy_is_known_as_such() -> None:
    caller, answerer = Caller(east(), "west"), Answerer(west(), "east")
    proof, _ = answered(caller, answerer.hello(caller.hello, 0.0))
    assert answerer.proved(proof, 0.1) is not None
    assert answerer.proved(proof, 0.2) is None
    again, _ = answered(caller, answerer.hello(caller.hello, 0.3))
    assert answerer.proved(again, 0.4) is not None
    assert answerer.proved(proof, 0.5) is None


def test_a_proof_that_is_late_is_good_while_its_key_is_kept() -> None:
    caller, answerer = Caller(east(), "west"), Answerer(west(), "east")
    proof, _ = answered(caller, answerer.hello(caller.hello, 0.0))
    answerer.hello(caller.hello, KEY_S + 1)
    assert answerer.proved(proof, 2 * KEY_S) is None
    proof, _ = answered(caller, answerer.hello(caller.hello, 30.0))
    answerer.hello(caller.hello, 30.0 + KEY_S + 1)
    assert answerer.proved(proof, 30.0 + 2 * KEY_S - 1) is not None


def test_any_number_of_hellos_leaves_nothing_behind() -> None:
    answerer = Answerer(west(), "east")
    caller = Caller(east(), "west")
    answer = answerer.hello(caller.hello, 0.0)
    for _ in range(200):
        answerer.hello(Caller(east(), "west").hello, 0.1)
    proof, _ = answered(caller, answer)
    assert answerer.proved(proof, 0.2) is not None


def test_what_is_between_two_other_nodes_is_not_taken() -> None:
    caller = Caller(east(), "west")
    answer = Answerer(west(), "east").hello(caller.hello, 0.0)
    nonce = msgspec.msgpack.decode(caller.hello, type=Hello).nonce
    other = Caller(me_of("north", credentials("north"), new_nonce=lambda: nonce), "west")
    with pytest.raises(GreetingError, match="does not have the key"):
        other.answered(answer)
    assert Caller(east(), "west").answered(answer) is None
    proof, _ = answered(caller, answer)
    assert Answerer(west(), "north").proved(proof, 0.0) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x80",
        b"\x90",
        b"\xc1",
        b"\xff" * 100,
        b"\xdf\xff\xff\xff\xff",
        b"\xa1\xff",
        b"\x81\xa5later" + b"\x91" * 100_000,
        bytes(MAX_GREETING_OCTETS + 1),
    ],
)
def test_what_is_no_greeting_is_refused(octets: bytes) -> None:
    caller, answerer = Caller(east(), "west"), Answerer(west(), "east")
    for take in (
        caller.answered,
        lambda o: answerer.hello(o, 0.0),
        lambda o: answerer.proved(o, 0),
    ):
        with pytest.raises(GreetingError):
            take(octets)


def test_a_one_time_key_that_is_none_is_refused() -> None:
    caller = Caller(me_of("east", None), "west")
    answer = msgspec.msgpack.decode(Answerer(me_of("west", None), "east").hello(caller.hello, 0.0))
    offer = msgspec.msgpack.decode(answer["offer"])
    for wrong in ({"key": bytes(32)}, {"key": b"short"}, {"suite": "rot13"}):
        answer["offer"] = msgspec.msgpack.encode({**offer, **wrong})
        with pytest.raises(GreetingError, match="no one-time key that is known"):
            caller.answered(msgspec.msgpack.encode(answer))
