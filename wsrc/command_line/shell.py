# SPDX-License-Identifier: Apache-2.0
"""A prompt that talks to one card."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wsrc.card.apdu import parse_command
from wsrc.card.slot import ResetKind
from wsrc.command_line.invocation import Exit, exit_status
from wsrc.command_line.output import Output
from wsrc.command_line.pins import Pins, is_key
from wsrc.command_line.shell_line import History, Line
from wsrc.command_line.shell_names import HELP as NAMES_HELP, WORDS as NAMES_WORDS, Names
from wsrc.command_line.shell_verbs import HELP as VERBS_HELP, WORDS as VERBS_WORDS, Verbs
from wsrc.errors import (
    BadApduError,
    BadHexError,
    ConnectionLostError,
    LocalProtocolError,
    SessionLostError,
    WsrcError,
)
from wsrc.guard.commands import read
from wsrc.guard.secrets import in_command
from wsrc.octets import from_person
from wsrc.process.printable import clean
from wsrc.process.texts import heed_mark
from wsrc.user_client.naming import describe

if TYPE_CHECKING:  # the help of a command needs none of that
    from wsrc.user_client.blocking import Card

HELP = f"""\
HEX                 send a command APDU, such as 00A40004023F00; spaces may stand between octets
reset [cold|warm]   reset the card and show its ATR
atr                 show the ATR again
{NAMES_HELP}
{VERBS_HELP}
allow WHO           let a colleague share the card; it is shared from then on
lend WHO            give the card back, let a colleague have it next, and leave
help                show this
quit                give the card back and leave; so does Ctrl-D
Ctrl-C gives up a command that the card has not begun. Tab completes words."""

WORDS: dict[str, Sequence[str]] = {
    **NAMES_WORDS,
    **VERBS_WORDS,
    "reset": ("cold", "warm"),
    **dict.fromkeys(("atr", "help", "quit"), ()),
}
"""The words of this prompt, and what may follow each."""


class Shell:
    """
    Reads lines and carries them out.

    Args:
        card: Whose prompt it is.
        output: Where answers go.
        read: Returns a line for a prompt, and raises EOFError at the end.
        remember: Keeps a line.
        pins: Where PINs come from; at first the terminal.
        decode: Whether it is said what is in a response.
    """

    def __init__(  # noqa: PLR0913 - each by its name
        self,
        card: "Card",
        output: Output,
        read: Callable[[str], str] = input,
        remember: Callable[[str], None] = lambda _line: None,
        *,
        pins: Pins | None = None,
        decode: bool = False,
    ) -> None:
        self._card = card
        self._output = output
        self._verbs = Verbs(card, output)
        self._names = Names(card, output, pins or Pins(output), decode=decode)
        self._words = self._verbs.words | self._names.words
        self._over: WsrcError | None = None
        self._read = read
        self._remember = remember
        self._lent = False
        name = card.info.identities.iccid or card.info.reader or "card"
        self._prompt = f"{clean(name)}{' sealed' * (card.sealed is not None)}> "

    def run(self, history: Path | None = None) -> Exit:
        """Serve the prompt until the person leaves or the card is lost."""
        if not sys.stdin.isatty():
            self._prompt = ""
            heed_mark(sys.stdin)
            return self._serve()
        self._output.note(f"{describe(self._card.info)}. Type help for help.")
        sealed = self._card.sealed
        if sealed is not None:
            who = f"{clean(sealed.name)}, {sealed.fingerprint}"
            self._output.note(f"No server can read this session: it is sealed with {who}.")
        line = Line(completed)
        with History(history) as kept, self._output.notes_by(line.note):
            self._remember, self._read = kept.remember, line.read
            self._card.when_over(self._ended)
            return self._serve()

    def _ended(self, why: WsrcError) -> None:
        """Say at once that the card is not ours any more; called in a thread of the client."""
        self._over = why
        self._output.note(f"{why} The card is not ours any more; any line leaves the prompt.")

    def _serve(self) -> Exit:
        while True:
            try:
                line = self._read(self._prompt).strip()
            except EOFError:
                return Exit.DONE if self._over is None else exit_status(self._over)
            except KeyboardInterrupt:
                self._output.note("")
                continue
            if self._over is not None:
                return exit_status(self._over)
            if line in {"quit", "exit"}:
                return Exit.DONE
            try:
                with self._output.at_risk():
                    self.obey(line)
                if self._lent:
                    return Exit.DONE
            except (ConnectionLostError, SessionLostError) as exc:
                self._output.failure(exc, exit_status(exc))
                return exit_status(exc)
            except WsrcError as exc:
                self._output.failure(exc, exit_status(exc))
            except KeyboardInterrupt:
                self._output.interrupted(Exit.INTERRUPTED)
                self._output.note("Given up; the card finishes what it has begun.")

    def obey(self, line: str) -> None:
        """
        Do what one line says.

        Raises:
            WsrcError: If it is neither a command nor an APDU, or cannot be done.
        """
        first, _, rest = line.strip().partition(" ")
        if first.lower() in {"allow", "lend"}:
            self._make_way(first.lower(), rest.strip())
            self._remember(line)
            return
        match line.split("#", maxsplit=1)[0].lower().split():
            case []:
                return
            case ["help" | "?"]:
                for help_line in HELP.splitlines():
                    self._output.line(help_line)
            case ["atr"]:
                self._verbs.show_atr(self._card.atr)
            case ["reset"] | ["reset", "cold"]:
                self._verbs.show_atr(self._card.reset(ResetKind.COLD))
            case ["reset", "warm"]:
                self._verbs.show_atr(self._card.reset(ResetKind.WARM))
            case ["reset", *_]:
                raise LocalProtocolError("reset takes cold or warm.")
            case [word, *said] if word in self._words:
                self._words[word](said)
            case words:
                self._transmit("".join(words))
        if not is_secret(line):
            self._remember(line)

    def _make_way(self, word: str, who: str) -> None:
        """Let somebody else have the card, or share it; a name may have any case and spaces."""
        if not who:
            raise LocalProtocolError(f"Usage: {word} WHO")
        if word == "allow":
            self._card.allow(who)
            self._output.note(f"{who} may share the card from now on.")
            return
        until = self._card.lend(who)
        self._lent = True
        self._output.note(f"The card is kept for {who} until {until}.")

    def _transmit(self, text: str) -> None:
        try:
            command = from_person(text)
            parse_command(command)
        except (BadApduError, BadHexError) as exc:
            raise BadApduError(
                f"Neither a command of this prompt nor a command APDU: {exc}; type help for help."
            ) from exc
        self._names.transmit(command)


def completed(before: Sequence[str], beginning: str) -> list[str]:
    """Return the words that may stand at the end of a line that begins with others."""
    words: Sequence[str] = tuple(WORDS) if not before else WORDS.get(before[0].lower(), ())
    return sorted(word for word in words if word.startswith(beginning.lower()))


def is_secret(line: str) -> bool:
    """
    Return whether a line may carry a PIN or a key.

    What `control` sends to the reader may be a command for the card, in a form of the reader's own.
    What follows `verify` and is no key may be the PIN.
    """
    words = line.split("#", maxsplit=1)[0].lower().split()
    if words[:1] == ["control"]:
        return len(words) > 2
    if words[:1] == ["verify"]:
        return len(words) > 2 or not all(map(is_key, words[1:]))
    try:
        octets = from_person("".join(words))
        parse_command(octets)
    except (BadApduError, BadHexError):
        return False
    return in_command(read(octets))


def history_file(environ: Mapping[str, str]) -> Path | None:
    """Return the place of the history by the XDG Base Directory Specification."""
    state = environ.get("XDG_STATE_HOME")
    if state and Path(state).is_absolute():
        return Path(state, "wsrc", "history")
    home = environ.get("HOME")
    return Path(home, ".local", "state", "wsrc", "history") if home else None
