# SPDX-License-Identifier: Apache-2.0
"""Lines of a program that takes the place of lpac, and the card that it asks for."""

import json

from tests.fuzz import json_inputs
from wsrc.bridges.lpac import LpacCard
from wsrc.card.apdu import Response, parse_command

_FUNCTIONS = ("connect", "disconnect", "logic_channel_open", "logic_channel_close", "transmit", "x")


def _line(func: str, param: str | None) -> str:
    return json.dumps({"type": "apdu", "payload": {"func": func, "param": param}})


SEEDS = [
    "\n".join(
        [_line("connect", None), _line("logic_channel_open", "a0000005591010"), _line(func, param)]
    ).encode()
    for func in _FUNCTIONS
    for param in (None, "01", "00a40004", "zz")
] + [b'{"type":"progress","payload":{}}\n[]\n1']
WORDS = [
    *(f'"{each}"'.encode() for each in (*_FUNCTIONS, "type", "apdu", "payload", "func", "param")),
    *json_inputs.WORDS[-20:],
    b"\n",
    b"\\ud800",
]
SHARE = 20


class _Card:
    def transmit(self, command: bytes) -> Response:
        """Answer what a card answers; that octets are a command is the client's to check."""
        if len(command) >= 4 and command[1] == 0x70:
            return Response(b"\1", 0x9000)
        parse_command(command)
        return Response(command[4:8], 0x9000)

    def detach(self) -> None:
        """Be given back."""


def one(data: bytes) -> None:
    """A line is for the card, and is answered by one, or it is not."""
    card = LpacCard(_Card, _sentence)
    for line in data.decode("utf-8", "surrogateescape").split("\n")[:32]:
        answer = card.answer(line)
        assert answer is None or ("\n" not in answer and json.loads(answer)["type"] == "apdu")
    card.close()


def _sentence(text: str) -> None:
    assert len(text) < 500
