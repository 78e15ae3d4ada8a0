# SPDX-License-Identifier: Apache-2.0
"""
Finds PINs, keys, tokens and session secrets in whatever the tests' programs and our code said.

`Ears` listens to the records of loggers, the errors that are made, what processes and command
lines print, and the files of a test that are logs. What is heard is looked through at once.
"""

import base64
import logging
import re
import secrets
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

MARK = "shows_secrets"
"""Of a test that has secrets shown on purpose, with the reason."""

MOST_OCTETS = 16 << 20
"""Octets of a file that are looked at."""

MOST_LEARNED = 4_096

SESSION_SECRET_OCTETS = 32


class Known(NamedTuple):
    """A secret of the tests; `octets` as a card is given them."""

    name: str
    octets: bytes


KNOWN = (
    Known("PIN", b"1234"),
    Known("PUK, ADM", b"12345678"),
    Known("K", bytes.fromhex("465b5ce8b199b49faa5f0a2ee238a6bc")),
    Known("OPc", bytes.fromhex("cd63cb71954a9f4e48a5994e37a02baf")),
    Known("password", b"s3cret"),
    Known("password", b"pa55w0rd"),
)

_SHAPES = {
    "token": re.compile(r"\bwsrc_[A-Za-z0-9_-]{16}"),
    "JSON Web Token": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "credentials": re.compile(r"(?i)\b(?:basic|bearer) +[A-Za-z0-9+/_.-]{12,}"),
    "password in a URL": re.compile(
        r"(?i)\b(?:wss?|https?|nats|tls)://[^/\s:@]+:(?!PASSWORD@)[^/\s@]+@"
    ),
    "seed of a NATS user": re.compile(r"\bSUA[A-Z2-7]{55}\b"),
    "secret of a session": re.compile(r"""(?i)secret["']?\s*[:=]\s*["']?[0-9a-z]{8}"""),
    "session secret": re.compile(
        r"(?<![0-9a-fA-F])(?!([0-9a-fA-F])\1{63})[0-9a-fA-F]{64}(?![0-9a-fA-F])"
    ),
}
"""What secrets look like that nobody knows beforehand."""

_DIGESTS = re.compile(
    r'(?i)(?:chain|after|digest|sha256|certificate|expect|ends with)["\']?[\s:=]+["\']?[0-9a-f]{64}'
)
"""What of an audit log looks like a secret of a session and is none."""

_HINTS = {
    "token": ("wsrc_",),
    "JSON Web Token": ("eyj",),
    "private key": ("privatekey",),
    "credentials": ("basic", "bearer"),
    "password in a URL": ("@",),
    "seed of a NATS user": ("sua",),
    "secret of a session": ("secret",),
}
"""Of which a text has one, in lower case and without space, in which a shape is looked for."""

_BETWEEN = (" ", "\t", "\n", "\r", ":")
_LEAST_TEXT = 6
"""Characters of a secret that is looked for as text; fewer are in many a number."""


def _base64(octets: bytes) -> Iterator[str]:
    """Yield what is in every base64 text that has these octets, wherever they begin."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + octets).decode().rstrip("=")
        begin = (0, 2, 3)[before]
        whole = (before + len(octets)) * 8 // 6
        yield text[begin:whole]


class Finding(NamedTuple):
    """Which secret was found, where, and what stands beside it."""

    what: str
    source: str
    beside: str

    def __str__(self) -> str:
        return f"{self.what} in {self.source}: …{self.beside}…"


class Scanner:
    """Looks for the secrets of the tests, those that it learned, and what looks like one."""

    def __init__(self, known: Iterable[Known] = KNOWN) -> None:
        known = tuple(known)
        self._hex = {each.octets.hex(): each.name for each in known}
        coded = {text: each.name for each in known for text in _base64(each.octets)}
        texts = {text: each.name for each in known for text in _texts(each.octets)}
        self._numbers = {text: name for text, name in texts.items() if text.isdigit()}
        self._plain = coded | {text: name for text, name in texts.items() if not text.isdigit()}
        self._learned: deque[str] = deque(maxlen=MOST_LEARNED)

    def learn(self, secret: str) -> None:
        """Look for a secret from now on; of too many the oldest is forgotten."""
        self._learned.append(secret)

    def scan(self, text: str, source: str) -> list[Finding]:
        """Return what is found in a text, in hexadecimal digits, base64 or as it is."""
        compact = text.lower()
        for each in _BETWEEN:
            compact = compact.replace(each, "")
        found = _found_in(compact, self._hex.items(), source)
        found += _found_in(text, self._plain.items(), source)
        found += _numbers_in(text, self._numbers.items(), source)
        found += _found_in(text, ((each, "session secret") for each in self._learned), source)
        for name, shape in _SHAPES.items():
            hinted = any(hint in compact for hint in _HINTS.get(name, ("",)))
            if hinted and (match := shape.search(_DIGESTS.sub("", text))):
                found.append(_finding(name, source, text, match.start()))
        return found


def _found_in(text: str, sought: Iterable[tuple[str, str]], source: str) -> list[Finding]:
    """Return which of some secrets are in a text."""
    return [
        _finding(name, source, text, at)
        for secret, name in sought
        if (at := text.find(secret)) >= 0
    ]


def _numbers_in(text: str, sought: Iterable[tuple[str, str]], source: str) -> list[Finding]:
    """Return which of some decimal numbers are in a text; amid other digits it is another one."""
    return [
        _finding(name, source, text, match.start())
        for number, name in sought
        if number in text and (match := re.search(rf"(?<!\d){number}(?!\d)", text))
    ]


def _texts(octets: bytes) -> list[str]:
    return [octets.decode()] if octets.isascii() and len(octets) >= _LEAST_TEXT else []


def _finding(what: str, source: str, text: str, at: int) -> Finding:
    return Finding(what, source, text[max(0, at - 60) : at + 40].replace("\n", "⏎"))


def is_log(path: Path) -> bool:
    """Return whether a file of a test is a log, a trace, an audit file, metrics or a database."""
    kinds = {".log", ".jsonl", ".pcap", ".pcapng", ".trace", ".prom", ".db", ".sqlite", ".sqlite3"}
    named = any(word in path.name for word in ("audit", "trace", "metrics", "journal"))
    return path.suffix in kinds or (named and path.suffix not in {".py", ".toml"})


class Ears(logging.Handler):
    """Hears what is said in this process and by those that it starts; `found` is what was found."""

    def __init__(self) -> None:
        super().__init__()
        self.scanner = Scanner()
        self.found: list[Finding] = []
        self._listens = False
        self.texts = 0
        self.characters = 0
        self._format = logging.Formatter("%(name)s: %(message)s").format

    def hear(self, text: str | bytes | None, source: str) -> None:
        """Look through what was said."""
        if not text:
            return
        if isinstance(text, bytes):
            text = text.decode("latin-1")
        self.texts += 1
        self.characters += len(text)
        if len(self.found) < 100:
            self.found += self.scanner.scan(text, source)

    def emit(self, record: logging.LogRecord) -> None:
        """Hear a record of a logger, with the traceback that it has."""
        if record.name.startswith("websockets"):
            return  # it is a peer of the tests, and none of ours
        self.hear(self._format(record), f"a log record of {record.name}")

    def files(self, folder: Path) -> None:
        """Look through the logs in a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and is_log(path):
                with path.open("rb") as file:
                    self.hear(file.read(MOST_OCTETS), path.name)

    def take(self) -> list[Finding]:
        """Return, once, what was found."""
        found, self.found = self.found, []
        return found

    def open(self) -> None:
        """Listen from now on, as long as the process lasts."""
        # Not sooner: a module of ours that cannot be imported is to fail tests, and not pytest.
        from wsrc.errors import WsrcError  # noqa: PLC0415
        from wsrc.protocol import messages  # noqa: PLC0415

        if self._listens:
            return
        self._listens = True
        logging.getLogger().addHandler(self)
        _beside(WsrcError, "__init__", self._made)
        _beside(messages, "error", self._answered)
        _beside(secrets, "token_hex", self._drawn)
        _beside(subprocess.CompletedProcess, "__init__", self._ended)
        _beside(pytest.CaptureFixture, "readouterr", self._printed)

    def _made(self, _result: None, _error: Exception, *said: Any) -> None:
        self.hear(" ".join(map(str, said)), "an error")

    def _answered(self, made: Any, *_: Any) -> None:
        self.hear(made.message, "an error message")

    def _drawn(self, made: str, octets: int | None = None, *_: Any) -> None:
        if octets == SESSION_SECRET_OCTETS:
            self.scanner.learn(made)

    def _ended(self, _result: None, done: "subprocess.CompletedProcess[Any]", *_: Any) -> None:
        self.hear(done.stdout, "what a process printed")
        self.hear(done.stderr, "what a process complained of")

    def _printed(self, captured: Any, *_: Any) -> None:
        self.hear(captured.out, "what was printed")
        self.hear(captured.err, "what was complained of")


def _beside(owner: Any, name: str, tell: Callable[..., None]) -> None:
    """Have somebody told of each call of a function, of its result and its arguments."""
    function = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        tell(result, *args)
        return result

    setattr(owner, name, call)


EARS = Ears()
"""Those of this process."""
