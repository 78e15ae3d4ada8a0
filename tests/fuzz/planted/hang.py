# SPDX-License-Identifier: Apache-2.0
"""A planted bug: a request of a program without a payload is taken again and again."""

from tests.fuzz.targets import pcscd
from wsrc.bridges.pcscd.wire import Reading

SEEDS, WORDS = pcscd.SEEDS, pcscd.WORDS
_take = Reading._take


def _take_again(self: Reading, count: int) -> bytes | None:
    return bytes(8) if count == 8 and len(self._octets) > 8 else _take(self, count)


Reading._take = _take_again  # type: ignore[method-assign]


def one(data: bytes) -> None:
    """Read requests as long as there are any."""
    reading = Reading()
    reading.feed(data[3:])
    try:
        while reading.next() is not None:
            pass
    except Exception:  # noqa: BLE001 - only the hang is meant
        pass
