# SPDX-License-Identifier: Apache-2.0
"""The commands `audit …` of a program that writes an audit log, or has it looked at."""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import click

from wsrc.audit import merging
from wsrc.audit.check import Check
from wsrc.audit.files import files_at, number_of, read_into
from wsrc.audit.merging import Sessions, logs_of
from wsrc.process.printable import clean

FAULTY: Final = 1
"""Exit status where a log is not as it was written."""

IO_FAILED: Final = 74
"""Exit status where a file cannot be read, as that of `wsrc`."""

_MERGE_HELP = """
Put the lines of several audit logs in one order, as JSON lines.

Give folders, or files in any order, such as those of all nodes of a cluster; logs are told apart by
what their first lines say. Each log keeps its order. Between logs the time decides, as the clock of
each has it; whatever the clocks say, what becomes of a session comes after the line that it was
taken. A line has the node, or the host, the file and the number of the line, and its entry as it
was written.

All logs are looked at first, as by `verify`, and nothing is printed if one is not as it was
written; with --accept-broken it is, each line of that log with "broken": true, but for lines that
cannot be read. What is found is told on standard error. Files are read twice, and held in no
memory.

\b
  wsrc-server audit merge /collected/node-a /collected/node-b > all.jsonl
  wsrc-server audit merge --accept-broken node-a/*.jsonl node-b/*.jsonl | jq .entry

Exit status: 0 all is as it was written, 1 something is not, 2 the command line is wrong, 74 a file
cannot be read or the output not be written.
"""

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


@audit.command(help=_MERGE_HELP)
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE...|DIR...", type=click.Path(path_type=Path)
)
@click.option("--accept-broken", is_flag=True, help="Print logs that are not as they were written.")
def merge(paths: Sequence[Path], *, accept_broken: bool) -> None:
    """See `_MERGE_HELP`."""
    try:
        with closing(Sessions()) as sessions:
            faults = _looked_at(logs := logs_of(paths), sessions)
            if faults and not accept_broken:
                click.echo("Nothing is merged; --accept-broken merges it all the same.", err=True)
                sys.exit(FAULTY)
            against = merging.merge(logs, sessions, sys.stdout.buffer.write)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(IO_FAILED)
    except OSError as exc:
        click.echo(f"{clean(str(exc.filename or 'output'))}: {exc.strerror}", err=True)
        sys.exit(IO_FAILED)
    if against:
        click.echo(f"{against} lines contradict each other: their order is that of time.", err=True)
    sys.exit(FAULTY if faults else 0)


def _looked_at(logs: Sequence[merging.Log], sessions: Sessions) -> int:
    """Check logs, tell of those that have faults, and return how many faults there are."""
    for at, log in enumerate(logs):
        log.look(partial(sessions.note, at))
        if log.check.faults:
            _tell(log.check, err=True)
    return sum(log.check.faults for log in logs)


def _logs(paths: Sequence[Path]) -> list[list[Path]]:
    """
    Return the files of each log, in their order.

    Raises:
        OSError: If one cannot be read, or a folder has none.
    """
    logs: dict[tuple[Path, str], dict[Path, int]] = {}
    for path in paths:
        for each in files_at(path):
            program, number = number_of(each)
            logs.setdefault((each.parent, program), {})[each] = number
    return [sorted(files, key=files.__getitem__) for files in logs.values()]


def _check(files: Sequence[Path], after: str | None, expect: Sequence[str]) -> Check:
    check = Check(after, expect)
    for path in files:
        read_into(check, path)
    check.end()
    return check


def _tell(check: Check, *, err: bool = False) -> None:
    for finding in check.findings:
        what = "" if finding.fault else "note: "
        click.echo(clean(f"{finding.file}:{finding.line}: {what}{finding.sentence}"), err=err)
    if check.unsaid:
        click.echo(f"{check.unsaid} more are not shown.", err=err)
    lines = f"{check.lines} line{'s' * (check.lines != 1)}"
    last = f"the last is {check.number}, chain {check.digest}"
    click.echo(f"{clean(check.name)}: {lines}, {last}", err=err)
