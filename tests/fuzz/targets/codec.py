# SPDX-License-Identifier: Apache-2.0
"""Texts of any peer, read as messages and notifications, and passed on."""

import json

from tests.fuzz import json_inputs
from tests.support.paths import VECTORS
from wsrc.errors import RemoteProtocolError
from wsrc.protocol.codec import (
    BY_TAG,
    MAX_MESSAGE_OCTETS,
    UnreadableError,
    canonical,
    check,
    check_utf8,
    decode,
    encode,
)
from wsrc.protocol.messages import session_of

_CASES = json.loads((VECTORS / "messages.json").read_text("utf-8"))["cases"]
SEEDS = [
    *json_inputs.MESSAGES,
    *(case["text"].encode() for case in _CASES if isinstance(case.get("text"), str)),
    b'{"jsonrpc":"2.0","event":"reader_list_change","readers":[]}',
]
WORDS = json_inputs.WORDS
SHARE = 50
_KINDS = frozenset(BY_TAG.values())

mutated = json_inputs.mutated


def one(data: bytes) -> None:
    """A text is refused, or it is a message that says the same once it is written again."""
    try:
        check_utf8(data)
        message = decode(data)
    except (RemoteProtocolError, UnreadableError) as exc:
        assert len(str(exc)) < 1_000, "the sentence grows with what was said"
        return
    written = encode(message)
    assert decode(written) == message
    if type(message) in _KINDS:
        check(message)
    session_of(message)
    try:
        anew = canonical(data, message)
    except RemoteProtocolError:
        return
    assert len(anew) <= max(len(data), MAX_MESSAGE_OCTETS)
    assert decode(anew) == message
    assert canonical(anew, message) == anew
