# SPDX-License-Identifier: Apache-2.0
"""What the prompt can ask beside command APDUs and resets: the other verbs of PC/SC."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsrc.card.pcsc_numbers import ATTRIBUTES
from wsrc.card.slot import Disposition, Initialization
from wsrc.command_line import verb_output as verbs
from wsrc.command_line.output import Output, atr_document
from wsrc.errors import LocalProtocolError

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card

HELP = """\
begin               hold a shared card alone: the others wait
end [WHAT]          let the others go on; WHAT becomes of the card: leave, reset, unpower, eject
reconnect [WHAT]    go on after another who shares the card reset it; WHAT as above, at first leave
status              show what the card host's PC/SC says
attribute NAME [HEX]
                    show an attribute of the reader, or set it
control CODE [HEX]  send a control code to the reader itself"""

WORDS: dict[str, Sequence[str]] = {
    "end": tuple(Disposition),
    "reconnect": tuple(Initialization),
    "attribute": tuple(ATTRIBUTES),
    **dict.fromkeys(("begin", "status", "control"), ()),
}
"""What may follow each verb, for completion."""


class Verbs:
    """The verbs by the words that are typed for them."""

    def __init__(self, card: "Card", output: Output) -> None:
        self._card = card
        self._output = output
        self.words = {
            "begin": self._begin,
            "end": self._end,
            "reconnect": self._reconnect,
            "status": self._status,
            "attribute": self._attribute,
            "control": self._control,
        }

    def show_atr(self, atr: bytes) -> None:
        """Show an ATR."""
        self._output.result({"atr": atr.hex(), **atr_document(atr)}, atr.hex())

    def _begin(self, words: Sequence[str]) -> None:
        _check(words, 0, 0, "begin")
        self._card.begin()

    def _end(self, words: Sequence[str]) -> None:
        _check(words, 0, 1, "end [WHAT]")
        what = words[0] if words else Disposition.LEAVE
        _check_one_of("end", what, list(Disposition))
        self._card.end(disposition=Disposition(what))

    def _reconnect(self, words: Sequence[str]) -> None:
        _check(words, 0, 1, "reconnect [WHAT]")
        what = words[0] if words else Initialization.LEAVE
        _check_one_of("reconnect", what, list(Initialization))
        self.show_atr(self._card.reconnect(initialization=Initialization(what)))

    def _status(self, words: Sequence[str]) -> None:
        _check(words, 0, 0, "status")
        status = self._card.status()
        said = verbs.status_lines(status, self._card.sealed)
        self._output.result(verbs.status_document(status), *said)

    def _attribute(self, words: Sequence[str]) -> None:
        _check(words, 1, 2, "attribute NAME [HEX]")
        name = verbs.attribute_of(words[0])
        if len(words) == 2:
            self._card.set_attribute(name, verbs.octets_of(words[1], "value"))
            return
        value = self._card.get_attribute(name)
        self._output.result({"attributes": {name: value.hex()}}, verbs.value_text(value))

    def _control(self, words: Sequence[str]) -> None:
        _check(words, 1, 2, "control CODE [HEX]")
        number = verbs.control_number_of(words[0])
        octets = verbs.octets_of(words[1] if len(words) == 2 else "", "data")
        answer = self._card.control(number, octets)
        self._output.result({"response": answer.hex()}, answer.hex())


def _check(words: Sequence[str], least: int, most: int, usage: str) -> None:
    if not least <= len(words) <= most:
        raise LocalProtocolError(f"Usage: {usage}")


def _check_one_of(verb: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise LocalProtocolError(f"{verb!r} takes {', '.join(known)} or nothing.")
