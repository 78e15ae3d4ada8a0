# SPDX-License-Identifier: Apache-2.0
"""Which request a message of a session is, also where it is sealed."""

from collections.abc import Mapping
from typing import Final, TypeGuard, get_args

from wsrc.card.slot import Disposition, Initialization, Share
from wsrc.protocol import messages as m

PLAIN: Final[Mapping[str, type[m.Message]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (m.CApdu, m.Batch, m.ResetReq, *get_args(m.PcscVerb))
}
"""Requests that can be in a `sealed`, by `msg_type`."""

_ERROR = str(m.Error.__struct_config__.tag)


def kind_of(message: m.Message) -> type[m.Message]:
    """Return the class of a request, of a sealed one that in the box; unknown ones are `Sealed`."""
    return PLAIN.get(message.of, m.Sealed) if isinstance(message, m.Sealed) else type(message)


def wish_of(message: m.Message) -> Share | None:
    """Return how a request would have the card shared from now on, if it is a `reconnect`."""
    if kind_of(message) is not m.Reconnect:
        return None
    return message.share if isinstance(message, m.Reconnect | m.Sealed) else None


def is_sealed_error(answer: m.Message) -> TypeGuard[m.SealedResp]:
    """Return whether an answer is a box that has an error in it."""
    return isinstance(answer, m.SealedResp) and answer.of == _ERROR


def resets(message: m.Message) -> bool:
    """Return whether a `reconnect` or `end_transaction` resets the card, or more."""
    match message:
        case m.Reconnect(initialization=how):
            return how is not Initialization.LEAVE
        case m.EndTransaction(disposition=what):
            return what is not Disposition.LEAVE
        case m.Sealed(resets=told):
            return told
        case _:
            return False
