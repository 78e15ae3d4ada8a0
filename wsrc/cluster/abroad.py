# SPDX-License-Identifier: Apache-2.0
"""
Our users' cards on other nodes: which node is asked, and what becomes of that when it is gone.

Nothing is decided here but where a request goes. What is found nowhere stays with our own relay,
which refuses it or has it wait, and goes to the node where it comes up.
"""

from collections.abc import Callable, Sequence

from wsrc.cluster import items
from wsrc.cluster.errands import (
    TIMER,
    Draining,
    Errand,
    Named,
    Once,
    Routed,
    Traveller,
    answer_open,
    as_sent_on,
    cards_in,
    cards_meant,
    host_key,
    keys_of,
    meant,
    numbers_of,
    picks_any,
    refuse_ambiguous,
    waits,
)
from wsrc.cluster.following import AGAIN, Following
from wsrc.cluster.outside import FIND_S, FIRST_AGAIN_S, Home, Outside
from wsrc.errors import ErrorCode
from wsrc.protocol import codec, messages as m
from wsrc.protocol.conversation import CloseCode
from wsrc.relay import queue, resuming
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState
from wsrc.selection import Key

# Longer than the aim: a request that is looked for, is there, or waits here, and each way between.


class Abroad:
    """
    All that our users have elsewhere.

    Args:
        state: Of our own relay.
        outside: The other nodes.
        arrival: Returns what other nodes are told of a user.
        home: Has our own relay act on a request.
        over: Has it end a session that is interrupted, once its card comes up.
    """

    def __init__(
        self,
        state: RelayState,
        outside: Outside,
        arrival: Callable[[UserPeer], items.Arrive],
        home: Home,
        over: Callable[[UserPeer, str], None],
    ) -> None:
        self._state = state
        self._over = over
        self._outside = outside
        self._arrival = arrival
        self._home = home
        self._travellers: dict[int, Traveller] = {}
        self._asked: dict[int, Errand] = {}
        self._errands: dict[int, Errand] = {}
        self._number = 0
        self._following = Following(outside, self._new_number)

    @property
    def counts(self) -> dict[str, int]:
        """Users, sessions and requests that are elsewhere, and what is followed."""
        travellers = self._travellers.values()
        return {
            "users": sum(1 for each in travellers if each.at),
            "sessions": sum(len(each.sessions) for each in travellers),
            "errands": len(self._errands),
            "followed": len(self._following),
        }

    # What our users say

    def has_session(self, user: int, message: m.Message) -> bool:
        """Return whether a message is of a session elsewhere."""
        traveller = self._travellers.get(user)
        return traveller is not None and m.session_of(message) in traveller.sessions

    def passes(self, user: int, message: m.Message, text: bytes) -> bool:
        """Pass on what belongs to a session elsewhere; return whether it does."""
        traveller = self._travellers.get(user)
        away = traveller.sessions.get(m.session_of(message) or "") if traveller else None
        if away is None or isinstance(message, m.Resume):
            return False
        if message.id is not None and not (away.keep and isinstance(message, m.Forwarded)):
            away.open[message.id] = message
        self._outside.carry(away.node, items.Say(user, text))
        return True

    def takes(self, user: UserPeer, message: m.Message, text: bytes | None, now: float) -> bool:
        """Take what may be for a card elsewhere; return whether it was taken."""
        if isinstance(message, m.Cancel):
            return self._cancels(user, message, now)
        if not isinstance(message, Routed) or message.id is None or self._state.draining:
            return False
        here = self._is_here(user, message)
        if here and not (waits(message) and keys_of(self._state, message)):
            return False
        traveller = self._traveller(user)
        if message.id in traveller.errands:
            why = "A request with this id is not answered yet."
            self._state.refuse(user, message.id, ErrorCode.REQUEST_IN_FLIGHT, why)
            return True
        said = text or codec.encode(message)
        errand = Errand(self._new_number(), traveller, message, said, now)
        self._errands[errand.number] = errand
        traveller.errands[message.id] = errand
        self._begin(errand, now, here=here)
        return True

    def gives_back(self, user: UserPeer, message: m.Message) -> bool:
        """End a session elsewhere that is interrupted; return whether a message wants that."""
        traveller = self._travellers.get(user.number)
        if traveller is None or not isinstance(message, m.Detach):
            return False
        if message.session not in traveller.cut:
            return False
        traveller.cut.discard(message.session)
        for claim in traveller.claims(message.session):
            claim.given_back = True
        self._is_over(user, message.session)
        self._state.send(user, m.DetachAck(id=message.id, session=message.session))
        return True

    def gone(self, user: int, *, goodbye: bool) -> None:
        """Take note that one of our users is gone."""
        traveller = self._travellers.pop(user, None)
        if traveller is None:
            return
        for errand in list(traveller.errands.values()):
            self._forget(errand)
        for node in traveller.at:
            self._outside.carry(node, items.Leave(user, goodbye))

    # What other nodes say

    def is_at(self, user: int, node: str) -> bool:
        """Return whether one of our users is one of a node."""
        traveller = self._travellers.get(user)
        return traveller is not None and node in traveller.at

    def arrives(self, user: UserPeer, node: str) -> None:
        """Have one of our users be one of a node as well."""
        self._arrives(self._traveller(user), node)

    def told(self, node: str, item: items.Tell, message: m.Message, now: float) -> None:
        """Pass on what a node says to one of our users, who is there."""
        traveller = self._travellers[item.link]
        errand = traveller.errands.get(message.id) if message.id is not None else None
        given_up = (node, message.id) in traveller.given_up
        if given_up or not traveller.awaits(errand, node, message):
            self._undo(traveller, node, message)
            return
        if isinstance(message, m.CancelAck):
            traveller.cancels.pop(message.id or 0, None)
        if errand is not None and not isinstance(message, m.Waiting):
            if self._goes_on(errand, message, now):
                return
            self._forget(errand)
            if errand.given_back and isinstance(message, m.Resumed):
                self._given_back(traveller, node, message)
                return
        traveller.note(node, message)
        self._state.send(traveller.user, message, item.text)

    def passed(self, node: str, item: items.Pass) -> UserPeer | None:
        """Return the user to whom what a node has passed on is to be sent as it is."""
        traveller = self._travellers.get(item.link)
        return traveller.user if traveller is not None and node in traveller.at else None

    def has(self, node: str, item: items.Has, now: float) -> None:
        """Take note that a node has what was asked for."""
        errand, followed = self._asked.get(item.number), self._following.key(item.number)
        if followed is not None and self._outside.means(item.key, followed):
            self._came(followed, node, now, item.twins)
        key = errand.questions.get(item.number) if errand is not None else None
        if errand is None or key is None or not self._outside.means(item.key, key):
            return
        if errand.node is not None or errand.at_home:
            errand.others += [node] if node != errand.node else []
        elif item.twins:
            self._unask(errand)
            errand.questions = {}
            self._look(errand, [node, *item.twins], now)
        else:
            self._send(errand, node, now)

    def nobody(self, number: int, now: float) -> None:
        """Take note that no node has what was asked for."""
        errand = self._asked.pop(number, None)
        if errand is None:
            return
        errand.asks.discard(number)
        if not errand.asks and errand.node is None and not errand.at_home:
            self._stays(errand, now)

    def found(self, node: str, item: items.Found, now: float) -> None:
        """Take note of how many cards a node has that are meant."""
        errand = self._asked.get(item.number)
        if errand is None or errand.looked.get(item.number) != node:
            return
        errand.found[node] = item
        self.nobody_left(errand, item.number, now)

    def nobody_left(self, errand: Errand, number: int, now: float) -> None:
        """Decide where a request goes once all nodes have answered."""
        self._asked.pop(number, None)
        errand.asks.discard(number)
        if not errand.asks and errand.node is None and not errand.at_home:
            self._decide(errand, now)

    def heard_of(self, key: Key, node: str, now: float) -> None:
        """
        Send what waits for a card or a host to the node where it is said to have come up.

        Anybody can say so: what waits at another node leaves that only for one that says it itself.
        """
        self._came(key, node, now, None)

    def _came(self, key: Key, node: str, now: float, twins: Sequence[str] | None) -> None:
        """Do so; `twins` are nodes with another card of that number, None where that is hearsay."""
        is_asked = False
        for errand in self._following.errands(key):
            if errand.at_home:
                if self._leaves_home(errand, now):
                    self._send(errand, node, now)
            elif errand.node is None:
                self._send(errand, node, now)
            elif errand.node == node or errand.is_cancelled:
                continue
            elif twins is None:
                is_asked = True
            elif errand.node not in twins:
                self._moves(errand, node, now)
        if is_asked:
            self._following.ask(key)

    def came_home(self, key: Key, now: float) -> None:
        """Have our own relay do what waits elsewhere for a card or a host that has come up here."""
        for errand in self._following.errands(key):
            if not errand.at_home and not errand.is_cancelled:
                if errand.node is not None:
                    self._give_up(errand, errand.node)
                self._stays(errand, now)

    def ask_again(self, now: float) -> None:
        """Ask for what is followed, for another node may hear it now."""
        self._following.soon(now)

    def expired(self, what: tuple[str, int], now: float) -> None:
        """Go on with a request that not all nodes have answered in time, or ask again."""
        kind, number = what
        if kind == AGAIN:
            self._following.expired(number, now)
            return
        errand = self._errands.get(number)
        if errand is None or errand.node is not None or errand.at_home:
            return
        looked = bool(errand.looked)
        if errand.questions and now < errand.until:
            self._ask_anew(errand, now)
            return
        self._unask(errand)
        if looked:
            self._decide(errand, now)
        else:
            self._stays(errand, now)

    def dismissed(self, node: str, item: items.Dismiss, now: float) -> None:
        """
        Take note that a node knows one of our users no more.

        What it was asked is asked of others where it restarts, and is refused otherwise.
        """
        traveller = self._travellers.get(item.link)
        if traveller is None or node not in traveller.at:
            return
        if item.code != CloseCode.RESTARTING:
            full = item.code == CloseCode.TRY_AGAIN_LATER
            code = ErrorCode.TOO_MANY if full else ErrorCode.FORBIDDEN
            for errand in [each for each in traveller.errands.values() if each.node == node]:
                self._forget(errand)
                self._state.refuse(traveller.user, errand.message.id, code, item.reason)
        self._lost(traveller, node, now)

    def down(self, node: str, now: float) -> None:
        """Take note that there is no road to a node any more."""
        for traveller in list(self._travellers.values()):
            if node in traveller.at:
                self._lost(traveller, node, now)
        for errand in list(self._errands.values()):
            for number, asked in list(errand.looked.items()):
                if asked == node and number in errand.asks:
                    self.nobody_left(errand, number, now)

    def answered(self, user: int, message: m.Message) -> bool:
        """Take note of what our own relay tells a user; return whether the user is to be told."""
        traveller = self._travellers.get(user)
        if traveller is None:
            return True
        if message.id is None:
            return m.session_of(message) not in traveller.sessions
        errand = traveller.errands.get(message.id)
        if errand is not None and errand.at_home and not isinstance(message, m.Waiting):
            self._forget(errand)
        return True

    # Where a request goes

    def _is_here(self, user: UserPeer, message: Routed) -> bool:
        """Return whether our own relay has what is meant, for all that need be known."""
        state = self._state
        if isinstance(message, m.Resume):
            if message.session in state.sessions or message.host is None:
                return True
            slots = state.places.of(message.reader) if message.reader is not None else ()
            return any(slot.peer.name == message.host for slot in slots)
        if isinstance(message, Draining):
            return self._outside.serves(host_key(message.host))
        selection = cards_meant(state, message)
        if selection is None:
            return True
        if picks_any(message):
            return meant(state, user, message)[1] > 0
        numbers = numbers_of(selection)
        alone = bool(numbers) and not any(self._outside.twins(key) for key in numbers)
        return alone and meant(state, user, message)[0] > 0

    def _begin(self, errand: Errand, now: float, *, here: bool = False) -> None:
        errand.keys, errand.node, errand.at_home = keys_of(self._state, errand.message), None, False
        errand.others, errand.found, errand.looked, errand.questions = [], {}, {}, {}
        errand.refused = False
        if waits(errand.message):
            for key in errand.keys:
                self._following.enter(key, errand, now)
        if here:
            self._stays(errand, now)
            return
        errand.until, errand.again_s = now + FIND_S, FIRST_AGAIN_S
        twins = [node for key in errand.keys for node in self._outside.twins(key)]
        by_roads = isinstance(errand.message, Named) and not self._outside.hears
        if twins or by_roads or not errand.keys:
            self._look(errand, twins or self._outside.up(), now)
            return
        for key in errand.keys:
            errand.questions[self._ask(errand)] = key
        self._ask_anew(errand, now)

    def _ask_anew(self, errand: Errand, now: float) -> None:
        """Ask who has what is meant, for the first time or because NATS may have lost it."""
        for number in errand.asks:
            self._outside.ask(errand.questions[number], number)
        again_at = now + errand.again_s
        errand.again_s *= 2
        self._outside.until((TIMER, errand.number), min(again_at, errand.until))

    def _look(self, errand: Errand, nodes: Sequence[str], now: float) -> None:
        """Have those of the nodes to which there is a road say how many cards they have."""
        user, up = errand.traveller.user.number, self._outside.up()
        for node in dict.fromkeys(each for each in nodes if each in up):
            self._arrives(errand.traveller, node)
            number = self._ask(errand)
            errand.looked[number] = node
            self._outside.carry(node, items.Look(user, number, errand.text))
        if errand.asks:
            self._outside.until((TIMER, errand.number), errand.until)
        else:
            self._stays(errand, now)

    def _ask(self, errand: Errand) -> int:
        number = self._new_number()
        self._asked[number] = errand
        errand.asks.add(number)
        return number

    def _new_number(self) -> int:
        self._number += 1
        return self._number

    def _decide(self, errand: Errand, now: float) -> None:
        """Choose among the nodes that have what is meant, ours too."""
        message, user = errand.message, errand.traveller.user
        assert isinstance(message, Named)
        selection = cards_meant(self._state, message)
        there = {node: found for node, found in errand.found.items() if found.cards}
        if selection is None or not there:
            self._stays(errand, now)
            return
        if picks_any(message):
            best = max(there, key=lambda node: (there[node].free, there[node].cards))
            self._send(errand, best, now)
            return
        here, _, some = meant(self._state, user, message)
        if len(there) + bool(here) > 1:
            cards = [*some, *(card for each in there.values() for card in cards_in(each))]
            several = here + sum(each.cards for each in there.values())
            self._forget(errand)
            refuse_ambiguous(self._state, errand, selection, several, cards)
        else:
            self._send(errand, next(iter(there)), now)

    def _send(self, errand: Errand, node: str, now: float) -> None:
        """Let a node have a request."""
        self._outside.until((TIMER, errand.number), None)
        self._arrives(errand.traveller, node)
        errand.node, errand.at_home = node, False
        text = as_sent_on(errand, now)
        self._outside.carry(node, items.Say(errand.traveller.user.number, text))

    def _stays(self, errand: Errand, now: float) -> None:
        """Let our own relay have a request, for nobody else can."""
        self._outside.until((TIMER, errand.number), None)
        self._unask(errand)
        errand.node, errand.at_home = None, True
        message = codec.decode(as_sent_on(errand, now))
        self._home(errand.traveller.user, message, None, now)

    def _leaves_home(self, errand: Errand, now: float) -> bool:
        """Withdraw what waits with our own relay; return whether it waited for a card elsewhere."""
        user, id_ = errand.traveller.user, errand.message.id
        waiter, claim = user.waiting.get(id_), user.claims.get(id_)
        if waiter is not None:
            message = errand.message
            if not isinstance(message, m.SelectCard) or meant(self._state, user, message)[0]:
                return False
            queue.give_up(self._state, waiter, now)
        elif claim is not None and claim.peer is None:
            resuming.withdraw(self._state, claim)
        else:
            return False
        return True

    def _moves(self, errand: Errand, node: str, now: float) -> None:
        """Have another node do what waits at one, for the card has come up there."""
        assert errand.node is not None
        self._give_up(errand, errand.node)
        if isinstance(errand.message, m.Resume):
            errand.others.append(errand.node)
        self._send(errand, node, now)

    def _give_up(self, errand: Errand, node: str) -> None:
        """Have a node forget a request, and forget what it answers."""
        traveller, id_ = errand.traveller, errand.message.id or 0
        given_up = codec.encode(m.Cancel(id=id_, target=id_))
        self._outside.carry(node, items.Say(traveller.user.number, given_up))
        traveller.given_up.add((node, id_))

    # What becomes of it

    def _goes_on(self, errand: Errand, message: m.Message, now: float) -> bool:
        """Try elsewhere what a node could not do; return whether that is tried."""
        if not isinstance(message, m.Error):
            return False
        if message.code is ErrorCode.SHUTTING_DOWN:
            errand.refused = True
            return True  # it is sent elsewhere when the node has ended
        unknown = message.code is ErrorCode.NO_SUCH_SESSION
        if isinstance(errand.message, m.Resume) and unknown and errand.others:
            self._send(errand, errand.others.pop(), now)
            return True
        return False

    def _given_back(self, traveller: Traveller, node: str, resumed: m.Resumed) -> None:
        """Give back a session that goes on after its user has given it back."""
        session = resumed.session or ""
        back = codec.encode(m.Detach(id=resumed.id, session=session))
        self._outside.carry(node, items.Say(traveller.user.number, back))
        over = m.SessionEnded(
            id=resumed.id,
            session=session,
            code=ErrorCode.CANCELLED,
            message="The session was given back before it was resumed.",
            seq=resumed.seq,
            answer=resumed.answer,
        )
        self._state.send(traveller.user, over)

    def _undo(self, traveller: Traveller, node: str, message: m.Message) -> None:
        """Give back what a node has given whom another is asked by now."""
        if isinstance(message, m.SelectCardAck) and message.session is not None:
            back = m.Detach(id=message.id, session=message.session)
            self._outside.carry(node, items.Say(traveller.user.number, codec.encode(back)))
        elif isinstance(message, m.CancelAck):
            traveller.given_up.discard((node, message.id or 0))

    def _lost(self, traveller: Traveller, node: str, now: float) -> None:
        """Tell a user what became of sessions with a node that is gone, and ask others."""
        traveller.at.discard(node)
        state, user = self._state, traveller.user
        why = f"The server {node} of the cluster, which had the card, does not answer."
        for session, away in list(traveller.sessions.items()):
            if away.node != node:
                continue
            del traveller.sessions[session]
            is_over = answer_open(state, user, session, away, why) or not away.keep
            if not is_over:
                traveller.cut.add(session)
                state.send(user, m.SessionInterrupted(session=session, message=why))
            elif away.keep:
                self._is_over(user, session)
            else:
                gone = ErrorCode.CARD_CLIENT_GONE
                state.send(user, m.SessionEnded(session=session, code=gone, message=why))
        traveller.given_up = {each for each in traveller.given_up if each[0] != node}
        for id_, errand in list(traveller.cancels.items()):
            if errand.node == node:
                self._cancelled(traveller, id_, errand)
        for errand in list(traveller.errands.values()):
            if errand.node == node and isinstance(errand.message, Once) and not errand.refused:
                self._forget(errand)
                done = f"{why} It may have done what it was asked for."
                state.refuse(user, errand.message.id, ErrorCode.CARD_CLIENT_GONE, done)
            elif errand.node == node:
                self._unask(errand)
                self._begin(errand, now)

    def _is_over(self, user: UserPeer, session: str) -> None:
        """Have a session end that was interrupted, wherever its card comes up."""
        for node in self._outside.up():
            self.arrives(user, node)
            self._outside.carry(node, items.Over(user.number, session))
        self._over(user, session)

    def _cancels(self, user: UserPeer, message: m.Cancel, now: float) -> bool:
        traveller = self._travellers.get(user.number)
        errand = traveller.errands.get(message.target) if traveller is not None else None
        if errand is None or errand.at_home:
            return False
        assert traveller is not None
        if errand.node is None or errand.refused:
            self._cancelled(traveller, message.id or 0, errand)
            return True
        traveller.cancels[message.id or 0] = errand
        self._outside.carry(errand.node, items.Say(user.number, codec.encode(message)))
        return True

    def _cancelled(self, traveller: Traveller, id_: int, errand: Errand) -> None:
        """Answer a `cancel` of an id, and what it means if that is not answered yet."""
        traveller.cancels.pop(id_, None)
        is_open = errand.number in self._errands
        if is_open:
            self._forget(errand)
            why = "The request was cancelled."
            self._state.refuse(traveller.user, errand.message.id, ErrorCode.CANCELLED, why)
        self._state.send(traveller.user, m.CancelAck(id=id_, cancelled=is_open))

    # What is kept

    def _traveller(self, user: UserPeer) -> Traveller:
        traveller = self._travellers.get(user.number)
        if traveller is None:
            traveller = self._travellers[user.number] = Traveller(user)
        return traveller

    def _arrives(self, traveller: Traveller, node: str) -> None:
        if node not in traveller.at:
            traveller.at.add(node)
            self._outside.carry(node, self._arrival(traveller.user))

    def _unask(self, errand: Errand) -> None:
        for number in errand.asks:
            self._asked.pop(number, None)
        errand.asks.clear()

    def _forget(self, errand: Errand) -> None:
        """Strike a request that is answered."""
        self._unask(errand)
        self._outside.until((TIMER, errand.number), None)
        self._errands.pop(errand.number, None)
        errand.traveller.errands.pop(errand.message.id or 0, None)
        if isinstance(errand.message, m.Resume):
            errand.traveller.cut.discard(errand.message.session)
        for key in errand.keys:
            self._following.leave(key, errand)
