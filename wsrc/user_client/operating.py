# SPDX-License-Identifier: Apache-2.0
"""The part of `aio.Client` that tells who has which card, takes cards back, and runs a server."""

from typing import NamedTuple, TypeVar, Unpack

from wsrc.protocol import messages as m
from wsrc.protocol.messages import BanInfo, CardUse, DrainedHost, HolderInfo, PeerInfo
from wsrc.user_client.core import arguments
from wsrc.user_client.core.listed import Listed, missing
from wsrc.user_client.core.requests import Requests
from wsrc.user_client.naming import Filters
from wsrc.user_client.reserving import ReservationCalls

A = TypeVar("A", bound=m.Message)


class Peers(NamedTuple):
    """
    The connections of a server, which are known by their numbers in this run of it alone.

    `unanswered` are servers of its cluster whose connections are missing, for they did not answer
    in time, or do not let us see them. `drained` are the hosts on whose cards no session begins,
    connected or not.
    """

    peers: tuple[PeerInfo, ...]
    instance: str
    unanswered: tuple[str, ...] = ()
    drained: tuple[DrainedHost, ...] = ()


class OperatorCalls(ReservationCalls):
    """What a client can ask about those who use cards; `admin` is for who runs the server."""

    async def who(
        self,
        *,
        free: bool = False,
        busy: bool = False,
        holder: str | None = None,
        **filters: Unpack[Filters],
    ) -> Listed[CardUse]:
        """
        Return who has the cards that all filters match, and who waits for them.

        Args:
            free: Only cards that nobody has.
            busy: Only cards that somebody has.
            holder: Only cards of this principal or name; `*` stands for any text.
            filters: Which cards.

        Raises:
            ConnectionLostError: If the connection is lost or the server does not answer in time.
            WsrcError: If the server does not know of this.
        """
        request = m.Who(
            free=arguments.flag(free, "free"),
            busy=arguments.flag(busy, "busy"),
            holder=None if holder is None else arguments.text(holder, "holder"),
            **arguments.filters(filters),
        )
        pages = await self._connection.requests.pages(request, self._timeout_s)
        acks = [page for page in pages if isinstance(page, m.WhoAck)]
        found = Listed(use for page in acks for use in page.cards)
        found.unanswered = missing(acks)
        return found

    async def revoke(
        self, *, why: str = "", holder: str | None = None, **which: Unpack[Filters]
    ) -> list[HolderInfo]:
        """
        Take one card from those who have it, and return who that was; it goes on to who waits.

        They are told who took it, and why. It is not asked for again where the connection is lost
        before the answer: somebody else may have the card by then.

        Args:
            why: What the holders are told, at most 200 characters.
            holder: Take it from this principal or name alone; `*` stands for any text.
            which: The card; exactly one must match.

        Raises:
            NoSuchCardError: If no card matches.
            AmbiguousCardError: If several do.
            RefusedError: If we may not.
            ConnectionLostError: If it is not known whether it was done.
        """
        request = m.Revoke(
            why=arguments.text(why, "why"),
            holder=None if holder is None else arguments.text(holder, "holder"),
            **arguments.filters(which),
        )
        answer = await self._connection.requests.ask(request, self._timeout_s, once=True)
        assert isinstance(answer, m.RevokeAck)
        return list(answer.holders)

    @property
    def admin(self) -> "Admin":
        """What the operator of a server can do."""
        return Admin(self._connection.requests, self._timeout_s)


class Admin:
    """
    What the operator of a server can do, on the connection of a client; `Client.admin` makes it.

    Every method raises RefusedError if we are no operator of the server, and ConnectionLostError
    if the connection is lost or the server does not answer in time.
    """

    def __init__(self, requests: Requests, timeout_s: float) -> None:
        self._requests = requests
        self._timeout_s = timeout_s

    async def peers(self) -> Peers:
        """
        Return the connections of the server that have said hello, the oldest first.

        Of several servers they are those of one after the other.
        """
        found, after, instance = list[PeerInfo](), 0, ""
        unanswered, drained = dict[str, None](), dict[DrainedHost, None]()
        while True:
            ack = await self._ask(m.ListPeers(after=after), m.ListPeersAck)
            if instance not in {"", ack.instance}:
                found, after, instance = [], 0, ""  # the server was started anew meanwhile
                drained.clear()
                continue
            found, instance = [*found, *ack.peers], ack.instance
            unanswered |= dict.fromkeys(ack.unanswered)
            drained |= dict.fromkeys(ack.drained)
            if ack.next is None or ack.next <= after:
                return Peers(tuple(found), instance, tuple(unanswered), tuple(drained))
            after = ack.next

    async def kick(
        self, peer: int, *, instance: str | None = None, end: bool = False, why: str = ""
    ) -> int:
        """
        Close a connection, and return how many sessions it had; the client may come back.

        It is not asked for again where the connection is lost before the answer.

        Args:
            peer: Its number.
            instance: That of `Peers`, so that no other is closed after a restart of the server.
            end: Whether its sessions end first, or those on its cards; else they are resumed.
            why: What the client is told, at most 200 characters.

        Raises:
            RefusedError: If there is no such connection.
        """
        request = m.Kick(
            peer=arguments.whole(peer, "peer"),
            instance=None if instance is None else arguments.text(instance, "instance"),
            end=arguments.flag(end, "end"),
            why=arguments.text(why, "why"),
        )
        return (await self._ask(request, m.KickAck, once=True)).sessions

    async def ban(self, who: str, *, for_s: float = 3600.0, why: str = "") -> BanInfo:
        """
        Let a principal or an address in no more for a time, and return the ban.

        Its connections are closed and its sessions end. Of several servers `unanswered` names
        those that did not do it.

        Args:
            who: A principal, or an IP address, of which one of IPv6 counts as its /64.
            for_s: For how long, more than 0 and at most a year.
            why: What they are told, at most 200 characters.

        Raises:
            RefusedError: If that is ourselves.
        """
        request = m.Ban(
            who=arguments.text(who, "who"),
            for_s=arguments.number(for_s, "for_s"),
            why=arguments.text(why, "why"),
        )
        return (await self._ask(request, m.BanAck)).ban

    async def unban(self, who: str) -> tuple[str, ...]:
        """
        Let somebody in again; return the servers of a cluster that did not do it.

        Raises:
            RefusedError: If they are not banned.
        """
        return (await self._ask(m.Unban(who=arguments.text(who, "who")), m.UnbanAck)).unanswered

    async def bans(self) -> list[BanInfo]:
        """Return who is not let in for now, the oldest ban first."""
        return list((await self._ask(m.ListBans(), m.ListBansAck)).bans)

    async def drain(self, host: str, *, wait_s: float = 0.0, why: str = "") -> int:
        """
        Have no session begin on the cards of a host; return how many there still are.

        They go on. It is so until `undrain`, whether or not the host is connected.

        Args:
            host: As users see it.
            wait_s: How long to wait until no session is left; the server has a limit.
            why: What those are told who want a card, at most 200 characters.

        Raises:
            RefusedError: If no host is called so.
        """
        wait_s = arguments.number(wait_s, "wait_s")
        host, why = arguments.text(host, "host"), arguments.text(why, "why")
        request = m.Drain(host=host, wait_s=wait_s, why=why)
        return (await self._ask(request, m.DrainAck, wait_s)).sessions

    async def undrain(self, host: str) -> None:
        """
        Let the cards of a host be had again.

        Raises:
            RefusedError: If it is not drained.
        """
        await self._ask(m.Undrain(host=arguments.text(host, "host")), m.UndrainAck)

    async def stop(self, *, why: str = "") -> None:
        """End the server, as SIGTERM does; the connection is lost then."""
        await self._ask(m.Stop(why=arguments.text(why, "why")), m.StopAck, once=True)

    async def _ask(
        self, request: m.Operator, kind: type[A], more_s: float = 0.0, *, once: bool = False
    ) -> A:
        answer = await self._requests.ask(request, self._timeout_s + more_s, once=once)
        assert isinstance(answer, kind)
        return answer
