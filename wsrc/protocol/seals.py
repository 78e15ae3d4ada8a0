# SPDX-License-Identifier: Apache-2.0
"""
What a user and a card host say to each other through a server that cannot read it.

`docs/sealing.md` says what is in the octets, which are base64 here (RFC 4648 section 4, padded).
"""

import hashlib
from typing import Annotated

import msgspec

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol.fields import Whole, means
from wsrc.protocol.parts import OfSession

Nonce = Annotated[bytes, means("32 octets")]
Suites = Annotated[tuple[str, ...], means("Names of the suites that it has, at most 16")]
WantsSeal = Annotated[str, means("`required` or `preferred`")]
Certificates = Annotated[
    tuple[bytes, ...], means("Certificates in DER, the own first, at most 5 of 16 384 octets")
]
HostWord = Annotated[
    bytes | None, means("In a sealed session: word of the card host on that; see Sealing")
]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base."""


class SealAsk(_Part, frozen=True, kw_only=True):
    """A user wants the session sealed."""

    nonce: Nonce
    suites: Suites
    mode: WantsSeal


class SealOffer(_Part, frozen=True, kw_only=True):
    """A card host offers to seal the session: what it knows, signed."""

    host: Annotated[str, means("What the card client calls itself in `hello`")]
    reader: Annotated[str, means("Id of the reader, as the card client has it")]
    name: Annotated[str, means("Name of the reader on its host")] = ""
    atr: Annotated[Octets, means("Answer to reset; empty with the share `direct`")]
    iccid: Annotated[str, means("ICCID of the card, empty where it is not known")] = ""
    eids: Annotated[tuple[str, ...], means("All EIDs that are known")] = ()
    label: Annotated[str, means("Label of the card, empty where there is none")] = ""
    user: Annotated[str, means("`holder` of `attach`")] = ""
    principal: Annotated[str, means("`principal` of `attach`")] = ""
    nonce: Nonce
    suites: Suites
    mode: WantsSeal
    suite: Annotated[str, means("The suite that is used")]
    key: Annotated[bytes, means("Its one-time public key")]
    wants_user: Annotated[bool, means("Whether the user must sign its secret")] = False
    certificates: Certificates
    signature: Annotated[bytes, means("Signature of the card host over the terms")]


def certificate_of(offer: SealOffer) -> str | None:
    """Return SHA-256 of the certificate of an offer, in hexadecimal; None where it has none."""
    first = offer.certificates[:1]
    return hashlib.sha256(first[0]).hexdigest() if first else None


class SealSecret(_Part, frozen=True, kw_only=True):
    """The secret of a user, from which all keys of the session come."""

    sealed: Annotated[bytes, means("Sealed to the one-time key of the card host")]
    certificates: Certificates = ()
    signature: Annotated[
        bytes | None, means("Signature of the user, where it proves who it is")
    ] = None


class SealProof(_Part, frozen=True, kw_only=True):
    """What resumes a sealed session."""

    counter: Annotated[Whole, means("Higher than that of all before, 1 or more")]
    mac: Annotated[bytes, means("32 octets")]


class Sealed(OfSession, frozen=True, tag="sealed", kw_only=True):
    """A request of a sealed session, which the server passes to the card client as it came."""

    of: Annotated[str, means("`msg_type` of the request that is in the box")]
    box: Annotated[bytes, means("The request, sealed")]
    secret: Annotated[
        SealSecret | None, means("Until the card host was heard: what its keys come of")
    ] = None
    share: Annotated[
        Share | None, means("Of `reconnect`: `share` in the box, which the server obeys as well")
    ] = None
    resets: Annotated[
        bool,
        means(
            "Of `reconnect` and `end_transaction`: whether the one in the box has the card reset, "
            "ejected or powered off"
        ),
    ] = False


class SealedResp(OfSession, frozen=True, tag="sealed_resp", kw_only=True):
    """The answer to a request of a sealed session."""

    of: Annotated[str, means("`msg_type` of the answer that is in the box")]
    box: Annotated[bytes, means("The answer, sealed")]
    code: Annotated[ErrorCode | None, means("Of `error`: its code, for the server alone")] = None
    outcome: Annotated[Outcome | None, means("Of `error`: its outcome, for the server alone")] = (
        None
    )
