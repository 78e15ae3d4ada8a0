# SPDX-License-Identifier: Apache-2.0
"""Peers of both forms do anything in any order; what must hold of their relay holds."""

from collections import Counter

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.support.models.relay import Model
from tests.support.models.relay_peers import LIMITS, Asked, Asker, Host, OldHost, Place, echo_of
from tests.support.models.relay_resuming import FEATURES, Resuming
from tests.support.models.relay_sharing import PICK, SharingRules
from tests.support.relay_world import empty, reader
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.kinds import kind_of

ICCIDS = ("8949020000012345678", "8949020000012345678", "894902000001234567")
UNRELATED = "8949020000099999999"
CHANGES = ("insert", "remove", "mute", "ready", "label", "unplug", "plug")


# Longer than the aim: all that peers may do is one machine.


class RelayMachine(RuleBasedStateMachine, Resuming, SharingRules):
    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Model.__init__(self)

    @initialize(first_form=st.booleans(), old=st.booleans())
    def two_users_and_a_card(self, first_form: bool, old: bool) -> None:
        self.user_comes(first_form=first_form, instance=None)
        self.user_comes(first_form=False, instance=None)
        if old:
            self.old_card_client_comes(ICCIDS[0], channels=True)
        else:
            self.card_client_comes(ICCIDS[0], None)
        self.card_client_comes(UNRELATED, None)
        self.all_answer_well()

    # Peers come and go

    @precondition(lambda self: len(self.hosts) < 3)
    @rule(iccid=st.sampled_from(ICCIDS), instance=st.sampled_from([None, "i1", "i2"]))
    def card_client_comes(self, iccid: str, instance: str | None) -> None:
        self.number += 1
        info = reader(f"r{self.number}", iccid)
        name, instance = f"h{self.number}", instance or f"c{self.number}"
        peer = self.world.card(info, name=name, instance=instance, auto=False, features=FEATURES)
        self.hosts.append(Host(peer, name, instance, {info.reader: Place(info)}))
        self.look()

    @precondition(lambda self: len(self.old_hosts) < 2)
    @rule(iccid=st.sampled_from(ICCIDS), channels=st.booleans())
    def old_card_client_comes(self, iccid: str, channels: bool) -> None:
        peer = self.world.old_card(iccid, auto=False, channels=channels)
        self.old_hosts.append(OldHost(peer))
        self.look()

    @precondition(lambda self: len(self.askers) < 4)
    @rule(first_form=st.booleans(), instance=st.sampled_from([None, "u1", "u2"]))
    def user_comes(self, first_form: bool, instance: str | None) -> None:
        self.number += 1
        name = f"u{self.number}"
        peer = self.world.user(first_form=first_form, name=name, instance=instance)
        peer.count_from(1000 * self.number)
        self.askers.append(Asker(peer))
        self.look()

    @rule(
        at=PICK, what=st.sampled_from(["nothing", "user", "goodbye", "card", "session", "unasked"])
    )
    def something_breaks(self, at: int, what: str) -> None:
        if what in {"user", "goodbye"} and self.askers:
            self.askers[at % len(self.askers)].peer.leave(goodbye=what == "goodbye")
        elif what == "card" and (hosts := [*self.hosts, *self.old_hosts]):
            hosts[at % len(hosts)].peer.leave()
        elif what == "session":
            self.session_ends(ErrorCode.CARD_NOT_PRESENT if at % 2 else ErrorCode.INTERNAL)
        elif what == "unasked":
            self.old_card_client_speaks_unasked()
        self.look()

    # What card clients do on their own

    @precondition(lambda self: self.hosts)
    @rule(
        at=PICK,
        what=st.sampled_from([*["nothing"] * 6, *CHANGES]),
        iccid=st.sampled_from(ICCIDS),
    )
    def reader_changes(self, at: int, what: str, iccid: str) -> None:
        if what == "nothing":
            return
        host = self.hosts[at % len(self.hosts)]
        if what == "plug" or not host.places:
            self.number += 1
            info = reader(f"r{self.number}", iccid)
            if len(host.places) < LIMITS["max_readers_per_card_client"]:
                host.places[info.reader] = Place(info)
            host.peer.report(info)
            self.look()
            return
        name, place = list(host.places.items())[at % len(host.places)]
        if what == "unplug":
            self.end_all(host, host.places.pop(name))
            host.peer.say(m.ReaderGone(reader=name))
            self.look()
            return
        insertion = place.info.insertion
        if what == "insert":
            place.info = reader(name, iccid, insertion=insertion + 1)
            self.other_card(host, place)
        elif what == "remove":
            place.info = empty(name, insertion=insertion)
            self.other_card(host, place)
        else:
            state = m.ReaderState.MUTE if what == "mute" else m.ReaderState.READY
            label = "L" if what == "label" else None
            place.info = reader(name, iccid, insertion=insertion, state=state, label=label)
        host.peer.report(place.info)
        self.look()

    def session_ends(self, code: ErrorCode) -> None:
        for host in self.hosts:
            for place in host.places.values():
                if place.sessions:
                    session = next(iter(place.sessions))
                    self.end_of(host, session)
                    host.peer.say(m.SessionEnded(session=session, code=code, message="It ended."))
                    return

    def old_card_client_speaks_unasked(self) -> None:
        for host in self.old_hosts:
            if host.question is None:
                host.peer.say(m.RApdu(response=Octets(), sw="9000"))
                assert host.peer.closed is not None
                return

    # What card clients answer

    @rule()
    def all_answer_well(self) -> None:
        busy = True
        while busy:
            busy = False
            for host in self.hosts:
                if host.ready:
                    busy = True
                    self.card_client_answers_next(host, "well")
                    break
            for old_host in self.old_hosts:
                if old_host.question is not None:
                    busy = True
                    self.old_card_client_answers_next(old_host, "well")
                    break

    @precondition(lambda self: any(host.ready for host in self.hosts))
    @rule(at=PICK, how=st.sampled_from(["well", "well", "well", "error", "other_kind"]))
    def card_client_answers(self, at: int, how: str) -> None:
        busy = [host for host in self.hosts if host.ready]
        self.card_client_answers_next(busy[at % len(busy)], how)

    def card_client_answers_next(self, host: Host, how: str) -> None:
        asked = host.ready[0]
        host.todo.remove(asked)
        host.done.append(asked)
        if how == "well":
            self.answer(host, asked)
        elif how == "error":
            self.answer_error(host, asked)
        elif isinstance(asked, m.CApdu):
            host.peer.say(m.ResetResp(id=asked.id, session=asked.session))
        else:
            host.todo.insert(0, asked)
        self.look()

    @precondition(lambda self: any(host.done or host.todo for host in self.hosts))
    @rule(at=PICK, how=st.sampled_from(["repeated", "wrong_id", "wrong_session", "foreign"]))
    def card_client_answers_wrongly(self, at: int, how: str) -> None:
        busy = [host for host in self.hosts if host.todo or host.done]
        host = busy[at % len(busy)]
        if how == "foreign":
            self.answer_for_others(host)
            return
        known = host.done if how == "repeated" else host.todo
        asked = known[at % len(known)] if known else None
        match asked:
            case m.CApdu(id=id_, session=session, command=command):
                answer: m.Answer = m.RApdu(
                    id=id_, session=session, response=echo_of(command), sw="9000"
                )
            case m.Sealed(id=id_, session=session, box=box):
                echo = bytes(echo_of(Octets(box)))
                answer = m.SealedResp(id=id_, session=session, of="r_apdu", box=echo)
            case _:
                return
        assert answer.id is not None
        if how == "wrong_id":
            answer = m.RApdu(id=answer.id + 1000, session=session, response=Octets(), sw="6f00")
        elif how == "wrong_session":
            answer = m.RApdu(id=answer.id, session="nobody's", response=Octets(), sw="6f00")
        host.peer.say(answer)
        self.look()

    @precondition(lambda self: any(host.question for host in self.old_hosts))
    @rule(at=PICK, how=st.sampled_from(["well"] * 8 + ["error", "other_kind", "unreadable"]))
    def old_card_client_answers(self, at: int, how: str) -> None:
        busy = [host for host in self.old_hosts if host.question]
        self.old_card_client_answers_next(busy[at % len(busy)], how)

    def old_card_client_answers_next(self, host: OldHost, how: str) -> None:
        question, host.question = host.question, None
        assert question is not None
        if how == "error":
            host.peer.say(m.Error(message="It does not work."))
        elif how == "other_kind":
            wrong = m.RApdu(response=Octets(), sw="9000")
            host.peer.say(m.ResetResp() if isinstance(question, m.CApdu) else wrong)
        elif how == "unreadable":
            host.peer.say_text(b'{"msg_type": "what"}')
        elif isinstance(question, m.CApdu) and question.command in self.owners:
            host.peer.say(m.RApdu(response=echo_of(question.command), sw="9000"))
        else:
            if isinstance(question, m.ResetReq):
                host.dirty = None
            host.peer.answer(question)
        self.look()

    # What users do

    @precondition(lambda self: self.askers)
    @rule(
        at=PICK,
        kind=st.sampled_from(["iccid", "iccid", "any", "label", "reader"]),
        iccid=st.sampled_from(ICCIDS),
        wait_s=st.sampled_from([0.0, 0.0, 4.0, 99.0]),
        share=st.sampled_from([*Share, Share.SHARED, Share.SHARED]),
        keep_s=st.sampled_from([0.0, 3.0, 99.0]),
        prompt=st.booleans(),
    )
    def user_selects(
        self,
        at: int,
        kind: str,
        iccid: str,
        wait_s: float,
        share: Share,
        keep_s: float,
        prompt: bool,
    ) -> None:
        asker = self.askers[at % len(self.askers)]
        readers = [name for host in self.hosts for name in host.places] or ["none"]
        kind = "reader" if share is Share.DIRECT else kind
        value = {"label": "L", "reader": readers[at % len(readers)]}.get(kind, iccid)
        if asker.peer.first_form:
            wait_s = 0.0
            select = m.SelectCard(id_type=kind, id_str=value)
        else:
            select = m.SelectCard(
                id=asker.peer.new_id(),
                wait_s=wait_s,
                share=share,
                secret=f"secret {self.number}",
                keep_s=keep_s,
                **{kind: value},
            )
        limit = max(min(wait_s, LIMITS["wait_max_s"]), LIMITS["settle_s"]) + LIMITS["attach_s"]
        self.ask(asker, select, limit)
        if prompt:
            self.all_answer_well()

    @precondition(lambda self: self.askers)
    @rule(
        at=PICK,
        which=PICK,
        what=st.sampled_from(
            ["c_apdu", "sealed", "c_apdu", "sealed", "batch", "sealed batch", "reset"]
        ),
        prompt=st.booleans(),
    )
    def user_sends_command(self, at: int, which: int, what: str, prompt: bool) -> None:
        asker = self.some_asker(at)
        self.number += 1
        command = Octets(b"\x00\x20\x00\x80\x04" + self.number.to_bytes(4))
        id_ = None if asker.peer.first_form else asker.peer.new_id()
        session = self.some_session(asker, which)
        self.owners[bytes(command)] = f"{asker.peer.number} {session}"
        request: m.Message = m.CApdu(id=id_, session=session, command=command)
        if asker.peer.first_form:
            request = m.CApdu(command=command)
        elif what == "batch":
            request = m.Batch(id=id_, session=session or "", steps=(m.Step(command=command),))
        elif what == "reset":
            request = m.ResetReq(id=id_, session=session)
        elif what.startswith("sealed"):
            of = "batch" if what == "sealed batch" else "c_apdu"
            request = m.Sealed(id=id_, session=session or "", of=of, box=bytes(command))
        runs = isinstance(request, m.CApdu | m.Batch | m.Sealed)
        echo = echo_of(command) if runs else None
        times = 2 if kind_of(request) is m.Batch else 1
        self.ask(asker, request, times * LIMITS["command_s"], echo)
        if prompt:
            self.all_answer_well()

    @precondition(lambda self: any(asker.held for asker in self.askers))
    @rule(at=st.integers(0, 5))
    def user_with_a_card_is_served(self, at: int) -> None:
        for what in ("c_apdu", "sealed"):
            self.user_sends_command(at=at, which=0, what=what, prompt=True)

    @precondition(lambda self: self.askers)
    @rule(at=PICK, which=PICK, what=st.sampled_from(["detach", "cancel", "list_cards", "odd"]))
    def user_does_more(self, at: int, which: int, what: str) -> None:
        asker = self.some_asker(at)
        if asker.peer.first_form:
            if what == "list_cards":
                self.ask(asker, m.ListCards(), 0)
            elif what == "odd":
                self.ask_in_order(asker, Asked(m.Detach(session=""), self.patience(asker, 0)))
                asker.peer.say_text(b'{"msg_type": "what"}')
                self.look()
            return
        id_ = asker.peer.new_id()
        session = self.some_session(asker, which)
        if what == "detach":
            self.ask(asker, m.Detach(id=id_, session=session or ""), 0)
        elif what == "cancel":
            target = list(asker.open)[which % len(asker.open)] if asker.open else which
            limit = 2 * LIMITS["command_s"]
            self.ask(asker, m.Cancel(id=id_, target=target, session=session), limit)
        elif what == "list_cards":
            self.ask(asker, m.ListCards(id=id_), 0)

    @precondition(lambda self: self.askers and self.hosts)
    @rule(at=PICK, forged=st.booleans())
    def command_is_left_without_answer(self, at: int, forged: bool) -> None:
        self.user_selects(
            at=at,
            kind="iccid",
            iccid=ICCIDS[0],
            wait_s=0.0,
            share=Share.EXCLUSIVE,
            keep_s=0.0,
            prompt=True,
        )
        self.user_sends_command(at=at, which=0, what="c_apdu", prompt=False)
        if forged and self.hosts:
            self.answer_for_others(self.hosts[at % len(self.hosts)])
        self.time_passes(seconds=LIMITS["command_s"] + 1.0)

    @rule(seconds=st.sampled_from([0.1, 0.2, 0.5, 0.5, 1.0, 1.0, 2.0, 3.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.world.now + seconds
        while self.world.now < end:
            due = self.world.relay.deadline()
            self.world.pass_time(min(end, due or end) - self.world.now)
            self.look()

    # What must hold

    @invariant()
    def everyone_is_answered_in_time(self) -> None:
        for asker in self.askers:
            for asked in [*asker.open.values(), *asker.order]:
                assert self.world.now <= asked.until, asked

    @invariant()
    def watchers_know_what_there_is(self) -> None:
        cards: Counter[tuple[str | None, str | None]] = Counter()
        listed = self.watcher.ask(m.ListCards(id=9), m.ListCardsAck)
        for card in listed.cards:
            cards[card.host, card.reader] += 1
        assert cards == +self.shown
        told = [shown.card for shown in self.watching._events._shown.values()]
        assert sorted(map(timeless, told)) == sorted(map(timeless, listed.cards))

    @invariant()
    def cards_and_places_are_counted(self) -> None:
        counted, there = self.world.accounts()
        assert counted == there

    @invariant()
    def no_request_waits_where_the_relay_has_none(self) -> None:
        counts = self.world.relay.counts
        assert counts["waiting"] <= LIMITS["max_waiting"]
        assert self.world.relay.in_flight <= counts["sessions"]

    def teardown(self) -> None:
        for peer in [self.watcher, *self.world.peers.values()]:
            if not peer.gone:
                peer.leave()
        assert self.world.leftovers() == {}
        assert self.world.relay.deadline() is None


def timeless(card: m.CardInfo) -> str:
    """Describe a card in full, but for when leases end: each command moves that."""
    leases = [
        lease and msgspec.structs.replace(lease, until=None) for lease in (card.lease, *card.others)
    ]
    return str(msgspec.structs.replace(card, lease=leases[0], others=tuple(leases[1:])))
