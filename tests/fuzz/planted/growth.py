# SPDX-License-Identifier: Apache-2.0
"""A planted bug: texts that were refused are remembered, for ever."""

from tests.fuzz.targets import codec
from wsrc.errors import RemoteProtocolError
from wsrc.protocol.codec import UnreadableError, decode

SEEDS, WORDS, mutated = codec.SEEDS, codec.WORDS, codec.mutated
_refused: list[bytes] = []


def one(data: bytes) -> None:
    """Read a text."""
    try:
        decode(data)
    except (RemoteProtocolError, UnreadableError):
        _refused.append(bytes(data) + b"!")
