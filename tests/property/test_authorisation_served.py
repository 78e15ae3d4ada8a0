# SPDX-License-Identifier: Apache-2.0
"""
A relay gives each principal what the document says, whatever it asks for and in which form.

Policies, peers, cards, verbs and requests are a table that is drawn; an evaluator that was written
from the document and shares no code with `wsrc` says what each answer is.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

import msgspec
import pytest

from tests.support import policy_table as table
from tests.support.models import authorisation as book
from tests.support.models.authorisation import Verdict
from tests.support.policies import EID, ICCID, UICC
from tests.support.policy_served import (
    COMMAND,
    FEATURES,
    FORBIDDEN,
    GONE,
    Served,
    principal,
    refusal,
    taken,
    use,
)
from tests.support.relay_clients import Peer
from tests.support.relay_world import World, reader
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.policy.reading import read
from wsrc.protocol import messages as m

POLICIES = int(os.environ.get("WSRC_TABLE_POLICIES", "12"))
"""So many policies are drawn, each with a relay of its own."""

SELECTIONS: tuple[dict[str, str], ...] = (
    *({"iccid": iccid} for iccid in table.ICCIDS),
    *({"eid": eid} for eid in (EID, table.OTHER_EID)),
    *({"atr": atr} for atr in table.ATRS),
    *({"label": label} for label in ("BENCH-3", "desk", "vault-1", "*", "none such")),
    *({"reader": name} for name in ("SN-1", "desk READER", "Array A 00 00", "nowhere")),
    *({"any": name} for name in (ICCID[:-1], EID, UICC, "bench-3", "SN-2")),
    {"iccid": ICCID, "label": "bench-3"},
    {"atr": UICC, "reader": "SN-1"},
)  # fmt: skip


def each_of(number: int) -> Iterator[tuple[Served, book.Who]]:
    served = Served(number)
    for who in table.USERS:
        yield served, who


ALL = pytest.mark.parametrize("number", range(POLICIES))


@ALL
def test_13_lists_and_watches_have_what_the_document_gives(number: int) -> None:
    served = Served(number)
    for who in table.USERS:
        user, visible = served.user(who), served.visible(who)
        cards = user.ask(m.ListCards(id=user.new_id()), m.ListCardsAck).cards
        assert {card.reader for card in cards} == {each.shown for each in visible if each.has_card}
        readers = user.ask(m.ListReaders(id=user.new_id()), m.ListReadersAck).readers
        assert {each.reader for each in readers} == {each.shown for each in visible}, served.text
        assert [each.number for each in readers] == list(range(1, len(readers) + 1))
        events = {
            each.shown
            for each in visible
            if served.judge(who, each, m.WatchReaders(id=1)) is Verdict.ALLOWED
        }
        for form in m.ReaderForm:
            user.say(m.WatchReaders(id=user.new_id(), form=form))
            ack = user.one(m.Message)
            if not served.watches(who):
                assert refusal(ack) == FORBIDDEN, (who, served.text)
                continue
            assert isinstance(ack, m.WatchReadersAck)
            assert {each.reader for each in ack.readers or ()} == events, (who, served.text)
        old = served.user(who, first_form=True)
        old.say(m.ListCards())
        known = [each.iccid for each in visible if each.has_card and each.state == "ready"]
        shown = [card.identities.iccid for card in old.one(m.ListCardsAck).cards]
        assert sorted(map(str, shown)) == sorted(map(str, known))


@ALL
def test_13_a_card_is_had_by_whom_the_document_gives_it(number: int) -> None:
    for served, who in each_of(number):
        user = served.user(who)
        for thing in served.things:
            for share in Share:
                select = partial(m.SelectCard, reader=thing.shown, share=share)
                _select(served, who, user, thing, select(id=user.new_id()))
                _select(served, who, user, thing, select(id=user.new_id(), wait_s=5.0))


def _select(
    served: Served, who: book.Who, user: Peer, thing: book.Thing, request: m.SelectCard
) -> None:
    where = who, thing, request, served.text
    verdict, heard = served.judge(who, thing, request), served.heard()
    direct = request.share is Share.DIRECT
    absent = thing.state == "unavailable" if direct else not thing.has_card
    answer = taken(user, request)
    if verdict is Verdict.HIDDEN or absent:
        expected = isinstance(answer, m.Waiting) if request.wait_s else refusal(answer) == GONE
        assert expected, (answer, where)
    elif verdict is Verdict.FORBIDDEN:
        assert refusal(answer) == FORBIDDEN, (answer, where)
    else:
        assert refusal(answer) not in {GONE, FORBIDDEN}, (answer, where)
        if isinstance(answer, m.SelectCardAck):
            use(served, who, user, thing, answer.session or "", request.share)
        return
    assert served.heard() == heard, where


@ALL
def test_13_a_selection_finds_among_what_the_document_gives(number: int) -> None:
    for served, who in each_of(number):
        user, old = served.user(who), served.user(who, first_form=True)
        for conditions in SELECTIONS:
            request = m.SelectCard(id=user.new_id(), **conditions)  # type: ignore[arg-type]
            found = book.selected(served.visible(who), conditions)
            answer = taken(user, request)
            _compare(served, who, found, request, answer)
            if isinstance(answer, m.SelectCardAck):
                user.ask(m.Detach(id=user.new_id(), session=answer.session or ""), m.DetachAck)
            (kind, text), *others = conditions.items()
            if kind in {"iccid", "eid", "atr"} and not others:
                old = _as_at_first(served, who, old, found, m.SelectCard(id_type=kind, id_str=text))


def _compare(
    served: Served,
    who: book.Who,
    found: list[book.Thing],
    request: m.SelectCard,
    answer: m.Message,
) -> None:
    where = who, request, answer, served.text
    if not found:
        assert refusal(answer) == GONE, where
    elif len(found) > 1:
        assert isinstance(answer, m.Error), where
        assert answer.code is ErrorCode.AMBIGUOUS, where
        assert {each.reader for each in answer.candidates} <= {each.shown for each in found}, where
    elif served.judge(who, found[0], request) is Verdict.FORBIDDEN:
        assert refusal(answer) == FORBIDDEN, where
    else:
        assert refusal(answer) not in {GONE, FORBIDDEN}, where


def _as_at_first(
    served: Served, who: book.Who, old: Peer, found: list[book.Thing], request: m.SelectCard
) -> Peer:
    """Select in the first form and reset the card; return a peer that holds none."""
    old.say(request)
    served.world.pass_time(40.0)
    answer = old.one(m.Message)
    if len(found) > 1:
        assert isinstance(answer, m.Error)
        assert answer.code is ErrorCode.AMBIGUOUS
        return old
    _compare(served, who, found, request, answer)
    if not isinstance(answer, m.SelectCardAck):
        return old
    old.say(m.CApdu(command=COMMAND))
    old.one(m.RApdu)
    old.say(m.ResetReq())
    verdict = served.judge(who, found[0], m.ResetReq())
    assert (refusal(old.one(m.Message)) == FORBIDDEN) == (verdict is Verdict.FORBIDDEN)
    old.leave(goodbye=True)
    return served.user(who, first_form=True)


@ALL
def test_13_changes_are_told_to_whom_the_document_gives_them(number: int) -> None:
    served = Served(number)
    watchers = [(who, form, served.user(who)) for who in table.USERS for form in m.ReaderForm]
    for _, form, user in watchers:
        user.say(m.WatchReaders(id=user.new_id(), form=form))
        user.inbox.clear()
    quiet = [served.user(who) for who in table.USERS]
    for thing, host in served.things.items():
        if host is None:
            served.old.leave()
        else:
            host.say(m.ReaderGone(reader=thing.reader))
        for who, form, user in watchers:
            told, user.inbox = user.inbox, []
            verdict = served.judge(who, thing, m.WatchReaders(id=1))
            assert bool(told) == (verdict is Verdict.ALLOWED), (who, thing, served.text)
            if told and form is m.ReaderForm.WSRC:
                (event,) = told
                assert isinstance(event, m.ReaderEvent)
                assert (event.change, event.reader.reader) == (m.Change.REMOVED, thing.shown)
            elif told:
                assert [type(each) for each in told] == [m.ListChange, m.ReaderMark]
        assert all(user.quiet() for user in quiet)


def verdicts(number: int) -> Mapping[Verdict, int]:
    """Return how often each verdict comes of one policy."""
    served = Served(number)
    return Counter(
        served.verdict(who, each, verb)
        for who in table.USERS
        for each in served.things
        for verb in ("use", "share", "direct", "reset", "control", "attributes", "events")
    )


def test_13_the_table_has_enough_of_each_verdict() -> None:
    found = sum((Counter(verdicts(number)) for number in range(POLICIES)), Counter[Verdict]())
    assert all(found[each] > found.total() / 10 for each in Verdict), found
    assert found.total() > 5_000


@pytest.mark.parametrize("owner", table.USERS, ids=lambda who: str(who.name))
def test_13_a_session_goes_on_for_the_name_that_began_it_and_for_no_other(owner: book.Who) -> None:
    """The same name is the same user, whatever its groups."""
    anyone = {"to": ["anyone"], "cards": "*", "may": ["use"]}
    says = {"grant": [anyone], "host": [{"who": ["anyone"], "announces": "*"}]}
    world = World(policy=read(table.written(says), "policy.toml").policy)
    world.card(reader(), name="bench", who="farm", features=FEATURES)
    user = world.user(who=principal(owner))
    taken = user.select(reader="r1", secret="s" * 64, keep_s=60.0)
    assert taken.card is not None
    user.leave()
    resume = m.Resume(
        id=5, session=taken.session or "", secret="s" * 64,
        host=taken.card.host, reader=taken.card.reader,
    )  # fmt: skip
    unknown = msgspec.structs.replace(resume, session="session-99")
    for who in (each for each in table.USERS if each.name != owner.name):
        other = world.user(who=principal(who))
        for asked in (resume, unknown):
            assert other.refused(asked).code is ErrorCode.NO_SUCH_SESSION
        said = [text.decode() for text in other.texts[-2:]]
        assert said[0] == said[1].replace("session-99", resume.session)
    again = book.Who(owner.name, frozenset(("others",)) if owner.name else frozenset())
    assert isinstance(world.user(who=principal(again)).ask(resume, m.Resumed), m.Resumed)
