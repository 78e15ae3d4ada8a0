# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.handshake: offers, secrets, and whatever a relay could make of them."""

# Longer than the aim: all that a relay could make of an offer and of a secret, side by side.

import gc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.sealing import (
    ASK,
    ASKED,
    CARD,
    HOST_NONCE,
    MASTER,
    NOW,
    USER_NONCE,
    Ca,
    Scene,
    expected,
    number_of,
)
from wsrc.certs.making import Kind, Period
from wsrc.protocol import messages as m
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.handshake import Host, Offer, Offered, Secret, agree
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import sign
from wsrc.sealing.suites import Suite, new_key, seal_to
from wsrc.sealing.terms import Card
from wsrc.selection import names_of, normal


def refused(fault: Fault, sentence: str) -> Any:
    return pytest.raises(SealError, match=sentence, check=lambda exc: exc.fault is fault)


# The way it goes


@pytest.mark.parametrize("suite", Suite)
def test_both_ends_have_the_same_keys_and_nobody_else_has(suite: Suite) -> None:
    scene = Scene([suite])
    agreed = scene.agree()
    assert (agreed.suite, agreed.card, agreed.signer.name) == (suite, CARD, "bench.example")
    secret, keys = agreed.seal(MASTER)
    assert scene.offered.accept(secret, NOW) == keys
    assert len(set(keys)) == 5
    assert MASTER not in secret.sealed


def test_the_same_secret_gives_other_keys_in_another_session() -> None:
    first, second = Scene(), Scene()
    assert not set(first.agree().seal(MASTER)[1][1:]) & set(second.agree().seal(MASTER)[1][1:])


def test_a_user_checks_that_the_card_is_the_one_that_was_selected() -> None:
    def blue(card: Card) -> bool:
        info = m.ReaderInfo(
            reader=card.reader, name=card.name, state=m.ReaderState.READY, label=card.label
        )
        return ("label", normal("label", " Blue ")) in names_of(info)

    scene = Scene()
    assert scene.agree(selected=blue).card.label == "blue"
    with refused(Fault.TERMS, "another card than the one that was selected"):
        scene.agree(selected=lambda card: card.iccid == "8988211000000000000")


# What a relay could do


def test_a_signature_by_another_certificate_of_the_same_ca_is_refused() -> None:
    scene = Scene()
    other = scene.ca.identity("other.example")
    posed = scene.offered.offer._replace(certificates=other.certificates)
    with refused(Fault.HOST, "other.example is not good"):
        scene.agree(posed)


def test_a_relay_that_swaps_hosts_is_noticed() -> None:
    """Another card host of the CA is asked in place of the one that has the card."""
    scene = Scene()
    other = Host(scene.ca.identity("other.example"), Mode.PREFERRED)
    card = CARD._replace(host="other", iccid="8988211000000000013")
    offered = other.offer(scene.ask, ASKED, card, HOST_NONCE)
    with refused(Fault.TERMS, "other.example answers for another card"):
        scene.agree(offered.offer)
    secret, _ = scene.agree().seal(MASTER)
    with refused(Fault.SECRET, "cannot be opened"):
        offered.accept(secret, NOW)


def test_an_offer_of_another_host_that_knows_the_one_time_key_leads_nowhere() -> None:
    """Who signs the key of another as its own gets nothing opened by that other."""
    scene = Scene([Suite.X25519])
    posing = Host(scene.ca.identity("other.example"), Mode.PREFERRED)
    key = scene.offered._key
    assert key is not None
    posed = posing.offer(scene.ask, ASKED, CARD, HOST_NONCE, key)
    secret, _ = scene.agree(posed.offer).seal(MASTER)
    with refused(Fault.SECRET, "cannot be opened"):
        scene.offered.accept(secret, NOW)


def test_a_host_whose_certificate_may_not_announce_this_card_is_refused() -> None:
    scene = Scene()
    trust = scene.ca.hosts(["bench-*.example", "lab.example"])
    with refused(Fault.HOST, "bench.example, who is not one of those that are accepted"):
        scene.agree(trust=trust)
    assert scene.agree(trust=scene.ca.hosts(["bench.*"])).signer.name == "bench.example"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda s: Ca("other").identity("bench.example"), "is not good: "),
        (lambda s: s.ca.identity("anna@example.com", Kind.USER), "is for WSRC user"),
        (lambda s: s.ca.identity("relay.example", Kind.SERVER), "is not good: "),
        (
            lambda s: s.ca.identity(
                "old", valid=Period(NOW - timedelta(days=9), NOW - timedelta(days=1))
            ),
            "is not good: .*not valid",
        ),
    ],
    ids=["of another CA", "of a user", "of a server", "that has ended"],
)
def test_a_certificate_that_is_none_of_a_card_host_is_refused(
    make: Callable[[Scene], Any], sentence: str
) -> None:
    scene = Scene()
    scene.host = Host(make(scene), Mode.PREFERRED)
    with refused(Fault.HOST, sentence):
        scene.agree(scene.offer().offer)


def test_a_certificate_that_was_revoked_is_refused_at_the_next_attach() -> None:
    scene = Scene()
    keys = scene.agree().seal(MASTER)[1]
    trust = scene.ca.hosts(revoked={number_of(scene.identity)})
    with refused(Fault.HOST, "bench.example was revoked"):
        scene.agree(scene.offer().offer, trust)
    assert keys.session == ASKED.session


CHANGES: dict[str, Callable[[Offer], Offer]] = {
    "host": lambda o: o._replace(card=o.card._replace(host="bench2")),
    "reader": lambda o: o._replace(card=o.card._replace(reader="X@bench")),
    "name": lambda o: o._replace(card=o.card._replace(name="X")),
    "atr": lambda o: o._replace(card=o.card._replace(atr=b"\x3b\x00")),
    "eids": lambda o: o._replace(card=o.card._replace(eids=())),
    "label": lambda o: o._replace(card=o.card._replace(label="red")),
    "user": lambda o: o._replace(user="bob@desk"),
    "principal": lambda o: o._replace(principal="bob@example.com"),
    "nonce": lambda o: o._replace(said=o.said._replace(nonce=USER_NONCE)),
    "suites": lambda o: o._replace(said=o.said._replace(suites=("p256",))),
    "suite": lambda o: o._replace(said=o.said._replace(suite="p256")),
    "mode": lambda o: o._replace(said=o.said._replace(mode=Mode.REQUIRED)),
    "key": lambda o: o._replace(said=o.said._replace(key=new_key(Suite.HYBRID).public)),
    "wants user": lambda o: o._replace(said=o.said._replace(wants_user=True)),
    "signature": lambda o: o._replace(signature=bytes(64)),
    "short signature": lambda o: o._replace(signature=o.signature[:-1]),
    "no signature": lambda o: o._replace(signature=b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_of_an_offer_is_noticed(change: Callable[[Offer], Offer]) -> None:
    scene = Scene()
    with refused(Fault.HOST, "signature of card host bench.example is not good"):
        scene.agree(change(scene.offered.offer), user=None)


@pytest.mark.parametrize(
    "changed", [{"session": "another"}, {"share": "shared"}, {"ways": ("T0",)}, {"ways": ()}]
)
def test_an_offer_for_something_else_than_was_asked_is_refused(changed: dict[str, Any]) -> None:
    with refused(Fault.HOST, "what it was asked is not what this program asked"):
        Scene().agree(**changed)


def test_an_offer_to_an_earlier_ask_is_refused() -> None:
    scene = Scene()
    scene.ask = scene.ask._replace(nonce=bytes(32))
    with refused(Fault.HOST, "signature"):
        scene.agree()


def test_a_user_who_is_told_to_be_another_is_refused_where_that_matters() -> None:
    scene = Scene()
    offer = scene.offer(user="eve@desk").offer
    assert scene.agree(offer, user=None).signer.name == "bench.example"
    with refused(Fault.TERMS, "its user is 'eve@desk'"):
        scene.agree(offer)


def test_a_relay_that_takes_suites_from_the_ask_is_noticed() -> None:
    scene = Scene()
    weaker = scene.host.offer(scene.ask._replace(suites=("p256",)), ASKED, CARD, HOST_NONCE)
    with refused(Fault.HOST, "what it was asked is not what this program asked"):
        scene.agree(weaker.offer)


def test_a_card_host_that_takes_a_worse_suite_than_both_have_is_refused() -> None:
    scene = Scene(host=None)
    host = Host(scene.identity, Mode.PREFERRED, suites=("p256", "x25519"))
    offered = host.offer(scene.ask._replace(suites=("p256",)), ASKED, CARD, HOST_NONCE)
    asked_more = scene.ask._replace(suites=("p256",))
    assert agree(asked_more, expected(), offered.offer, scene.ca.hosts(), NOW).suite is Suite.P256

    class Worse(Host):
        def offer(self, *args: Any) -> Offered:
            self._suites = ("p256",)
            offered = super().offer(*args)
            said = offered.offer.said._replace(suites=("p256", "x25519"))
            terms = offered._terms._replace(said=said)

            signature = sign(self._identity.key, terms.signed_by_host())
            return Offered(
                offered.offer._replace(said=said, signature=signature),
                terms,
                new_key(Suite.P256),
                None,
            )

    scene.host = Worse(scene.identity, Mode.PREFERRED)
    with refused(Fault.SUITE, "seals by p256, though both have something better"):
        scene.agree(scene.offer().offer)


@pytest.mark.parametrize(
    "change", [{"nonce": b"short"}, {"suites": ("x" * 65,)}, {"suites": ("p256",) * 17}]
)
def test_what_is_malformed_is_refused_by_either_end(change: dict[str, Any]) -> None:
    scene = Scene()
    with refused(Fault.TERMS, "user"):
        scene.host.offer(scene.ask._replace(**change), ASKED, CARD, HOST_NONCE)
    offer = scene.offered.offer
    with refused(Fault.TERMS, "card host"):
        scene.agree(offer._replace(said=offer.said._replace(**change)))


def test_as_many_suites_as_there_may_be_are_no_fault() -> None:
    scene = Scene()
    names = ("mlkem768-x25519", *(f"{n:02}" + "x" * 62 for n in range(15)))
    scene.ask = scene.ask._replace(suites=names)
    assert scene.agree(scene.offer().offer).suite is Suite.HYBRID


def test_too_many_or_too_long_certificates_are_refused() -> None:
    scene = Scene()
    offer = scene.offered.offer
    for chain in ((), offer.certificates * 6, (bytes(20_000),), (b"none",)):
        with refused(Fault.HOST, "is not good"):
            scene.agree(offer._replace(certificates=chain))


# Secrets


def test_a_master_secret_sent_twice_is_taken_once_and_its_copy_changes_nothing() -> None:
    scene = Scene()
    agreed = scene.agree()
    first, keys = agreed.seal(MASTER)
    second, _ = agreed.seal(bytes(32))
    assert scene.offered.accept(first, NOW) == keys
    with refused(Fault.SECRET, "Another secret came"):
        scene.offered.accept(second, NOW)
    assert scene.offered.accept(Secret(*first), NOW) == keys


def test_after_a_secret_that_was_refused_none_is_taken() -> None:
    scene = Scene()
    good, _ = scene.agree().seal(MASTER)
    with refused(Fault.SECRET, "cannot be opened"):
        scene.offered.accept(Secret(bytes(len(good.sealed))), NOW)
    with refused(Fault.SECRET, "Another secret came"):
        scene.offered.accept(good, NOW)


def test_a_secret_of_another_session_does_not_open_whoever_has_the_key() -> None:
    scene = Scene()
    key = scene.offered._key
    secret, _ = scene.agree().seal(MASTER)
    other = scene.host.offer(scene.ask, ASKED._replace(session="other"), CARD, HOST_NONCE, key)
    with refused(Fault.SECRET, "cannot be opened"):
        other.accept(secret, NOW)


def test_a_secret_of_another_length_is_refused() -> None:
    scene = Scene()

    info = scene.offered._terms.info(())
    said = scene.offered.offer.said
    sealed = seal_to(Suite(said.suite), said.key, b"short", info)
    with refused(Fault.SECRET, "has 32 octets, that of the user 5"):
        scene.offered.accept(Secret(sealed), NOW)


def test_a_card_client_killed_between_attach_and_the_first_request_opens_nothing_later() -> None:
    scene = Scene()
    secret, _ = scene.agree().seal(MASTER)
    started_again = scene.offer()
    with refused(Fault.SECRET, "cannot be opened"):
        started_again.accept(secret, NOW)


def test_10_000_sessions_opened_and_never_used_leave_nothing() -> None:
    """One key and one signature for each, and both go with the session."""
    scene = Scene([Suite.P256])
    key = new_key(Suite.P256)
    for _ in range(10_000):
        scene.host.offer(scene.ask, ASKED, CARD, HOST_NONCE, key)
    gc.collect()
    there = [each for each in gc.get_objects() if isinstance(each, Offered)]
    assert [each for each in there if each._terms.ask is scene.ask] == [scene.offered]


# Users who prove themselves


class UserScene(Scene):
    def __init__(self, names: list[str] | None = None, *, wants_user: bool = True) -> None:
        super().__init__()
        self.user = self.ca.identity("anna@example.com", Kind.USER)
        users = self.ca.users(names)
        self.host = Host(self.identity, Mode.REQUIRED, users, wants_user=wants_user)
        self.offered = self.offer()


@pytest.mark.parametrize("names", [None, ["anna@example.com"], ["*@example.com"]])
def test_a_user_proves_itself_end_to_end(names: list[str] | None) -> None:
    scene = UserScene(names)
    secret, keys = scene.agree().seal(MASTER, scene.user)
    assert scene.offered.accept(secret, NOW) == keys
    assert scene.offered.user is not None
    assert scene.offered.user.name == "anna@example.com"


def test_a_user_may_prove_itself_though_nobody_demands_it() -> None:
    scene = UserScene(wants_user=False)
    assert scene.offered.accept(scene.agree().seal(MASTER)[0], NOW)
    assert scene.offered.user is None
    scene.offered = scene.offer()
    scene.offered.accept(scene.agree().seal(MASTER, scene.user)[0], NOW)
    assert scene.offered.user is not None
    plain = Scene()
    plain.offered.accept(plain.agree().seal(MASTER, scene.user)[0], NOW)
    assert plain.offered.user is None


def test_a_card_host_that_wants_users_and_believes_none_takes_none() -> None:
    scene = UserScene()
    scene.host = Host(scene.identity, Mode.REQUIRED, wants_user=True)
    scene.offered = scene.offer()
    with refused(Fault.USER, "by certificate only"):
        scene.offered.accept(scene.agree().seal(MASTER, scene.user)[0], NOW)


def test_accept_users_keeps_others_of_the_same_ca_out() -> None:
    scene = UserScene(["bob@example.com"])
    with refused(Fault.USER, "anna@example.com, who is not one of those"):
        scene.offered.accept(scene.agree().seal(MASTER, scene.user)[0], NOW)


def test_not_even_the_server_can_make_up_a_user() -> None:
    scene = UserScene(["anna@example.com"])
    agreed = scene.agree()
    with refused(Fault.USER, "by certificate only"):
        agreed.seal(MASTER)
    agreed.wants_user = False
    with refused(Fault.USER, "by certificate only"):
        scene.offered.accept(agreed.seal(MASTER)[0], NOW)
    scene.offered = scene.offer()
    made_up = scene.ca.identity("relay.example", Kind.SERVER)
    with refused(Fault.USER, "is not good"):
        scene.offered.accept(scene.agree().seal(MASTER, made_up)[0], NOW)


def test_who_signs_the_secret_of_another_user_is_not_taken_for_its_sender() -> None:
    scene = UserScene()
    secret, _ = scene.agree().seal(MASTER, scene.user)
    eve = scene.ca.identity("eve@example.com", Kind.USER)

    signed = sign(eve.key, scene.offered._terms.signed_by_user(secret.sealed))
    with refused(Fault.SECRET, "cannot be opened"):
        scene.offered.accept(Secret(secret.sealed, eve.certificates, signed), NOW)
    assert scene.offered.user is None


def test_a_signature_of_a_user_that_is_not_good_is_refused() -> None:
    scene = UserScene()
    secret, _ = scene.agree().seal(MASTER, scene.user)
    with refused(Fault.USER, "signature of user anna@example.com is not good"):
        scene.offered.accept(secret._replace(signature=bytes(64)), NOW)


def test_no_sentence_has_a_secret() -> None:
    scene = Scene()
    secret, keys = scene.agree().seal(MASTER)
    scene.offered.accept(secret, NOW)
    with pytest.raises(SealError) as caught:
        scene.offered.accept(scene.agree().seal(bytes(32))[0], NOW)
    hidden = [each.hex() for each in (MASTER, *keys[1:])]
    assert not any(each in str(caught.value) for each in hidden)
    assert ASK.nonce.hex() not in str(caught.value)
