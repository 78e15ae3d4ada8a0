# SPDX-License-Identifier: Apache-2.0
"""Which guard a card has, by the settings of its host."""

from collections.abc import Callable, Sequence
from functools import partial

from wsrc.card.atr import read_atr
from wsrc.card_client.guarded import GuardedConnection, GuardedDirect
from wsrc.guard.machine import Guard, Orders, Refusal
from wsrc.guard.rules import rule_of
from wsrc.guard.tables import Allowed
from wsrc.guard.tries import Memory
from wsrc.protocol import messages as m
from wsrc.readers.base import Connection, Direct
from wsrc.selection import Filter, keys_of
from wsrc.settings.load import CardClientSettings


class Guards:
    """
    Puts a reader, and the cards in it, behind guards.

    What a guard is for is decided when a session begins, by the names that the card has then.
    What is known of the tries of a card is remembered by its ICCID, else for as long as it stays
    in the reader.

    Args:
        settings: The operator's.
        tell: Is told of each refusal, for which card, and what was refused, without its data.
    """

    def __init__(
        self,
        settings: CardClientSettings,
        tell: Callable[[m.ReaderInfo, Refusal, str], None] = lambda _info, _refusal, _what: None,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._memory = Memory()
        self._tables = [
            (table, number, Filter(m.ListCards(id=0, any=table.cards)))
            for number, table in enumerate(settings.guard, start=1)
        ]

    def card(self, connection: Connection, info: m.ReaderInfo) -> Connection:
        """Return a card, of which `info` is known, behind its guard."""
        guard = self._guard(info, connection.atr)
        if guard is None:
            return connection
        return GuardedConnection(connection, guard, info.name, partial(self._tell, info))

    def reader(self, direct: Direct, info: m.ReaderInfo) -> Direct:
        """Return a reader without a card behind its guard."""
        guard = self._guard(info, bytes(info.atr or b""))
        if guard is None:
            return direct
        return GuardedDirect(direct, guard, info.name, partial(self._tell, info))

    def _guard(self, info: m.ReaderInfo, atr: bytes) -> Guard | None:
        orders = self._orders(info)
        if not orders.guards:
            return None
        facts = read_atr(atr)
        name = info.iccid or f"insertion {info.insertion}"
        return Guard(orders, self._memory.of(name), uicc=facts is not None and facts.uicc)

    def _orders(self, info: m.ReaderInfo) -> Orders:
        names = keys_of(info)
        fitting = [
            (table, number)
            for table, number, which in self._tables
            if table.cards == "*" or which.fits(names)
        ]
        chosen = self._settings
        allowed = _last([table.allow for table, _ in fitting], chosen.guard_allow)
        return Orders(
            profiles=frozenset(_last([t.profile for t, _ in fitting], chosen.guard_profile)),
            allowed=frozenset(allowed),
            rules=tuple(rule_of(table, number) for table, number in fitting if table.is_rule),
            answer=chosen.guard_answer,
            keep_tries=0 if Allowed.PIN_LAST_TRY in allowed else chosen.guard_keep_tries,
        )


def _last(given: Sequence[tuple[str, ...] | None], otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the last table that says something says."""
    return next((each for each in reversed(given) if each is not None), otherwise)
