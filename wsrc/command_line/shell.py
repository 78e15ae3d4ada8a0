# SPDX-License-Identifier: Apache-2.0
"""A prompt that talks to one card."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, Self

from wsrc.card.apdu import Response, parse_command
from wsrc.card.slot import ResetKind
from wsrc.command_line.invocation import Exit, exit_status
from wsrc.command_line.output import Output, response_document, response_line
from wsrc.command_line.shell_verbs import HELP as VERBS_HELP, VerbCard, Verbs
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
from wsrc.protocol.messages import CardInfo
from wsrc.user_client.naming import describe

if TYPE_CHECKING:  # the help of a command needs none of that
    from wsrc.user_client.core.seals import SealedWith

MAX_HISTORY = 1000
"""Lines that are kept."""

HELP = f"""\
HEX                 send a command APDU, such as 00A40004023F00; spaces may stand between octets
reset [cold|warm]   reset the card and show its ATR
atr                 show the ATR again
{VERBS_HELP}
allow WHO           let a colleague share the card; it is shared from then on
lend WHO            give the card back, let a colleague have it next, and leave
help                show this
quit                give the card back and leave; so does Ctrl-D
Ctrl-C gives up a command that the card has not begun."""


class ShellCard(VerbCard, Protocol):
    """What a shell needs of a card."""

    @property
    def info(self) -> CardInfo:
        """See `blocking.Card.info`."""
        ...

    @property
    def atr(self) -> bytes:
        """See `blocking.Card.atr`."""
        ...

    @property
    def sealed(self) -> "SealedWith | None":
        """See `blocking.Card.sealed`."""
        ...

    def transmit(self, command: bytes) -> Response:
        """See `blocking.Card.transmit`."""
        ...

    def allow(self, who: str) -> None:
        """See `blocking.Card.allow`."""
        ...

    def lend(self, who: str) -> str:
        """See `blocking.Card.lend`."""
        ...

    def reset(self, kind: ResetKind = ...) -> bytes:
        """See `blocking.Card.reset`."""
        ...


class Shell:
    """
    Reads lines and carries them out.

    `read` returns a line for a prompt and raises EOFError at the end; `remember` keeps a line.
    """

    def __init__(
        self,
        card: ShellCard,
        output: Output,
        read: Callable[[str], str] = input,
        remember: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._card = card
        self._output = output
        self._verbs = Verbs(card, output)
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
        with History(history) as kept:
            self._remember = kept.remember
            return self._serve()

    def _serve(self) -> Exit:
        while True:
            try:
                line = self._read(self._prompt).strip()
            except EOFError:
                return Exit.DONE
            except KeyboardInterrupt:
                self._output.note("")
                continue
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
            case [word, *_] as words if self._verbs.knows(word):
                self._verbs.obey(words)
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
        response = self._card.transmit(command)
        if self._output.as_json:
            self._output.document(response_document(response))
        else:
            self._output.line(response_line(response))


class History:
    """The lines of earlier runs for the editing of new ones, where the system can edit lines."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._readline = _readline()

    def __enter__(self) -> Self:
        if self._readline is not None:
            self._readline.set_auto_history(False)
            self._readline.clear_history()
            if self._path is not None and self._path.is_file():
                self._readline.read_history_file(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._readline is None or self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._path.chmod(0o600)
            self._readline.set_history_length(MAX_HISTORY)
            self._readline.write_history_file(self._path)
        except OSError:
            return

    def remember(self, line: str) -> None:
        """Keep a line."""
        if self._readline is not None:
            self._readline.add_history(line)


def is_secret(line: str) -> bool:
    """
    Return whether a line may carry a PIN or a key.

    What `control` sends to the reader may be a command for the card, in a form of the reader's own.
    """
    words = line.split("#", maxsplit=1)[0].lower().split()
    if words[:1] == ["control"]:
        return len(words) > 2
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


def _readline() -> ModuleType | None:
    try:
        import readline  # noqa: PLC0415 - not every system has it
    except ImportError:
        return None
    return readline
