# SPDX-License-Identifier: Apache-2.0
"""What an operator orders and what stands until somebody says otherwise: bans, drained hosts."""

import math
from typing import Final, NamedTuple

import msgspec

from wsrc.protocol import messages as m
from wsrc.relay.bans import Ban, key_of as banned_key
from wsrc.relay.records import Drained, UserPeer
from wsrc.selection import normal

HOST: Final = "host"
"""Kind of what stands of a card host: it is drained."""


class Standing(msgspec.Struct, frozen=True):
    """
    One order as it is kept.

    `kind` and `key` tell it from others: of a ban they are those of `bans.Key`, of a drained host
    `HOST` and its name in normal form. `until` is in seconds since 1970 in UTC.
    """

    kind: str
    key: str
    who: str
    by: str
    why: str
    until: float = math.inf


class Ordered(NamedTuple):
    """A request whose order is to be written or struck, and its answer if it needs no more."""

    user: UserPeer
    request: m.Ban | m.Unban | m.Drain | m.Undrain
    ack: m.Message | None


def of_ban(ban: Ban, epoch: float) -> Standing:
    """Return a ban as it is kept; `epoch` makes a monotonic time one of UTC."""
    return Standing(*banned_key(ban.who), ban.who, ban.by, ban.why, epoch + ban.until)


def of_host(drained: Drained) -> Standing:
    """Return how it is kept that a host is drained."""
    name = drained.host
    return Standing(HOST, normal("host", name), name, drained.by, drained.why)
