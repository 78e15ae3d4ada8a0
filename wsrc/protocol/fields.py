# SPDX-License-Identifier: Apache-2.0
"""
What a field of a message means, and the fields that recur.

`Annotated[T, means("…")]` stands with the field; the JSON Schema and the tables of
`docs/protocol.md` are made of it. What is meant in one way everywhere has its type here.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from wsrc.card.slot import CardProtocol, Share
from wsrc.octets import Octets


def means(text: str, **keywords: object) -> msgspec.Meta:
    """
    Return the description of a field.

    Args:
        text: For another implementer, with units and ranges, without a full stop.
        keywords: What the JSON Schema has of the field besides; reading does not check it.
    """
    return msgspec.Meta(description=text, extra_json_schema=keywords or None)


MAX_WHOLE = 2**53 - 1
"""Largest whole number that every JSON reader has exactly (RFC 7493 section 2.2)."""

Whole = Annotated[int, msgspec.Meta(ge=-MAX_WHOLE, le=MAX_WHOLE)]
"""A whole number on the wire."""

MAX_USER_ID = 1_000_000_000
"""Highest `id` of a user client; those above are the server's own, to card clients."""

MAX_PAGES = 8
"""Most answers to one request for a list."""

Pages = Annotated[
    Whole,
    means(f"Answers that may be sent to this one request, in a row; at most {MAX_PAGES} are"),
]
Unanswered = Annotated[
    tuple[str, ...],
    means("Servers of a cluster that did not answer in time, whose part is missing; on the last"),
]
MorePages = Annotated[
    bool, means("Another answer to the same request follows, which goes on at `next`")
]

Session = Annotated[str, means("Name of the session that this belongs to")]
Holder = Annotated[str, means("Name of the user")]

ReaderId = Annotated[
    str, means("Id of the reader, the same after restarts where the reader allows it")
]
ReaderName = Annotated[str, means("Name of the reader on its host")]
HostName = Annotated[str, means("Name of the card host, which no other on the server has")]
Insertion = Annotated[
    Whole,
    means("Grows with each card that is put in: a request for one card never reaches the next"),
]

Atr = Annotated[Octets, means("Answer to reset, at most 33 octets (ISO/IEC 7816-3 clause 8.2.1)")]
Iccid = Annotated[str, means("ICCID, 18 to 20 digits without filler")]
Eids = Annotated[tuple[str, ...], means("All EIDs of the card, 32 digits each")]
Label = Annotated[str, means("What the operator of the card host calls the card")]
Tags = Annotated[Mapping[str, str], means("Value of each tag, by its key; see Tags")]
Comment = Annotated[str, means("What somebody noted of the card, at most 256 characters")]

ReaderFeatures = Annotated[
    Octets,
    means("What the reader answers to `control` 3400, where its card client has asked it"),
]
ProtocolInForce = Annotated[CardProtocol, means("Transmission protocol in force")]
Protocols = Annotated[tuple[CardProtocol, ...], means("Protocols that may be used; none means any")]
ShareMode = Annotated[Share, means("With whom the card is used")]
Draining = Annotated[
    bool, means("The card host is drained: no session begins on its cards for now")
]

Reserved = Annotated[
    bool,
    means("It is the time of a reservation: the card is given to who has the token, to none else"),
]
RawTpdu = Annotated[bool, means("Pass T=0 blocks as they are: fetch no responses, correct no Le")]
ReadsAhead = Annotated[
    bool, means("Read ahead of the user what no card shows, and send it along; see Read-ahead")
]

Command = Annotated[
    Octets, means("Command APDU of 4 to 65 544 octets (ISO/IEC 7816-3 clause 12.1), or a TPDU")
]
ResponseData = Annotated[Octets, means("Data of the response, which may be empty")]
StatusWord = Annotated[
    str, means("Status word, four hexadecimal digits", pattern="^[0-9a-fA-F]{4}$")
]
StatusPattern = Annotated[
    str, means("Four hexadecimal digits, `x` for any digit", pattern="^[0-9a-fA-FxX]{4}$")
]
