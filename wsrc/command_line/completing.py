# SPDX-License-Identifier: Apache-2.0
"""
What may come next on a command line of `wsrc`; it asks no server and loads no command.

Which commands and options there are is in a file that is made when it is needed and does not fit
the program any more; which cards there are, in that of `known`. The shells of `completion` run it:
the words of the line are arguments, the last of which is to be completed.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from wsrc.command_line import known

VARIABLE: Final = "_WSRC_COMPLETE"
"""Names the shell; where it is set, `wsrc` completes and does nothing else."""

FILE, FOLDER = "file", "folder"
"""Kinds of values that the shell completes by itself; others are lists, or kinds of `known`."""

MOST: Final = 500
"""Words that are offered."""

_BREAKS: Final = (":", "=")
"""Where bash breaks words that others leave whole."""

_DEFAULT_URL: Final = "wss://localhost:4220"

Tree = Mapping[str, Any]
"""
A command: `help`; `options`, whose values say what may follow them: nothing where it is null;
`argument`, likewise; `commands`, trees by name.
"""


def main(shell: str, words: Sequence[str]) -> None:
    """Print what may come next, a line for each word, in the form of the shell."""
    given = _joined(words) if shell == "bash" else list(words) or [""]
    before, last = given[:-1], given[-1]
    lines: list[str] = []
    for word, says in found(_tree(), before, last, os.environ, time.time()):  # noqa: TID251
        if shell == "bash":
            lines.append(word[_broken(words, last) :])
        else:
            lines.append(f"{word}\t{says}" if says else word)
    sys.stdout.write("".join(f"{line}\n" for line in lines[:MOST]))


def found(
    tree: Tree, before: Sequence[str], last: str, environ: Mapping[str, str], now: float
) -> Iterator[tuple[str, str]]:
    """
    Yield the words that may be the next, and what each means.

    Args:
        tree: The program.
        before: The words of the line, without the name of the program.
        last: The beginning of the word.
        environ: Where caches are, and the settings.
        now: The time, in seconds since 1970.
    """
    at, wanted, given = tree, "", list(before)
    options = dict(tree["options"])
    while given:
        word = given.pop(0)
        if word in {"--", "help"}:
            wanted = "" if word == "help" else wanted
            options = {} if word == "--" else options
        elif word.startswith("-"):
            takes = "=" not in word and options.get(word)
            wanted = str(word) if takes and not given else ""
            if takes and given:
                given.pop(0)
        elif word in at["commands"]:
            at = at["commands"][word]
            options |= at["options"]
    if wanted:
        yield from _values(options[wanted], last, "", before, environ, now)
        return
    flag, equals, value = last.partition("=")
    if equals and options.get(flag):
        yield from _values(options[flag], value, f"{flag}=", before, environ, now)
    elif last.startswith("-"):
        yield from ((name, "") for name in sorted(options) if name.startswith(last))
    else:
        yield from _commands(at, last)
        yield from _values(at["argument"], last, "", before, environ, now)


def _commands(at: Tree, last: str) -> Iterator[tuple[str, str]]:
    for name, below in sorted(at["commands"].items()):
        if name.startswith(last):
            yield name, below["help"]


def _values(  # noqa: PLR0913, PLR0917 - what a value depends on
    kind: object,
    last: str,
    flag: str,
    before: Sequence[str],
    environ: Mapping[str, str],
    now: float,
) -> Iterator[tuple[str, str]]:
    match kind:
        case list():
            words = list(map(str, cast("list[object]", kind)))
        case str() if kind in {FILE, FOLDER}:
            words = _files(last, folders=kind == FOLDER)
        case str() if kind in {*known.KINDS, "any"}:
            words = known.values(known.cards_of(environ, _url(before, environ), now), kind)
        case _:
            words = []
    yield from ((f"{flag}{word}", "") for word in words if word.startswith(last))


def _files(beginning: str, *, folders: bool) -> list[str]:
    folder, slash, _ = beginning.rpartition("/")
    shown = f"{folder}{slash}"
    try:
        with os.scandir(os.path.expanduser(shown) or ".") as entries:  # noqa: PTH111
            names = sorted((each.name, each.is_dir()) for each in entries)
    except OSError:
        return []
    hidden = beginning.removeprefix(shown).startswith(".")
    return [
        f"{shown}{name}{'/' * is_folder}"
        for name, is_folder in names
        if (is_folder or not folders) and name.startswith(".") <= hidden and name.isprintable()
    ]


def _url(before: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the server that the line is for, as far as that can be told without loading much."""
    for at, word in enumerate(before):
        if word == "--server-url" and at + 1 < len(before):
            return before[at + 1]
        if word.startswith("--server-url="):
            return word.partition("=")[2]
    return environ.get("WSRC_SERVER_URL") or _DEFAULT_URL


def _joined(words: Sequence[str]) -> list[str]:
    """Return words as the person typed them, where bash broke them."""
    whole: list[str] = []
    for at, word in enumerate(words):
        glued = word in _BREAKS or (at and words[at - 1] in _BREAKS)
        if glued and whole and at:
            whole[-1] += word
        else:
            whole.append(word)
    return whole or [""]


def _broken(words: Sequence[str], last: str) -> int:
    """Return how many characters of a word bash has before the one that it completes."""
    own = "" if words and words[-1] in _BREAKS else (words[-1] if words else "")
    return len(last) - len(own)


def _tree() -> Tree:
    where, key = known.folder(os.environ), _key()
    kept = known.load(f"{where}/commands.json") if where is not None else {}
    if kept.get("key") == key and isinstance(kept.get("tree"), dict):
        tree: Tree = kept["tree"]
        return tree
    from wsrc.command_line.command_tree import tree as made  # noqa: PLC0415 - once for each version

    built = made()
    if where is not None:
        known.save(f"{where}/commands.json", {"key": key, "tree": built})
    return built


def _key() -> str:
    """Return what changes when the program does: when its files were written, and their sizes."""
    here = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    newest, octets = 0, 0
    for folder in ("command_line", "settings", "card/contents"):
        with os.scandir(f"{here}/{folder}") as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    about = entry.stat()
                    newest, octets = max(newest, about.st_mtime_ns), octets + about.st_size
    return f"{here} {newest} {octets}"
