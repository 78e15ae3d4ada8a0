# SPDX-License-Identifier: Apache-2.0
"""
What must hold of a night, found in what independent witnesses say of it.

The witnesses are the users, the cards, the audit log of the server and those of the card hosts.
A line of an audit log is the object that it is. Somebody who was told to wait is overtaken by
whoever asked after that for the same and was given a card first. The order is promised among those
who are connected to one run of a server: what the loss of a connection interrupts is asked for
again, and has its old place among those who are there by then.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from tests.soak import night_events as told

# Longer than the aim: all that is compared, one check after the other.

Line = dict[str, Any]

FRESH = "63c3"
"""What a card answers after a reset to who asks for the tries of its PIN, which are all left."""

PUSHED_OUT = "Another session began."
"""Why a card host ends a session where its server gives the card to two who do not share it."""

TORN_S = 1.0
"""A server that is killed may not have written what happened in the last moment."""

SLACK_S = 0.3
"""How much a time may be wrong of something that was asked for again after a restart."""


class Down(NamedTuple):
    """When there was no server, in seconds of UTC, and whether it was killed."""

    begin: float
    end: float
    killed: bool


class Evidence(NamedTuple):
    """
    All that is known of a night; `killed` programs of users may have told not all.

    `kinds` has the kind of each card by its ICCID.
    """

    kinds: dict[str, str]
    events: list[told.Event]
    server: list[Line]
    hosts: dict[str, list[Line]]
    downs: list[Down]
    killed: int


class Figures(NamedTuple):
    """What happened, in numbers."""

    takes: int
    any: int
    shared: int
    waits: int
    given_up: int
    refused: int
    revokes: int
    allowed: int
    lent: int
    reserved: int
    by_token: int
    pulled: int
    drains: int
    crashes: int
    restarts: int
    commands: int
    pairs: int
    violations: int


class Session(NamedTuple):
    """A session as its user knows it."""

    asked: told.Asked
    took: told.Took


class Wait(NamedTuple):
    """A request for a card as its user knows it; times are infinite where nothing was told."""

    asked: told.Asked
    waits: tuple[float, ...]
    took: told.Took | None
    end: float


def judge(evidence: Evidence) -> tuple[Figures, list[str]]:
    """Return what happened, and what must not have, in sentences."""
    this = _Night(evidence)
    faults = [fault for check in _CHECKS for fault in check(this)]
    return this.figures(len(faults)), faults


class _Night:
    """Evidence, sorted by what it is looked for."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.waits = _requests(evidence.events)
        self.stories: dict[str, list[str]] = defaultdict(list)
        for took in self.of(told.Took):
            self.stories[took.user].append(took.session)
        self.found = {each.session: each for each in self.of(told.Found)}
        self.lost = {each.session: each for each in self.of(told.Lost)}
        self.totals = {each.iccid: each.total for each in self.of(told.Total)}
        self.sums: dict[str, list[int]] = defaultdict(list)
        for counted in self.of(told.Counted):
            self.sums[counted.session].append(counted.total)
        self.doubted = Counter(each.session for each in self.of(told.Doubted))
        self.guests: dict[str, set[str]] = defaultdict(set)
        for allowed in self.of(told.Allowed):
            self.guests[allowed.session].add(allowed.guest)
        self.sessions = {
            each.took.session: Session(each.asked, each.took)
            for each in self.waits
            if each.took is not None
        }
        self._connected: dict[str, list[float]] = defaultdict(list)
        for line in evidence.server:
            if line["event"] == "connected":
                self._connected[line.get("principal", "")].append(_at(line))
        self.server = [line for line in evidence.server if line["event"] in _OF_SESSIONS]
        for line in self.server:
            if line["event"] == "session_turned" and "may be shared by " in line["turn"]:
                names = line["turn"].rpartition(" by ")[2]
                self.guests[line["session"]].update(names.split(", "))

    def there_since(self, user: str, at: float) -> float:
        """Return since when a user was connected to the server that there was at a time."""
        downs = (down.end for down in self.evidence.downs if down.begin <= at)
        again = (each for each in self._connected[user][1:] if each <= at)
        return max((*downs, *again), default=0.0)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.evidence.events if isinstance(event, kind)]

    def figures(self, violations: int) -> Figures:
        ended = self.of(told.Ended)
        taken = self.sessions.values()
        return Figures(
            takes=len(taken),
            any=sum(1 for each in taken if each.asked.kind),
            shared=sum(1 for each in taken if each.asked.share == "shared"),
            waits=sum(1 for each in self.waits if each.waits),
            given_up=sum(1 for each in ended if each.code == "given_up"),
            refused=sum(1 for each in ended if each.code != "given_up"),
            revokes=len(self.of(told.Revoked)),
            allowed=len(self.of(told.Allowed)),
            lent=len(self.of(told.Lent)),
            reserved=len(self.of(told.Reserved)),
            by_token=sum(1 for each in taken if each.asked.reservation),
            pulled=len(self.of(told.Pulled)),
            drains=len(self.of(told.Drained)),
            crashes=self.evidence.killed,
            restarts=len(self.evidence.downs),
            commands=len(self.of(told.Counted)),
            pairs=sum(1 for _ in _rivals(self)),
            violations=violations,
        )


_OF_SESSIONS = frozenset(("took", "gave_back", "session_turned", "started"))


def _requests(events: list[told.Event]) -> list[Wait]:
    """Return what users asked for, and what came of it."""
    asked: dict[tuple[str, int], told.Asked] = {}
    waits: dict[tuple[str, int], list[float]] = defaultdict(list)
    ends: dict[tuple[str, int], told.Took | told.Ended] = {}
    for event in events:
        match event:
            case told.Asked():
                asked[event.user, event.number] = event
            case told.Waits():
                waits[event.user, event.number].append(event.at)
            case told.Took() | told.Ended():
                ends[event.user, event.number] = event
            case _:
                pass
    return [_wait(each, waits[key], ends.get(key)) for key, each in asked.items()]


def _wait(asked: told.Asked, waits: list[float], end: told.Took | told.Ended | None) -> Wait:
    took = end if isinstance(end, told.Took) else None
    return Wait(asked, tuple(waits), took, end.at if end is not None else asked.at)


def _at(line: Line) -> float:
    return datetime.fromisoformat(line["at"]).timestamp()


def _principal(line: Line) -> str:
    """Return whose a line is; a card host knows only how a server shows them."""
    who = line["who"]
    return str(who.get("principal") or who["name"]).partition(" ")[0]


def _nothing_broke(this: _Night) -> Iterator[str]:
    for broke in this.of(told.Broke):
        yield f"{broke.user} met what must not be: {broke.why}"


def _one_holder(this: _Night) -> Iterator[str]:
    """Say where a card had two holders who do not share it, as its host or the server says."""
    logs = {**this.evidence.hosts, "server": this.server}
    for name, lines in logs.items():
        had: dict[str, dict[str, Line]] = defaultdict(dict)
        where: dict[str, Line] = {}
        for line in lines:
            if line["event"] == "started":
                had.clear()
            elif line["event"] == "took":
                where[line["session"]] = line
                yield from _beside(this, name, had[line["card"]["iccid"]], line)
                had[line["card"]["iccid"]][line["session"]] = line
            elif line["event"] == "gave_back":
                for sessions in had.values():
                    sessions.pop(line["session"], None)
            elif line["event"] == "session_turned" and "came back with" in line["turn"]:
                took = where.get(line["session"])
                if took is not None:
                    had[took["card"]["iccid"]][line["session"]] = took


def _beside(this: _Night, log: str, had: dict[str, Line], line: Line) -> Iterator[str]:
    guest = _principal(line)
    for session, other in had.items():
        guests = this.guests.get(session)
        if line["share"] == "shared" and guests is not None and guest not in guests:
            let = f"that {_principal(other)} lets only {sorted(guests)} share"
            yield f"{log}: {guest} took {line['card']['iccid']} in {line['session']}, {let}"
        elif line["share"] != "shared" or (other["share"] != "shared" and guests is None):
            both = f"{session} of {_principal(other)} and {line['session']} of {guest}"
            yield f"{log}: the card {line['card']['iccid']} has two holders: {both}"


def _none_is_pushed_out(this: _Night) -> Iterator[str]:
    """Say which session a card host ended as it was told to begin another on its card."""
    for name, lines in this.evidence.hosts.items():
        for line in lines:
            if line["event"] == "gave_back" and line.get("why") == PUSHED_OUT:
                who = _principal(line)
                yield f"{name}: {who} lost {line['card']['iccid']} in {line['session']} to another"


def _ends_are_told(this: _Night) -> Iterator[str]:
    """Say which session a card host does not say to have ended; all have, at the end."""
    for name, lines in this.evidence.hosts.items():
        took = {line["session"] for line in lines if line["event"] == "took"}
        gave = {line["session"] for line in lines if line["event"] == "gave_back"}
        for session in sorted(took ^ gave):
            yield f"{name}: session {session} was begun or ended, and not both"


def _cards_agree(this: _Night) -> Iterator[str]:
    """Say where a card has not counted as its users were told, or for two at a time."""
    spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    counted: dict[str, list[int]] = defaultdict(list)
    doubts: dict[str, int] = defaultdict(int)
    for session, given in this.sessions.items():
        iccid, sums, found = given.took.iccid, this.sums[session], this.found.get(session)
        counted[iccid] += sums
        doubts[iccid] += this.doubted[session]
        if found is None or session in this.guests:
            continue
        if found.pin != FRESH:
            yield f"session {session} got a card that was not fresh: {found.pin}"
        for before, after in pairwise([found.total, *sums]):
            if after != before + 1:
                yield f"card {iccid} in {session} counted from {before} to {after}"
        spans[iccid].append((found.total, found.total + len(sums), session))
    for iccid, mine in spans.items():
        for (_, end, first), (begin, _, second) in pairwise(sorted(mine)):
            if begin < end:
                yield f"card {iccid} counted for {first} and {second} at a time"
    for iccid, sums in counted.items():
        if len(set(sums)) != len(sums):
            yield f"card {iccid} gave one sum to two"
        unheard = this.totals.get(iccid, -1) - len(sums)
        if not 0 <= unheard <= doubts[iccid] + this.evidence.killed:
            yield f"card {iccid} says {this.totals.get(iccid)}, its users {len(sums)}"


def _revokes_agree(this: _Night) -> Iterator[str]:
    """Say which revoke is not in the audit log, or was not told to the holder, or never was."""
    operated = {line.get("why") for line in this.evidence.server if line.get("did") == "revoke"}
    ended = {line["session"]: line["why"] for line in this.server if line["event"] == "gave_back"}
    taken = {line["session"] for line in this.server if line["event"] == "took"}
    denied = {line["why"] for line in this.evidence.server if line["event"] == "denied"}
    for revoked in this.of(told.Revoked):
        if revoked.why not in operated:
            yield f"the audit log does not have the revoke {revoked.why!r}"
        for session in revoked.sessions:
            never_had = session not in taken and any(revoked.why in why for why in denied)
            if not never_had and not ended.get(session, "").endswith(f": {revoked.why}."):
                yield f"session {session} was revoked, and ended with {ended.get(session)!r}"
            lost = this.lost.get(session)
            if lost is not None and lost.code == "revoked" and revoked.why not in lost.why:
                yield f"session {session} was revoked, its user was told {lost.why}"
    for session, lost in this.lost.items():
        if lost.code == "revoked" and "Revoked by" not in ended.get(session, ""):
            yield f"{lost.user} was told of a revoke of {session} that is not in the audit log"


def _stories_agree(this: _Night) -> Iterator[str]:
    """Say whose story the audit logs tell otherwise, or not at all."""
    at_host = {
        line["session"]: line
        for lines in this.evidence.hosts.values()
        for line in lines
        if line["event"] == "took"
    }
    at_server: dict[str, list[str]] = defaultdict(list)
    for line in this.server:
        if line["event"] == "took":
            at_server[_principal(line)].append(line["session"])
    for user, sessions in this.stories.items():
        for session in sessions:
            line, took = at_host.get(session), this.sessions[session].took
            if line is None:
                yield f"{user} had session {session}, of which no card host knows"
            elif (line["card"]["iccid"], _principal(line)) != (took.iccid, user):
                yield f"{user} had {took.iccid} in {session}, its host says {line}"
        known = [each for each in sessions if not _torn(this, this.sessions[each].took.at)]
        places = {session: place for place, session in enumerate(at_server[user])}
        seen = [places.get(session, -1) for session in known]
        if -1 in seen or seen != sorted(seen):
            yield f"{user} tells {known}, the audit log of the server {at_server[user]}"
    hosts = set(at_host)
    for user, sessions in at_server.items():
        for session in sessions:
            if session not in hosts:
                yield f"the server says that {user} took {session}, and no card host does"


def _torn(this: _Night, at: float) -> bool:
    return any(d.killed and d.begin - TORN_S <= at <= d.end for d in this.evidence.downs)


class Rivals(NamedTuple):
    """One who was told to wait, and one who asked for the same later."""

    first: Wait
    second: Wait


def _rivals(this: _Night) -> Iterator[Rivals]:
    """Yield who competed for a card, of whom the second has got it."""
    got = [each for each in this.waits if each.took is not None]
    kinds = this.evidence.kinds
    for first in this.waits:
        if not first.waits:
            continue
        for second in got:
            assert second.took is not None
            since = max((at for at in first.waits if at < second.took.at), default=None)
            if since is None or first is second or second.took.at <= first.waits[0]:
                continue
            if not _same(first, second.took.iccid, kinds):
                continue
            begun = this.there_since(first.asked.user, second.took.at)
            told_there = [at for at in first.waits if at >= begun]
            asked_before = first.waits[0] < second.asked.at - SLACK_S * (begun > 0.0)
            if told_there and told_there[0] < second.asked.at and asked_before:
                yield Rivals(first, second)


def _same(first: Wait, iccid: str, kinds: dict[str, str]) -> bool:
    """Return whether who waits would have had a card."""
    kind = kinds.get(iccid, "")
    wanted = first.asked.iccid == iccid or (bool(kind) and first.asked.kind == kind)
    return wanted and told.sees(first.asked.user, kind)


def _queue_order(this: _Night) -> Iterator[str]:
    """
    Say who was overtaken: told to wait before another asked, who had the card first.

    Who joins a card that is shared, or was lent or opened to them, waits for nobody; and who waits
    for any card does not wait for one that others share.
    """
    invited = {(each.to, each.session) for each in this.of(told.Lent)}
    invited |= {(guest, session) for session, guests in this.guests.items() for guest in guests}
    had = {session: each.took.iccid for session, each in this.sessions.items()}
    favoured = {(user, had.get(session)) for user, session in invited}
    times = _Granted(this)
    for first, second in _rivals(this):
        assert second.took is not None
        if second.asked.reservation:
            continue  # whoever has the token waits for nobody
        if second.asked.share == "shared" or (second.asked.user, second.took.iccid) in favoured:
            continue
        theirs = times.at_latest(second)
        if theirs is not None and theirs < times.waited_until(first):
            who = f"{first.asked.user} waited since {first.waits[0]:.3f}"
            other = f"{second.asked.user} asked at {second.asked.at:.3f}"
            had = f"and was given {second.took.iccid} at {theirs:.3f}"
            yield f"{who}, {other}, {had}: {first} {second}"


def _reserved_alone(this: _Night) -> Iterator[str]:
    """
    Say to whom a card was given in the time that it was reserved for another.

    Who was about to have it when that time began loses it at once, as the audit log says. A card of
    which any would do is another one where the token took another.
    """
    cancelled = {each.number: each.at for each in this.of(told.Cancels)}
    why = {line["session"]: line["why"] for line in this.server if line["event"] == "gave_back"}
    by_token = {session for session, each in this.sessions.items() if each.asked.reservation}
    for kept in this.of(told.Reserved):
        begin = max(kept.begins + 1.0, kept.at)
        end = min(kept.ends, cancelled.get(kept.number, kept.ends))
        for line in this.server if not kept.any else ():
            given = line["event"] == "took" and line["card"].get("iccid") == kept.iccid
            if not given or not begin < _at(line) < end or line["session"] in by_token:
                continue
            of_owner = _principal(line) == kept.user and this.evidence.killed
            if not of_owner and "reserved for another" not in why.get(line["session"], ""):
                times = f"from {kept.begins:.0f} until {end:.3f}"
                yield f"{_principal(line)} took {kept.iccid}, which {kept.user} had {times}: {line}"


def _reservations_are_kept(this: _Night) -> Iterator[str]:
    """Say which reservation was lost: not listed to whose it is, or not known when it was used."""
    cancelled = {each.number: each.at for each in this.of(told.Cancels)}
    kept = {each.number: each for each in this.of(told.Reserved)}
    mine: dict[str, list[told.Reserved]] = defaultdict(list)
    for each in kept.values():
        mine[each.user].append(each)
    for listed in this.of(told.Listed):
        for each in mine[listed.user]:
            end = min(each.ends, cancelled.get(each.number, each.ends))
            if each.at <= listed.at and listed.until < end and each.number not in listed.numbers:
                yield f"{each.user} is not told of reservation {each.number} any more: {each}"
    for wait in this.waits:
        known = kept.get(wait.asked.reservation)
        if known is None or wait.took is not None or wait.end >= known.ends:
            continue
        for ended in this.of(told.Ended):
            same = (ended.user, ended.number) == (wait.asked.user, wait.asked.number)
            if same and ended.code == "no_such_reservation":
                yield f"reservation {known.number} of {known.user} is not known: {ended.why}"


class _Granted:
    """
    When cards were given, as far as it is certain.

    The server says how long each request waited, counted from when it came; that was after the user
    had asked, and before the user was told to wait. A card host tells of it somewhat later.
    """

    def __init__(self, this: _Night) -> None:
        logs = this.evidence.hosts.values()
        took = [line for lines in logs for line in lines if line["event"] == "took"]
        self._at_host = {line["session"]: _at(line) for line in took}
        self._waited: dict[str, float] = {
            line["session"]: line.get("waited_s", 0.0)
            for line in this.server
            if line["event"] == "took"
        }

    def at_latest(self, given: Wait) -> float | None:
        """Return before which time somebody was given a card, None where that is not known."""
        assert given.took is not None
        session = given.took.session
        at_host, waited = self._at_host.get(session), self._waited.get(session)
        if at_host is None or waited is None:
            return at_host
        return min(at_host, given.waits[0] + waited) if given.waits else at_host

    def waited_until(self, given: Wait) -> float:
        """Return until which time somebody waited for certain."""
        waited = None if given.took is None else self._waited.get(given.took.session)
        return max(given.waits) if waited is None else given.asked.at + waited


_CHECKS = (
    _nothing_broke,
    _one_holder,
    _none_is_pushed_out,
    _ends_are_told,
    _cards_agree,
    _revokes_agree,
    _stories_agree,
    _queue_order,
    _reserved_alone,
    _reservations_are_kept,
)
