# SPDX-License-Identifier: Apache-2.0
"""A PC/SC service in memory, with the calls of pyscard's module `smartcard.scard`."""

import threading
import types

from wsrc.card.pcsc_numbers import Code, ShareMode
from wsrc.readers import pcsc_api as api

READER = "Reader 00 00"
ATR_T0, ATR_T1 = bytes.fromhex("3b021450"), bytes.fromhex("3b800181")
EMPTY, PRESENT = 0x10, 0x20
SELECT = bytes.fromhex("00a40004023f00")


MAX_STATES = 10
"""As of Windows; pcsc-lite before 2.5 has 16."""

CALLS = (
    "establish_context",
    "release_context",
    "cancel",
    "list_readers",
    "get_status_change",
    "connect",
    "reconnect",
    "begin_transaction",
    "end_transaction",
    "disconnect",
    "status",
    "transmit",
    "get_attrib",
    "set_attrib",
    "control",
)


class FakeScard:
    """
    pyscard's `scard` as far as we call it.

    `codes` has result codes for the next calls by name; `calls` what was called, in order, and
    `waits_ms` for how long a change was waited for.
    """

    def __init__(self) -> None:
        self.readers: dict[str, tuple[int, bytes]] = {READER: (PRESENT, ATR_T0)}
        self.attributes: dict[int, bytes] = {}
        self.codes: dict[str, list[int]] = {}
        self.calls: list[tuple[str, object]] = []
        self.waits_ms: list[int] = []
        self.active = 0
        self.answer = b""
        self._contexts = 0
        self._changed = threading.Condition()
        self._cancelled = False
        self.answers_cancel = threading.Event()
        self.answers_cancel.set()

    @property
    def module(self) -> types.SimpleNamespace:
        """The calls under the names that pyscard gives them."""
        return types.SimpleNamespace(
            **{f"SCard{name.title().replace('_', '')}": getattr(self, name) for name in CALLS}
        )

    def plug(self, name: str, state: int = EMPTY, atr: bytes = b"") -> None:
        with self._changed:
            self.readers[name] = (state, atr)
            self._changed.notify_all()

    def unplug(self, name: str) -> None:
        with self._changed:
            del self.readers[name]
            self._changed.notify_all()

    def done(self, call: str) -> list[object]:
        return [what for name, what in self.calls if name == call]

    def _code(self, call: str, what: object = None) -> int:
        self.calls.append((call, what))
        codes = self.codes.get(call, [])
        return codes.pop(0) if codes else 0

    def establish_context(self, scope: int) -> list[int]:
        self._contexts += 1
        return [self._code("establish", scope), self._contexts]

    def release_context(self, context: int) -> int:
        return self._code("release", context)

    def cancel(self, context: int) -> int:
        self.answers_cancel.wait(20)
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        return self._code("cancel", context)

    def list_readers(self, context: int, groups: list[str]) -> list[object]:
        assert groups == []
        code = self._code("list", context)
        return [
            code or (0 if self.readers else Code.SCARD_E_NO_READERS_AVAILABLE),
            list(self.readers),
        ]

    def get_status_change(
        self, context: int, timeout_ms: int, states: list[tuple[str, int]]
    ) -> list[object]:
        code = self._code("status change", context)
        self.waits_ms.append(timeout_ms)
        for name, _ in states:
            name.encode("ascii")
        if len(states) > MAX_STATES:
            return [Code.SCARD_E_INVALID_PARAMETER, []]
        with self._changed:
            changed = self._changed.wait_for(
                lambda: self._cancelled or self._now(states) != states, timeout_ms / 1000
            )
            if self._cancelled:
                return [Code.SCARD_E_CANCELLED, []]
            if {name for name, _ in states} - self.readers.keys() - {api.PNP_READER}:
                return [Code.SCARD_E_UNKNOWN_READER, []]
            atrs = {name: atr for name, (_, atr) in self.readers.items()}
            now = [(n, s | 2, list(atrs.get(n, b""))) for n, s in self._now(states)]
        return [code or (0 if changed else Code.SCARD_E_TIMEOUT), now]

    def _now(self, states: list[tuple[str, int]]) -> list[tuple[str, int]]:
        pnp = {api.PNP_READER: (len(self.readers) << 16, b"")}
        return [(name, {**self.readers, **pnp}.get(name, (4, b""))[0]) for name, _ in states]

    def connect(self, context: int, reader: str, mode: int, protocols: int) -> list[int]:
        assert reader == READER
        return [self._code("connect", (context, mode, protocols)), 77, 0]

    def begin_transaction(self, card: int) -> int:
        return self._code("begin")

    def end_transaction(self, card: int, disposition: int) -> int:
        return self._code("end", disposition)

    def reconnect(self, card: int, mode: int, protocols: int, init: int) -> list[int]:
        assert card == 77
        assert mode in {ShareMode.EXCLUSIVE, ShareMode.SHARED}
        code = self._code("reconnect", (protocols, init))
        return [code, self.active or (2 if protocols == 3 else protocols)]

    def disconnect(self, card: int, disposition: int) -> int:
        return self._code("disconnect", disposition)

    def status(self, card: int) -> list[object]:
        code = self._code("status")
        return [code, READER, 0x34, 1, list(self.readers[READER][1])]

    def transmit(self, card: int, pci: int, octets: list[int]) -> list[object]:
        return [self._code("transmit", (pci, bytes(octets))), [0x90, 0x00]]

    def get_attrib(self, card: int, attribute: int) -> list[object]:
        value = self.attributes.get(attribute)
        return [0, list(value)] if value is not None else [0x8010_001F, []]

    def set_attrib(self, card: int, attribute: int, value: list[int]) -> int:
        return self._code("set_attrib", (attribute, bytes(value)))

    def control(self, card: int, code: int, octets: list[int]) -> list[object]:
        return [self._code("control", (code, bytes(octets))), list(self.answer)]
