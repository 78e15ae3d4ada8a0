# SPDX-License-Identifier: Apache-2.0
"""Programs of others that use PC/SC, and what they print with the names of readers taken out."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import PROGRAMS
from tests.support.pcsc.sides import Side

LIMIT_S = 90

_ADMIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_TIME = re.compile(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}")
_NOISE = re.compile(r"[-\\|/]?\x08|\x1b\[[0-9;]*[mKJH]|\r")


class Tool(NamedTuple):
    """
    One invocation.

    `argv` is given the readers; `seconds` ends a program that runs for ever by SIGINT.
    """

    name: str
    argv: Callable[[list[str]], list[str]]
    stdin: str = ""
    seconds: float = 0.0


def _plain(name: str, *argv: str, stdin: str = "", seconds: float = 0.0) -> Tool:
    return Tool(name, lambda _: list(argv), stdin, seconds)


def _python(part: str) -> Tool:
    return _plain(f"pyscard {part}", sys.executable, str(PROGRAMS / "layers.py"), part)


APDUS = "reset\n00 A4 00 04 02 3F 00\n00 C0 00 00 27\n00 A4 00 0C 02 2F E2\n00 B0 00 00 0A\n"
EXPLORER = "info\nls\ncd 3F00\napdu 00A40004023F00\nquit\n"

TOOLS = (
    _plain("pcsc_scan -r", "pcsc_scan", "-r"),
    _plain("pcsc_scan -c", "pcsc_scan", "-c"),
    _plain("pcsc_scan -n", "pcsc_scan", "-n", seconds=1.5),
    _plain("opensc-tool -l", "opensc-tool", "-l"),
    _plain("opensc-tool -n 0", "opensc-tool", "-r", "0", "-n"),
    _plain("opensc-tool -n 1", "opensc-tool", "-r", "1", "-n"),
    _plain("opensc-tool --atr 0", "opensc-tool", "-r", "0", "--atr"),
    _plain("opensc-tool --atr 1", "opensc-tool", "-r", "1", "--atr"),
    _plain("opensc-tool -s", "opensc-tool", "-r", "0", "-s", "00A40004023F00", "-s",
           "00A4000C022FE2", "-s", "00B000000A"),
    _plain("opensc-tool -s T=1", "opensc-tool", "-r", "1", "-s", "00A4040006D27600012401", "-s",
           "00CA006E00"),
    Tool("opensc-tool by name", lambda readers: ["opensc-tool", "-r", readers[1], "--atr"]),
    _plain("opensc-explorer", "opensc-explorer", "-r", "0", stdin=EXPLORER),
    _plain("opensc-explorer T=1", "opensc-explorer", "-r", "1", stdin=EXPLORER),
    _plain("openpgp-tool", "openpgp-tool", "-r", "1", "-C", "-U"),
    _plain("pkcs11-tool -L", "pkcs11-tool", "-L"),
    _plain("pkcs11-tool -O", "pkcs11-tool", "--slot-index", "0", "-O"),
    _plain("pkcs15-tool -D", "pkcs15-tool", "-r", "1", "-D"),
    _plain("piv-tool -n", "piv-tool", "-r", "1", "-n"),
    Tool("scriptor", lambda readers: ["scriptor", "-r", readers[0], "-p", "T=0"], APDUS),
    Tool("scriptor T=1", lambda readers: ["scriptor", "-r", readers[1], "-p", "T=1"], APDUS),
    _plain("ykman", "ykman", "list", "--readers"),
    _plain("java", "java", str(PROGRAMS / "Cards.java")),
    *map(_python, ("raw", "connections", "checking", "requesting", "monitoring")),
)  # fmt: skip


def found(program: str) -> str | None:
    """Return the path of a program, which may stand beside our Python."""
    own = Path(sys.executable).parent
    return shutil.which(program, path=os.pathsep.join((str(own), os.environ["PATH"], *_ADMIN)))


def run(tool: Tool, side: Side) -> str:
    """Run a tool on a side and give its exit status and what it printed."""
    command = tool.argv(side.readers)
    program = found(command[0])
    assert program is not None
    command[0] = program
    if tool.seconds:
        command = ["timeout", "--signal=INT", str(tool.seconds), *command]
    with tempfile.TemporaryDirectory(prefix="wsrc-home-") as home:
        ended = subprocess.run(
            command,
            env=side.environment | {"HOME": home, "LC_ALL": "C.UTF-8"},
            input=tool.stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    return f"{plain(ended.stdout, side)}\nexit status {ended.returncode}"


def plain(text: str, side: Side) -> str:
    """Take out what may differ: names of readers, blanks beside them, the time of day."""
    for number, reader in enumerate(side.readers):
        text = text.replace(reader, f"READER {number}")
        cut = reader[:32].rstrip()  # PKCS #11 shortens and pads the names of slots and tokens
        text = text.replace(cut, f"READER {number}")
    lines = (_TIME.sub("TIME", _NOISE.sub("", line)).rstrip() for line in text.splitlines())
    return "\n".join(lines).strip()


@contextlib.contextmanager
def gnupg(side: Side, reader: str) -> Iterator[dict[str, str]]:
    """Return the environment of a gpg whose scdaemon uses a reader; the daemons end with it."""
    with tempfile.TemporaryDirectory(prefix="wsrc-gpg-") as home:
        environment = side.environment | {"GNUPGHOME": home, "LC_ALL": "C.UTF-8"}
        settings = f"disable-ccid\nreader-port {reader}\n"
        (Path(home) / "scdaemon.conf").write_text(settings, encoding="utf-8")
        try:
            yield environment
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], env=environment, timeout=30, check=False)


def card_status(side: Side, number: int) -> str:
    """Run `gpg --card-status` twice with the card of a reader."""
    with gnupg(side, side.readers[number]) as environment:
        printed = ""
        for _ in range(2):
            ended = subprocess.run(
                ["gpg", "--batch", "--no-tty", "--card-status"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
            printed += f"{ended.stdout}\nexit status {ended.returncode}\n"
        home = environment["GNUPGHOME"]
    return plain(printed, side).replace(home, "HOME")
