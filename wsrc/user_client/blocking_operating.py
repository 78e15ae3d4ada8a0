# SPDX-License-Identifier: Apache-2.0
"""The part of `blocking.Client` that takes cards back and runs a server; twin of `operating`."""

from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeVar, Unpack

from wsrc.card.slot import Pick
from wsrc.protocol.messages import BanInfo, CardUse, HolderInfo, ReservationInfo
from wsrc.user_client import aio, operating
from wsrc.user_client.naming import Filters
from wsrc.user_client.operating import Peers
from wsrc.user_client.reserving import Reserved

T = TypeVar("T")


class Call(Protocol):
    """Runs a coroutine in the thread of a client, and waits for its end."""

    def __call__(self, doing: Coroutine[Any, Any, T], /) -> T:
        """Return its result."""
        ...


class OperatorCalls:
    """What a client can ask about those who use cards; see `operating.OperatorCalls`."""

    _client: aio.Client

    def _call(self, doing: Coroutine[Any, Any, T]) -> T:
        raise NotImplementedError

    def who(
        self,
        *,
        free: bool = False,
        busy: bool = False,
        holder: str | None = None,
        **filters: Unpack[Filters],
    ) -> list[CardUse]:
        """See `aio.Client.who`."""
        return self._call(self._client.who(free=free, busy=busy, holder=holder, **filters))

    def revoke(
        self, *, why: str = "", holder: str | None = None, **which: Unpack[Filters]
    ) -> list[HolderInfo]:
        """See `aio.Client.revoke`."""
        return self._call(self._client.revoke(why=why, holder=holder, **which))

    def reserve(
        self,
        for_s: float,
        *,
        begins: datetime | None = None,
        pick: Pick = Pick.ONE,
        priority: int = 0,
        **which: Unpack[Filters],
    ) -> Reserved:
        """See `aio.Client.reserve`."""
        made = self._client.reserve(for_s, begins=begins, pick=pick, priority=priority, **which)
        return self._call(made)

    def reservations(self, *, token: str | None = None) -> list[ReservationInfo]:
        """See `aio.Client.reservations`."""
        return self._call(self._client.reservations(token=token))

    def cancel_reservation(self, number: int | None = None, *, token: str | None = None) -> int:
        """See `aio.Client.cancel_reservation`."""
        return self._call(self._client.cancel_reservation(number, token=token))

    @property
    def admin(self) -> "Admin":
        """What the operator of a server can do."""
        return Admin(self._client, self._call)


class Admin:
    """What the operator of a server can do; see `aio.Admin`."""

    def __init__(self, client: aio.Client, call: Call) -> None:
        self._client = client
        self._call = call

    @property
    def _admin(self) -> operating.Admin:
        return self._client.admin

    def peers(self) -> Peers:
        """See `aio.Admin.peers`."""
        return self._call(self._admin.peers())

    def kick(
        self, peer: int, *, instance: str | None = None, end: bool = False, why: str = ""
    ) -> int:
        """See `aio.Admin.kick`."""
        return self._call(self._admin.kick(peer, instance=instance, end=end, why=why))

    def ban(self, who: str, *, for_s: float = 3600.0, why: str = "") -> BanInfo:
        """See `aio.Admin.ban`."""
        return self._call(self._admin.ban(who, for_s=for_s, why=why))

    def unban(self, who: str) -> tuple[str, ...]:
        """See `aio.Admin.unban`."""
        return self._call(self._admin.unban(who))

    def bans(self) -> list[BanInfo]:
        """See `aio.Admin.bans`."""
        return self._call(self._admin.bans())

    def drain(self, host: str, *, wait_s: float = 0.0, why: str = "") -> int:
        """See `aio.Admin.drain`."""
        return self._call(self._admin.drain(host, wait_s=wait_s, why=why))

    def undrain(self, host: str) -> None:
        """See `aio.Admin.undrain`."""
        self._call(self._admin.undrain(host))

    def stop(self, *, why: str = "") -> None:
        """See `aio.Admin.stop`."""
        self._call(self._admin.stop(why=why))
