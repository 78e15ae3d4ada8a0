# SPDX-License-Identifier: Apache-2.0
"""What users see of readers and cards, as the REST interface gives it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from wsrc.card.apdu import describe_sw, status_word_texts
from wsrc.protocol.messages import RApdu
from wsrc.protocol.parts import StepResult
from wsrc.protocol.reader_events import ReaderView
from wsrc.server.http.values import Card, Host, Lease, Reader, Response, StatusWords, Token
from wsrc.server.state import Stored

T = TypeVar("T")


def card(view: ReaderView) -> Card | None:
    """Return the card in a reader; None if there is none."""
    if view.card_state is None:
        return None
    return Card(
        number=view.number,
        state=view.card_state,
        host=view.host,
        reader=view.reader,
        reader_name=view.name,
        atr=view.atr,
        iccid=view.iccid,
        eids=view.eids,
        label=view.label,
        tags=view.tags or {},
        comment=view.comment,
        protocol=view.protocol,
        lease=view.lease,
        others=view.others,
        draining=view.draining,
        reserved=view.reserved,
    )


def reader(view: ReaderView) -> Reader:
    """Return a reader."""
    return Reader(
        number=view.number,
        reader=view.reader,
        name=view.name,
        host=view.host,
        state=view.state,
        in_use=view.in_use,
        exclusive=view.exclusive,
        card=card(view),
        lease=view.lease,
        tags=view.tags or {},
        comment=view.comment,
        draining=view.draining,
        reserved=view.reserved,
        waiting=view.waiting,
    )


def lease(view: ReaderView) -> Lease | None:
    """Return who holds a card, or a reader alone; None if nobody does."""
    if view.lease is None:
        return None
    return Lease(
        number=view.number,
        host=view.host,
        reader=view.reader,
        reader_name=view.name,
        iccid=view.iccid,
        label=view.label,
        lease=view.lease,
        others=view.others,
    )


@cache
def status_words() -> StatusWords:
    """Return what status words say."""
    words, ranges = status_word_texts()
    return StatusWords(
        words={f"{sw:04x}": text for sw, text in words.items()},
        ranges={
            f"{sw1:02x}": text.replace("{:02X}", "{digits}").replace("{}", "{number}")
            for sw1, text in ranges.items()
        },
    )


def response(answer: RApdu | StepResult) -> Response:
    """Return what a card answered, with the meaning of its status word."""
    meaning = describe_sw(int(answer.sw, 16))
    return Response(response=answer.response, sw=answer.sw, meaning=meaning)


def hosts(views: Iterable[ReaderView]) -> tuple[Host, ...]:
    """Return the hosts of readers, by name, with how much of each there is."""
    counts: dict[str, tuple[int, int, int, bool]] = {}
    for view in views:
        readers, cards, held, drained = counts.get(view.host, (0, 0, 0, False))
        has_card, is_held = view.card_state is not None, view.lease is not None
        drained = drained or view.draining
        counts[view.host] = readers + 1, cards + has_card, held + is_held, drained
    return tuple(
        Host(host=host, readers=readers, cards=cards, held=held, draining=drained)
        for host, (readers, cards, held, drained) in sorted(counts.items())
    )


def token(stored: Stored) -> Token:
    """Return what may be told of a token."""
    return Token(
        number=stored.number,
        name=stored.name,
        role=str(stored.role),
        made=utc(stored.made),
        expires=None if stored.expires is None else utc(stored.expires),
        used=None if stored.used is None else utc(stored.used),
    )


def some(
    views: Sequence[ReaderView], show: Callable[[ReaderView], T | None], most: int
) -> tuple[tuple[T, ...], int | None]:
    """
    Return what is shown of readers, and the number after which to go on.

    The latter is None where all were looked at.
    """
    shown: list[T] = []
    for view in views:
        if len(shown) == most:
            return tuple(shown), view.number - 1
        thing = show(view)
        if thing is not None:
            shown.append(thing)
    return tuple(shown), None


def utc(seconds: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
