# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: what a server does with sessions that it cannot read."""

import hashlib

import msgspec
import pytest

from tests.support.relay_world import ATR, ICCID, CardClient, Peer, World, reader
from wsrc.audit import events
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.relay import rights

ASK = m.SealAsk(nonce=b"n" * 32, suites=("p256",), mode="required")
FEATURES = ("batch", "pcsc", "resume", "seal", "share")


def offer() -> m.SealOffer:
    return m.SealOffer(
        host="bench",
        reader="r",
        atr=ATR,
        nonce=b"m" * 32,
        suites=("p256",),
        mode="required",
        suite="p256",
        key=b"k",
        certificates=(b"c",),
        signature=b"s",
    )


@pytest.fixture
def world() -> World:
    return World()


def hosted(world: World, features: tuple[str, ...] = FEATURES) -> CardClient:
    return world.card(reader(), features=features, auto=False)


def held(user: Peer, host: CardClient, **fields: object) -> str:
    """Have a sealed session begin, and return its name."""
    user.say(m.SelectCard(id=1, iccid=ICCID, seal=ASK, **fields))  # type: ignore[arg-type]
    attach = host.next(m.Attach)
    host.say(m.AttachAck(session=attach.session, atr=ATR, keep_s=attach.keep_s, seal=offer()))
    assert user.one(m.SelectCardAck).seal == offer()
    return attach.session


def sealed(session: str, of: str = "c_apdu", seq: int = 1, **fields: object) -> m.Sealed:
    return m.Sealed(id=seq + 1, seq=seq, session=session, of=of, box=b"b", **fields)  # type: ignore[arg-type]


# How a session begins


def test_what_is_asked_and_offered_is_passed_on_with_who_the_user_is(world: World) -> None:
    host, user = hosted(world), world.user(name="anna", who="anna@example.com")
    user.say(m.SelectCard(id=1, iccid=ICCID, seal=ASK))
    attach = host.next(m.Attach)
    assert (attach.seal, attach.principal) == (ASK, "anna@example.com")
    assert attach.holder is not None
    assert (attach.secret, attach.keep_s) == (None, 0.0)


def test_the_certificate_of_the_offer_is_in_the_evidence(world: World) -> None:
    session = held(world.user(), hosted(world))
    (took,) = (each for each in world.events if isinstance(each, events.Took))
    assert (took.session, took.sealed) == (session[:8], True)
    assert took.certificate == hashlib.sha256(offer().certificates[0]).hexdigest()


def test_a_card_client_without_the_feature_is_not_asked(world: World) -> None:
    host, user = hosted(world, ("batch", "resume")), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, seal=ASK, keep_s=9.0))
    attach = host.next(m.Attach)
    assert (attach.seal, attach.principal, attach.keep_s) == (None, None, 0.0)


def test_a_sealed_session_is_kept_without_a_secret(world: World) -> None:
    host, user = hosted(world), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, seal=ASK, keep_s=9.0))
    assert host.next(m.Attach).keep_s == 9.0


def test_without_resume_by_secret_only_what_is_sealed_is_kept_and_no_secret_is_passed_on() -> None:
    world = World(resume_by_secret=False)
    host, user = hosted(world), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, seal=ASK, secret="s" * 64, keep_s=9.0))
    attach = host.next(m.Attach)
    assert (attach.secret, attach.keep_s) == (None, 9.0)
    host.say(m.AttachAck(session=attach.session, atr=ATR, keep_s=9.0))
    assert user.one(m.SelectCardAck).keep_s == 0.0
    user.say(m.Resume(id=2, session=attach.session, secret="s" * 64))
    assert user.one(m.Error).code is ErrorCode.NO_SUCH_SESSION
    assert host.quiet()


def test_without_resume_by_secret_no_secret_reaches_a_card_host_that_may_be_any() -> None:
    """Not even one whose session this server has never known, as after a restart."""
    world = World(resume_by_secret=False)
    host, user = hosted(world), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, secret="s" * 64, keep_s=9.0))
    attach = host.next(m.Attach)
    assert (attach.secret, attach.keep_s) == (None, 0.0)
    for session in (attach.session, "never seen"):
        claim = m.Resume(id=2, session=session, secret="s" * 64, host="bench", reader="r")
        user.say(claim)
        assert user.one(m.Error).code is ErrorCode.NO_SUCH_SESSION
    assert host.quiet()


@pytest.mark.parametrize(
    "ask",
    [
        m.SealAsk(nonce=b"short", suites=("p256",), mode="required"),
        m.SealAsk(nonce=b"n" * 32, suites=("p256",) * 17, mode="required"),
        m.SealAsk(nonce=b"n" * 32, suites=("p" * 65,), mode="required"),
        m.SealAsk(nonce=b"n" * 32, suites=("p256",), mode="r" * 65),
    ],
)
def test_what_has_no_bound_is_not_passed_on(world: World, ask: m.SealAsk) -> None:
    host, user = hosted(world), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, seal=ask))
    assert user.one(m.Error).code is ErrorCode.BAD_MESSAGE
    assert host.quiet()


# Requests


def test_a_request_and_its_answer_pass_as_they_came(world: World) -> None:
    host, user = hosted(world), world.user()
    session = held(user, host)
    secret = m.SealSecret(sealed=b"x")
    asked = sealed(session, secret=secret)
    user.say(asked)
    assert host.next(m.Sealed) == asked
    answer = m.SealedResp(id=asked.id, seq=1, session=session, of="r_apdu", box=b"a")
    host.say(answer)
    assert user.one(m.SealedResp) == answer


def test_an_answer_of_another_kind_is_an_error_of_unknown_outcome(world: World) -> None:
    host, user = hosted(world), world.user()
    session = held(user, host)
    user.say(sealed(session))
    asked = host.next(m.Sealed)
    host.say(m.RApdu(id=asked.id, seq=1, session=session, response=ATR, sw="9000"))
    assert user.one(m.Error).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("cancelled", [True, False])
@pytest.mark.parametrize("outcome", [*Outcome, None])
def test_an_error_in_a_box_is_counted_by_its_outcome_and_answers_a_cancel(
    world: World, outcome: Outcome | None, *, cancelled: bool
) -> None:
    host, user = hosted(world, (*FEATURES, "cancel")), world.user()
    session = held(user, host)
    user.say(sealed(session))
    host.next(m.Sealed)
    user.say(m.Cancel(id=3, target=2, session=session))
    code = ErrorCode.CANCELLED if cancelled else ErrorCode.GUARDED
    told = {"code": code, "outcome": outcome}
    host.say(m.SealedResp(id=2, seq=1, session=session, of="error", box=b"a", **told))
    user.next(m.SealedResp)
    assert user.one(m.CancelAck).cancelled is cancelled
    counted = dict.fromkeys(("answered", "not_executed", "unknown"), 0)
    assert world.relay.tally.outcomes == counted | {str(outcome or Outcome.UNKNOWN): 1}
    assert not any(world.relay.tally.durations)


def test_an_error_in_a_box_is_counted_without_a_cancel_as_well(world: World) -> None:
    host, user = hosted(world), world.user()
    session = held(user, host)
    user.say(sealed(session))
    host.next(m.Sealed)
    told = {"code": ErrorCode.GUARDED, "outcome": Outcome.NOT_EXECUTED}
    host.say(m.SealedResp(id=2, seq=1, session=session, of="error", box=b"a", **told))
    user.one(m.SealedResp)
    assert world.relay.tally.outcomes == {"answered": 0, "not_executed": 1, "unknown": 0}


@pytest.mark.parametrize(
    ("features", "of"),
    [(("seal",), "batch"), (("seal",), "status"), (("batch", "pcsc"), "c_apdu"), (FEATURES, "x")],
)
def test_what_a_card_client_does_not_know_is_refused(
    world: World, features: tuple[str, ...], of: str
) -> None:
    host, user = hosted(world, features), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    session = host.next(m.Attach).session
    host.say(m.AttachAck(session=session, atr=ATR))
    user.one(m.SelectCardAck)
    user.say(sealed(session, of))
    error = user.one(m.Error)
    assert (error.code, error.outcome) == (ErrorCode.NOT_SUPPORTED, Outcome.NOT_EXECUTED)
    assert host.quiet()


def test_a_card_is_shared_as_the_outside_of_a_reconnect_says(world: World) -> None:
    host, user, other = hosted(world), world.user(), world.user()
    session = held(user, host)
    user.say(sealed(session, "reconnect", share=Share.SHARED))
    host.next(m.Sealed)
    host.say(m.SealedResp(id=2, seq=1, session=session, of="reconnect_ack", box=b"a"))
    user.one(m.SealedResp)
    other.say(m.SelectCard(id=1, iccid=ICCID, share=Share.SHARED))
    assert host.next(m.Attach).share is Share.SHARED


def test_a_reconnect_that_failed_leaves_a_card_as_it_was_shared(world: World) -> None:
    host, user, other = hosted(world), world.user(), world.user()
    session = held(user, host)
    user.say(sealed(session, "reconnect", share=Share.SHARED))
    host.next(m.Sealed)
    code = ErrorCode.CARD_UNRESPONSIVE
    host.say(m.SealedResp(id=2, seq=1, session=session, of="error", box=b"a", code=code))
    user.one(m.SealedResp)
    other.say(m.SelectCard(id=1, iccid=ICCID, share=Share.SHARED))
    assert other.one(m.Error).code is ErrorCode.CARD_BUSY


# Resume


def test_a_proof_is_passed_on_with_the_nonce_of_its_connection_alone(world: World) -> None:
    host, user = hosted(world), world.stranger(m.ClientType.USER)
    user.say(m.Hello(client_type=m.ClientType.USER, version=1))
    nonce = user.one(m.HelloAck).nonce
    assert nonce is not None
    assert len(nonce) == 32
    session = held(user, host, keep_s=9.0)
    proof = m.SealProof(counter=1, mac=b"p" * 32)
    claim = m.Resume(id=5, session=session, proof=proof, nonce=b"another" * 4)
    user.say(claim)
    asked = host.next(m.Resume)
    assert (asked.proof, asked.nonce, asked.secret) == (proof, nonce, "")
    word = b"w" * 32
    host.say(m.Resumed(id=asked.id, session=session, seq=0, word=word))
    assert user.one(m.Resumed).word == word


def test_no_two_connections_have_one_nonce(world: World) -> None:
    nonces: set[bytes | None] = set()
    for _ in range(3):
        user = world.stranger(m.ClientType.USER)
        user.say(m.Hello(client_type=m.ClientType.USER, version=1))
        nonces.add(user.one(m.HelloAck).nonce)
    assert len(nonces - {None}) == 3


def test_what_comes_with_a_proof_has_a_bound(world: World) -> None:
    host, user = hosted(world), world.user()
    session = held(user, host, keep_s=9.0)
    proof, long = m.SealProof(counter=1, mac=b"p" * 32), m.SealSecret(sealed=b"x" * 100_001)
    user.say(m.Resume(id=5, session=session, proof=proof, seal=long))
    assert user.one(m.Error).code is ErrorCode.BAD_MESSAGE
    assert host.quiet()


# What a policy lets a user do


@pytest.mark.parametrize(
    ("of", "fields", "needed"),
    [
        ("c_apdu", {}, ()),
        ("batch", {}, ()),
        ("reset_req", {}, (Verb.RESET,)),
        ("control", {}, (Verb.CONTROL,)),
        ("get_attribute", {}, (Verb.ATTRIBUTES,)),
        ("set_attribute", {}, (Verb.ATTRIBUTES,)),
        ("end_transaction", {}, ()),
        ("end_transaction", {"resets": True}, (Verb.RESET,)),
        ("reconnect", {}, (Verb.USE,)),
        ("reconnect", {"share": Share.SHARED, "resets": True}, (Verb.SHARE, Verb.RESET)),
    ],
)
def test_a_sealed_request_needs_what_the_one_in_it_needs(
    of: str, fields: dict[str, object], needed: tuple[Verb, ...]
) -> None:
    assert rights.needed_for(sealed("s", of, **fields), Share.EXCLUSIVE) == needed


def given_back(goodbye: m.Detach, *, seal: bool = True, answered: bool = False) -> m.Detach:
    """Return what a card host is told when a user gives back a card without a request open."""
    world = World()
    host, user = hosted(world), world.user()
    if seal:
        session = held(user, host)
    else:
        host.auto = True
        session = user.hold(iccid=ICCID)
        host.auto = False
    if answered:
        user.say(sealed(session))
        host.next(m.Sealed)
        user.say(msgspec.structs.replace(goodbye, session=session))
        host.say(m.SealedResp(id=2, seq=1, session=session, of="r_apdu", box=b"b"))
    else:
        user.say(msgspec.structs.replace(goodbye, session=session))
    return host.next(m.Detach)


def test_a_card_host_is_told_that_a_last_request_was_not_passed_on_and_only_then() -> None:
    last, plain = (m.Detach(id=9, session="", after_answer=each) for each in (True, False))
    assert given_back(last).after_answer
    assert not given_back(plain).after_answer
    assert not given_back(last, seal=False).after_answer
    assert not given_back(last, answered=True).after_answer
