# SPDX-License-Identifier: Apache-2.0
"""What the readers of a host are called on the wire: a function of what is plugged in where."""

import logging
from collections.abc import Sequence

import msgspec

ReaderKey = tuple[int, str]
"""Number of a source, and name of the reader there."""

_log = logging.getLogger(__name__)


class _Known(msgspec.Struct, frozen=True):
    name: str
    stable: str
    position: str


class ReaderIds:
    """
    Ids of readers, no two of which are alike.

    A reader is called by its serial number, else by its position and host, else by its name and
    host. A serial number that two readers report is the id of neither, whichever came first: each
    is told from the other by its position, else by its name. It stays so when one of them is
    unplugged, for as long as the card client runs, since nobody knows which one is left.
    A name that readers of two sources have is the id of neither as well: each has the number of
    its source in addition.

    Args:
        host: Name of the card host.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._known: dict[ReaderKey, _Known] = {}
        self._shared: set[str] = set()
        self._alike: set[str] = set()

    def enter(self, reader: ReaderKey, name: str, stable: str, position: str) -> None:
        """
        Enter a reader, or what is now known of it.

        Args:
            reader: Which reader.
            name: Its name at its source.
            stable: See `Reader.stable_id`.
            position: See `Reader.position`.
        """
        self._known[reader] = _Known(name, stable, position)
        alike = [key[0] for key, known in self._known.items() if known.name == name]
        if len(alike) > 1 and name not in self._alike:
            self._alike.add(name)
            called = " and ".join(f"{name}/{source}" for source in sorted(alike))
            _log.warning("Two readers are called %s: by name they are %s", name, called)
        twins = {key: each for key, each in self._known.items() if each.stable == stable}
        if stable != name and len(twins) > 1 and stable not in self._shared:
            self._shared.add(stable)
            self._tell(stable, twins)

    def strike(self, reader: ReaderKey) -> None:
        """Strike a reader that was unplugged."""
        self._known.pop(reader, None)

    def id_of(self, reader: ReaderKey) -> str:
        """Return the id of a reader that was entered."""
        return self._id(reader, self._known[reader])

    def all(self) -> Sequence[tuple[ReaderKey, str]]:
        """Return all readers, each with its id."""
        return [(reader, self._id(reader, known)) for reader, known in self._known.items()]

    def _id(self, reader: ReaderKey, known: _Known) -> str:
        source = f"/{reader[0]}" if known.name in self._alike else ""
        by_name = f"{known.name}{source}@{self._host}"
        if known.stable == known.name:
            return by_name
        of_host = bool(known.position) and known.stable.startswith(known.position)
        if known.stable not in self._shared:
            return f"{known.stable}@{self._host}" if of_host else known.stable
        by_place = f"{known.position}@{self._host}"
        return f"{known.stable}/{by_place if self._is_placed(known) else by_name}"

    def _is_placed(self, known: _Known) -> bool:
        """Return whether its position tells a reader from all that report the same number."""
        places = [k.position for k in self._known.values() if k.stable == known.stable]
        return bool(known.position) and places.count(known.position) == 1

    def _tell(self, stable: str, twins: dict[ReaderKey, _Known]) -> None:
        names = " and ".join(each.name for each in twins.values())
        sure = all(self._is_placed(each) for each in twins.values())
        risk = "" if sure else "; which is which can change when the host or pcscd starts again"
        _log.warning(
            "%s report one serial number, so that neither is %s: they are called %s%s",
            names,
            stable,
            " and ".join(self._id(*each) for each in twins.items()),
            risk,
        )
