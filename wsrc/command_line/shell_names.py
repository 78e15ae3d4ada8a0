# SPDX-License-Identifier: Apache-2.0
"""What the prompt can do with names: select files and AIDs, read what has a name, verify a PIN."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsrc.card.apdu import Response
from wsrc.card.contents.catalogue import CATALOGUE
from wsrc.card.contents.reading import read as questions
from wsrc.card.contents.selecting import NAMES, select
from wsrc.card.pin import PIN1, REFERENCES
from wsrc.command_line.asking import answer
from wsrc.command_line.output import Output, response_document
from wsrc.command_line.pins import Pins, key
from wsrc.command_line.read import known, show
from wsrc.errors import LocalProtocolError

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card

HELP = """\
select WHAT         select usim, isd-r, imsi … by name, or a file, a path or an AID in hexadecimal
read [NAME…]        show what the card has under a name, such as iccid imsi profiles
verify [KEY]        verify a PIN that is asked for and not shown: pin1, pin2, adm1, 0A
decode [on|off]     name what is in FCP templates and answers of an ISD-R, or not"""

WORDS = {
    "select": NAMES,
    "read": tuple(CATALOGUE),
    "verify": tuple(REFERENCES),
    "decode": ("on", "off"),
}
"""What may follow each verb, for completion."""


class Names:
    """The verbs by the words that are typed for them; `decode` says whether responses are named."""

    def __init__(self, card: "Card", output: Output, pins: Pins, *, decode: bool) -> None:
        self.decode = decode
        self._card = card
        self._output = output
        self._pins = pins
        self.words = {
            "select": self._select,
            "read": self._read,
            "verify": self._verify,
            "decode": self._decode,
        }

    def transmit(self, command: bytes) -> None:
        """Send a command and show the response."""
        self._show(self._card.transmit(command), decode=self.decode)

    def _select(self, words: Sequence[str]) -> None:
        if not words:
            raise LocalProtocolError("Usage: select NAME, or a file, a path or an AID")
        try:
            said = answer(self._card, select("".join(words)))
        except ValueError as exc:
            raise LocalProtocolError(f"This cannot be selected: {exc}.") from exc
        self._show(said, decode=True)

    def _read(self, words: Sequence[str]) -> None:
        found = answer(self._card, questions(known(words)))
        there = {name: each for name, each in found.items() if words or each.there}
        show(self._output, there, None)

    def _verify(self, words: Sequence[str]) -> None:
        if len(words) > 1:
            raise LocalProtocolError("Usage: verify [KEY]; the PIN itself is asked for")
        reference = key(words[0]) if words else PIN1
        self._show(self._pins.verify(self._card, reference), decode=False)

    def _decode(self, words: Sequence[str]) -> None:
        match words:
            case [] | ["on"]:
                self.decode = True
            case ["off"]:
                self.decode = False
            case _:
                raise LocalProtocolError("Usage: decode [on|off]")

    def _show(self, response: Response, *, decode: bool) -> None:
        if self._output.as_json:
            self._output.document(response_document(response, decode=decode))
        else:
            self._output.response(response, decode=decode)
