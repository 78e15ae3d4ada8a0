# SPDX-License-Identifier: Apache-2.0
"""Lines of an audit log: an event becomes the next line, and octets become a line or do not."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple, cast

import msgspec

from wsrc.audit.events import Event
from wsrc.process.printable import clean
from wsrc.tokens import without_tokens

BEGINNING: Final = "0" * 64
"""What the first line of all goes on from."""

MAX_TEXT: Final = 500
"""Characters of one text of an event; the rest is left out."""

MAX_ITEMS: Final = 16
"""Items of one list of an event."""

MAX_LINE_OCTETS: Final = 64 * 1024
"""No line is longer."""

_LINE: Final = re.compile(
    rb'\{"n":([1-9][0-9]{0,17}),"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)",'
    rb'("event":.*),"chain":"([0-9a-f]{64})"\}',
    re.DOTALL,
)


class Line(NamedTuple):
    """A line that was read: `body` is all before its `chain`, which may fit or not."""

    number: int
    at: str
    body: bytes
    chain: str

    def follows(self, chain: str) -> bool:
        """Return whether it fits behind a line with this chain."""
        return _link(chain, self.body) == self.chain

    @property
    def event(self) -> dict[str, Any]:
        """Its event, by the names of the fields; none where it is no JSON."""
        try:
            return msgspec.json.decode(self.body + b"}", type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}


class Chain:
    """
    The end of a log, to which lines are added.

    Args:
        number: Of the last line; 0 of a new log.
        digest: Its chain.
    """

    def __init__(self, number: int = 0, digest: str = BEGINNING) -> None:
        self.number = number
        self.digest = digest

    def copy(self) -> "Chain":
        """Return one that goes on from here by itself."""
        return Chain(self.number, self.digest)

    def line(self, when: float, event: Event) -> bytes:
        """Return the next line, with its end; `when` is in seconds since 1970 in UTC."""
        self.number += 1
        body = b'{"n":%d,"at":"%s",%s' % (self.number, utc(when).encode(), _fields(event))
        self.digest = _link(self.digest, body)
        return b'%s,"chain":"%s"}\n' % (body, self.digest.encode())


def parse(octets: bytes) -> Line | None:
    """Read a line without its end; None if it is none of an audit log."""
    found = _LINE.fullmatch(octets)
    if found is None:
        return None
    body = octets[: found.end(3)]
    return Line(int(found[1]), found[2].decode(), body, found[4].decode())


def utc(when: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, in microseconds; years have four digits."""
    moment = datetime.fromtimestamp(min(max(when, 0.0), 253402300799.0), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _link(before: str, body: bytes) -> str:
    return sha256(before.encode() + b"\n" + body).hexdigest()


def _fields(event: Event) -> bytes:
    """Return what stands in a line for an event: its fields, without the braces."""
    return msgspec.json.encode(_bounded(msgspec.to_builtins(event)))[1:-1]


def _bounded(value: Any) -> Any:
    """Return a value whose texts and lists are not too long, fit for a line, and no token."""
    if isinstance(value, str):
        text = clean(without_tokens(value))
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: _bounded(each) for key, each in fields.items()}
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return [_bounded(each) for each in items[:MAX_ITEMS]]
    return value
