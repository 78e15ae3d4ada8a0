# SPDX-License-Identifier: Apache-2.0
"""The commands `audit …` of a program that writes an audit log, or has it looked at."""

import errno
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from wsrc.audit.check import Check
from wsrc.audit.files import logs_in, number_of, read_into
from wsrc.process.printable import clean

FAULTY: Final = 1
"""Exit status where a log is not as it was written."""

IO_FAILED: Final = 74
"""Exit status where a file cannot be read, as that of `wsrc`."""

_HELP = """
Say whether the files of an audit log are as they were written.

Give a folder, or all files of a log in any order. What was changed, removed or moved is named by
file and line. That lines are missing at the very end, or that all of them were made anew, shows
only by what was noted elsewhere: the program says every hour in its ordinary log what its last
line ends with, and --expect looks for that.

\b
  wsrc-server audit verify /var/log/wsrc
  wsrc-server audit verify --expect 5f2c…9e wsrc-server-00000008.jsonl

Exit status: 0 all is as it was written, 1 something is not, 2 the command line is wrong, 74 a file
cannot be read.
"""


@click.group()
def audit() -> None:
    """Look at an audit log."""


def _chain(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[0-9a-f]{64}", value):
        raise click.BadParameter("it has 64 hexadecimal digits in small letters")
    return value


def _chains(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> tuple[str, ...]:
    return tuple(str(_chain(context, parameter, value)) for value in values)


@audit.command(help=_HELP)
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE...|DIR", type=click.Path(path_type=Path)
)
@click.option(
    "--expect", metavar="CHAIN", multiple=True, callback=_chains, help="A line must end with this."
)
@click.option(
    "--after", metavar="CHAIN", callback=_chain, help="The first file must go on from this."
)
def verify(paths: Sequence[Path], expect: tuple[str, ...], after: str | None) -> None:
    """See `_HELP`."""
    try:
        checks = [_check(files, after, expect) for files in _logs(paths)]
    except OSError as exc:
        click.echo(f"{clean(str(exc.filename))}: {exc.strerror}", err=True)
        sys.exit(IO_FAILED)
    for check in checks:
        _tell(check)
    unseen = set(expect).intersection(*(check.unseen for check in checks))
    for chain in sorted(unseen):
        click.echo(f"No line ends with {chain}: it is cut off, or all lines were made anew.")
    faults = sum(check.faults for check in checks) + len(unseen)
    click.echo("Something is not as it was written." if faults else "All is as it was written.")
    sys.exit(FAULTY if faults else 0)


def _logs(paths: Sequence[Path]) -> list[list[Path]]:
    """
    Return the files of each log, in their order.

    Raises:
        OSError: If one cannot be read, or a folder has none.
    """
    logs: dict[tuple[Path, str], dict[Path, int]] = {}
    for path in paths:
        if path.is_dir():
            found = [each for files in logs_in(path).values() for each in files.values()]
            if not found:
                raise FileNotFoundError(errno.ENOENT, "there is no audit log in it", str(path))
        else:
            found = [path]
        for each in found:
            program, number = number_of(each)
            logs.setdefault((each.parent, program), {})[each] = number
    return [sorted(files, key=files.__getitem__) for files in logs.values()]


def _check(files: Sequence[Path], after: str | None, expect: Sequence[str]) -> Check:
    check = Check(after, expect)
    for path in files:
        read_into(check, path)
    check.end()
    return check


def _tell(check: Check) -> None:
    for finding in check.findings:
        what = "" if finding.fault else "note: "
        click.echo(clean(f"{finding.file}:{finding.line}: {what}{finding.sentence}"))
    if check.unsaid:
        click.echo(f"{check.unsaid} more are not shown.")
    lines = f"{check.lines} line{'s' * (check.lines != 1)}"
    last = f"the last is {check.number}, chain {check.digest}"
    click.echo(f"{clean(check.name)}: {lines}, {last}")
