# SPDX-License-Identifier: Apache-2.0
"""
What peers of a relay in memory say in a sealed session: the same, in boxes that are not locked.

A relay cannot tell such a box from one that is sealed.
"""

from typing import Any, get_args

import msgspec

from wsrc.protocol import messages as m
from wsrc.protocol.codec import BY_TAG, decode, encode
from wsrc.protocol.kinds import resets, wish_of

_MARK = b"not locked: "
_TAGS = {kind: tag for tag, kind in BY_TAG.items()}
_PLAIN, _ANSWERS = get_args(m.Plain), get_args(m.Answer)


def closed(message: m.Message) -> m.Message:
    """Return a request or an answer of a session in a box, anything else as it is."""
    if not isinstance(message, _PLAIN + _ANSWERS) or isinstance(message, m.SealedResp):
        return message
    named: Any = message
    around: dict[str, Any] = {
        "id": named.id,
        "session": named.session,
        "seq": getattr(message, "seq", None),
        "of": _TAGS[type(message)],
        "box": _MARK + encode(message),
    }
    if isinstance(message, _PLAIN):
        return m.Sealed(share=wish_of(message), resets=resets(message), **around)
    told: dict[str, Any] = {}
    if isinstance(message, m.Error):
        told = {"code": message.code, "outcome": message.outcome}
    return m.SealedResp(**told, **around)


def opened(message: m.Message) -> m.Message:
    """Return what is in such a box, as who it is for takes it; anything else as it is."""
    if isinstance(message, m.Resumed | m.SessionEnded) and message.answer is not None:
        return msgspec.structs.replace(message, answer=opened(message.answer))
    if not isinstance(message, m.Sealed | m.SealedResp) or not message.box.startswith(_MARK):
        return message
    inside: Any = decode(message.box.removeprefix(_MARK))
    around: dict[str, Any] = {"id": message.id, "session": message.session}
    if "seq" in inside.__struct_fields__:
        around["seq"] = message.seq
    return msgspec.structs.replace(inside, **around)
