# SPDX-License-Identifier: Apache-2.0
"""PINs that a person is asked for, or that a file has: never typed where anybody sees them."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsrc.card.apdu import Response
from wsrc.card.pin import ask, octets_of, reference_of
from wsrc.command_line.asking import answer
from wsrc.command_line.output import Output
from wsrc.errors import ConfigError, LocalProtocolError

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card

MOST_OCTETS = 4_096
"""Of a file of PINs."""

_SETTING = "--pin-file"


class Pins:
    """
    Where PINs come from: a file, or a person at the terminal.

    The file has a PIN alone, or lines of a key and its PIN; nobody else may be able to read it.
    """

    def __init__(self, output: Output, file: Path | None = None) -> None:
        self._output = output
        self._file = file

    def verify(self, card: "Card", reference: int) -> Response:
        """
        Verify a PIN; return the card's answer to it, or to the question for its tries.

        The card is asked first how many tries are left, which takes none. Nobody is asked for a
        PIN that the card does not want, or that is blocked.

        Raises:
            ConfigError: If the file cannot be read, others can read it, or it has no such PIN; or
                if there is neither a file nor a terminal.
            LocalProtocolError: If what was typed is no PIN; nothing was sent then.
            WsrcError: As `transmit`.
        """
        asked = answer(card, ask(reference))
        if not asked.tries:
            return Response(b"", asked.sw)
        pin = self._pin(reference, asked.tries)
        try:
            octets = octets_of(pin, reference)
        except ValueError as exc:
            raise LocalProtocolError(f"Nothing was sent to the card: {exc}.") from None
        return card.transmit(asked.command(octets).encode())

    def _pin(self, reference: int, tries: int) -> str:
        if self._file is not None:
            return pin_of(self._file, reference)
        left = f"{tries} {'try' if tries == 1 else 'tries'} left"
        with self._output.nothing_at_risk():
            from wsrc.card.contents.fcp import key_name  # noqa: PLC0415 - who asks needs it alone

            return typed(f"{key_name(reference)} (key {reference:02X}, {left}): ")


def pin_of(file: Path, reference: int) -> str:
    """
    Return the PIN for a key from a file.

    Raises:
        ConfigError: As `Pins.verify` has it; no sentence has anything of the file.
    """
    try:
        with file.open(encoding="ascii") as opened:
            about = os.fstat(opened.fileno())
            text = opened.read(MOST_OCTETS)
    except (OSError, UnicodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not ASCII text"
        raise ConfigError(_SETTING, f"cannot read {file}: {why}") from None
    if stat.S_ISREG(about.st_mode) and about.st_mode & 0o077:
        raise ConfigError(_SETTING, f"others can read {file}; chmod 600 it")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and len(lines[0]) == 1:
        return lines[0][0]
    for number, words in enumerate(lines, 1):
        try:
            key, pin = words
            if reference_of(key) == reference:
                return pin
        except ValueError:
            why = f"line {number} is not a key and its PIN, such as pin1 and four digits"
            raise ConfigError(_SETTING, f"{file}: {why}") from None
    raise ConfigError(_SETTING, f"{file} has no PIN for key {reference:02X}")


def typed(prompt: str) -> str:
    """
    Ask a person at the terminal of this process, which shows nothing of what is typed.

    Raises:
        ConfigError: If there is no terminal, or its end was reached.
    """
    import getpass  # noqa: PLC0415 - it is seldom needed

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        why = "there is no terminal at which to ask for a PIN; give a file that has it"
        raise ConfigError(_SETTING, why) from None
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise ConfigError(_SETTING, "no PIN was typed; nothing was sent to the card") from None


pin_option = click.option(
    "--pin-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File of the PIN, or of lines such as 'pin1 PIN', instead of asking for it.",
)


def key(text: str) -> int:
    """
    Read a key reference that a person gave.

    Raises:
        LocalProtocolError: If it is none; the text is not repeated.
    """
    try:
        return reference_of(text)
    except ValueError as exc:
        raise LocalProtocolError(f"This is no key: {exc}.") from None


def is_key(text: str) -> bool:
    """Return whether a text is a key reference, and so no PIN."""
    try:
        reference_of(text)
    except ValueError:
        return False
    return True
