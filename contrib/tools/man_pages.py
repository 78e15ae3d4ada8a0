# SPDX-License-Identifier: Apache-2.0
"""Man pages in man(7), made from the commands that also make `--help`."""

import inspect
import re
from collections.abc import Iterator

import click

from wsrc import __version__
from wsrc.card_client.cli import command as card_client
from wsrc.certs.cli import program as certs
from wsrc.command_line.program import program as user
from wsrc.server.cli import command as server
from wsrc.settings.load import CardClientSettings, ServerSettings, Settings, UserSettings

PROGRAMS: dict[str, tuple[click.Command, str, type[Settings] | None]] = {
    "wsrc": (user, "use smart cards that are somewhere else", UserSettings),
    "wsrc-card-client": (card_client, "offer smart cards to users elsewhere", CardClientSettings),
    "wsrc-certs": (certs, "make certificates for WSRC", None),
    "wsrc-server": (server, "relay smart cards between hosts and users", ServerSettings),
}
"""Each program: its command, the words of its NAME, and what can be set in it."""

MANUAL = "WSRC manual"

_VERBATIM = "\b"


def page(name: str) -> str:
    """Return the man page of a program; it depends on nothing but the code."""
    command, about, settings = PROGRAMS[name]
    lines = [
        '.\\" Made from the code of the program; do not edit.',
        f'.TH {_quoted(name.upper())} 1 "" {_quoted(f"WSRC {__version__}")} {_quoted(MANUAL)}',
        ".nh",
        ".ad l",
        '.SH "NAME"',
        f"{_text(name)} \\- {_text(about)}",
    ]
    with click.Context(command, info_name=name) as context:
        lines += ['.SH "SYNOPSIS"', *_synopsis(context), '.SH "DESCRIPTION"']
        lines += [*_prose(command.help), '.SH "OPTIONS"', *_options(context, frozenset())]
        lines += ['.SH "EXAMPLES"', *_prose(command.epilog)] if command.epilog else []
        lines += _commands(context, _records(context))
    if settings is not None:
        files = ", ".join(settings.FILES)
        lines += ['.SH "FILES"', f"Settings: {_text(files)}, the first that is there."]
    others = [other for other in PROGRAMS if other != name]
    lines += ['.SH "SEE ALSO"', *(f".BR {_text(other)} (1)" for other in others)]
    return "\n".join(lines) + "\n"


Records = frozenset[tuple[str, str]]
"""Options as help shows them: their names, and their meaning."""


def _commands(context: click.Context, known: Records) -> Iterator[str]:
    """Yield the commands of a group, each with those within it; known options are left out."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        with click.Context(command, parent=context, info_name=name) as inner:
            yield f".SH {_quoted(inner.command_path)}"
            yield from _synopsis(inner)
            yield ".PP"
            yield from _prose(command.help)
            yield from _options(inner, known)
            yield from _prose(command.epilog)
            yield from _commands(inner, known | _records(inner))


def _records(context: click.Context) -> Records:
    params = context.command.get_params(context)
    return frozenset(r for each in params if (r := each.get_help_record(context)) is not None)


def _synopsis(context: click.Context) -> list[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return [f".B {_text(context.command_path)}", _text(pieces)]


def _options(context: click.Context, known: Records) -> Iterator[str]:
    """Yield the options of a command that are not known, in the words of its help."""
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        if record is not None and record not in known:
            names, meaning = record
            yield from (".TP", f".B {_text(names)}", _text(meaning))


def _prose(text: str | None) -> Iterator[str]:
    """Yield paragraphs; those that click leaves as they are stay so."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or "").partition("\f")[0].strip()):
        if paragraph.lstrip("\n ").startswith(_VERBATIM):
            lines = paragraph.replace(_VERBATIM, "", 1).strip("\n").splitlines()
            yield from (".PP", ".nf", *map(_text, lines), ".fi")
        elif paragraph:
            yield from (".PP", _text(" ".join(paragraph.split())))


def _text(text: str) -> str:
    """Return a line of text as troff writes it as it is."""
    line = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    line = line.replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    line = line.replace("|", "|\\:")  # where a long list of words may be broken
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _quoted(text: str) -> str:
    return '"{}"'.format(_text(text).replace('"', "\\(dq"))
