# SPDX-License-Identifier: Apache-2.0
"""
The tags of a card: derived ones before those of users, and these before those of its host.

Those of users, and comments, are *kept*: under the identity of the card, and for its return.
"""

from collections.abc import Mapping
from functools import lru_cache

from wsrc.card.atr import KNOWN, read_atr
from wsrc.card.slot import CardProtocol
from wsrc.policy.facts import is_identified, kind_of
from wsrc.policy.words import Kind
from wsrc.protocol.messages import ReaderInfo
from wsrc.relay.kept import NO_TAGS, Kept
from wsrc.relay.records import NO_CARD, Slot
from wsrc.selection import normal
from wsrc.tags import ATR_FAMILY, CARD, DERIVED, HOST, PROTOCOL


def of_host(info: ReaderInfo) -> Mapping[str, str]:
    """Return the tags that a card client has set; one that is derived is not its to set."""
    tags = info.tags
    return {k: v for k, v in tags.items() if k not in DERIVED} if tags else NO_TAGS


def of_card(info: ReaderInfo) -> Mapping[str, str]:
    """Return the tags that follow from what is known of a card."""
    if info.state in NO_CARD or not is_identified(info):
        return NO_TAGS
    atr = bytes(info.atr or b"")
    said = read_atr(atr) if atr else None
    historical = said.historical if said is not None else b""
    return _derived(kind_of(info), info.protocol, historical)


@lru_cache(KNOWN)
def _derived(
    kind: Kind | None, protocol: CardProtocol | None, historical: bytes
) -> Mapping[str, str]:
    """Return the tags of all cards of a kind that have this protocol and these octets."""
    found = {
        CARD: str(kind) if kind is not None else "",
        PROTOCOL: str(protocol) if protocol is not None else "",
        ATR_FAMILY: historical.hex(),
    }
    return {key: value for key, value in found.items() if value}


def shown(info: ReaderInfo, host: str, kept: Kept | None) -> dict[str, str]:
    """Return all tags of a reader and of the card in it, as users are shown them."""
    theirs = kept.tags if kept is not None else NO_TAGS
    return {**of_host(info), **theirs, **of_card(info), HOST: host}


def identity_of(slot: Slot) -> str:
    """Return the name under which is kept what users note of what is in a reader."""
    info = slot.info
    if slot.has_card and info.iccid:
        return f"iccid {normal('iccid', info.iccid)}"
    if slot.has_card and info.eids:
        return f"eid {normal('eid', info.eids[0])}"
    return f"reader {slot.reader}@{slot.peer.name}"
