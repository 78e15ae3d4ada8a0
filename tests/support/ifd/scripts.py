# SPDX-License-Identifier: Apache-2.0
"""What an odd card answers: a table, and the response that it holds ready at T=0."""

from collections.abc import Mapping
from typing import NamedTuple

from tests.support.ifd.reader import RefusesError


class Ready(NamedTuple):
    """
    A response that waits for GET RESPONSE.

    Args:
        announced: Status word of the command, such as 6112, in hexadecimal digits.
        data: What waits.
        sw: Status word at its end.
        cla: The only class of GET RESPONSE that the card knows.
    """

    announced: str
    data: str
    sw: str = "9000"
    cla: int = 0x00


class Fails(NamedTuple):
    """The driver fails, with a code of `Ifd`."""

    code: int


Rule = str | Ready | Fails


class Script:
    """
    Answers by the whole command, else by its first octets, the longest first.

    The response that waits is lost by any other command, GET RESPONSE of another class included.

    Args:
        rules: Commands and answers, in hexadecimal digits.
        other: What all other commands are answered with.
    """

    def __init__(self, rules: Mapping[str, Rule], other: str = "6e00") -> None:
        self._rules = {k.replace(" ", ""): v for k, v in rules.items()}
        self._other = other
        self._ready: Ready | None = None

    def __call__(self, octets: bytes, _: int) -> bytes:
        """Answer one TPDU or APDU."""
        ready, self._ready = self._ready, None
        if ready is not None and octets[1:4] == b"\xc0\x00\x00" and len(octets) == 5:
            return self._give(ready, octets)
        rule = self._rule(octets.hex())
        if isinstance(rule, Fails):
            raise RefusesError(rule.code)
        if isinstance(rule, Ready):
            self._ready = rule
            return bytes.fromhex(rule.announced)
        return bytes.fromhex(rule)

    def _rule(self, command: str) -> Rule:
        for end in range(len(command), 0, -1):
            if command[:end] in self._rules:
                return self._rules[command[:end]]
        return self._other

    def _give(self, ready: Ready, asked: bytes) -> bytes:
        if asked[0] != ready.cla:
            return b"\x6e\x00"
        data, room = bytes.fromhex(ready.data), asked[4] or 256
        if asked[4] and room > len(data):
            self._ready = ready
            return bytes((0x6C, len(data)))
        if len(data) <= room:
            return data + bytes.fromhex(ready.sw)
        rest = data[room:]
        self._ready = ready._replace(data=rest.hex())
        return data[:room] + bytes((0x61, len(rest) if len(rest) < 256 else 0))
