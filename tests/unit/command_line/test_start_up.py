# SPDX-License-Identifier: Apache-2.0
"""wsrc.command_line: a command loads what it needs and no more; counted in modules, not in time."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.support.commands import within
from tests.support.processes import argv, environment
from wsrc import __version__
from wsrc.command_line.program import COMMANDS, program

SHARED = {
    "wsrc",
    "wsrc.card",
    "wsrc.card.apdu",
    "wsrc.card.pin",
    "wsrc.card.slot",
    "wsrc.command_line",
    "wsrc.command_line.completion",
    "wsrc.command_line.entry",
    "wsrc.command_line.groups",
    "wsrc.command_line.invocation",
    "wsrc.command_line.program",
    "wsrc.command_line.script",
    "wsrc.errors",
    "wsrc.guard",
    "wsrc.guard.tables",
    "wsrc.octets",
    "wsrc.principal",
    "wsrc.process",
    "wsrc.process.descriptors",
    "wsrc.process.signals",
    "wsrc.process.texts",
    "wsrc.settings",
    "wsrc.settings.address",
    "wsrc.settings.click_options",
    "wsrc.settings.clients",
    "wsrc.settings.clustering",
    "wsrc.settings.held",
    "wsrc.settings.hosts",
    "wsrc.settings.limits",
    "wsrc.settings.load",
    "wsrc.settings.server",
    "wsrc.settings.serving",
    "wsrc.settings.types",
    "wsrc.tags",
    "wsrc.user_client",
    "wsrc.user_client.naming",
    "wsrc.words",
}
"""What `wsrc` is made of before it is known which command is called."""

OF_LIST = {
    "wsrc.card.atr",
    "wsrc.card.identity",
    "wsrc.card.tlv",
    "wsrc.command_line.cards",
    "wsrc.command_line.decoded",
    "wsrc.command_line.listing",
    "wsrc.command_line.output",
    "wsrc.command_line.table",
    "wsrc.command_line.times",
    "wsrc.process.printable",
    "wsrc.protocol",
    "wsrc.protocol.commands",
    "wsrc.protocol.farm",
    "wsrc.protocol.fields",
    "wsrc.protocol.messages",
    "wsrc.protocol.operations",
    "wsrc.protocol.parts",
    "wsrc.protocol.reader_events",
    "wsrc.protocol.reservations",
    "wsrc.protocol.seals",
    "wsrc.protocol.verbs",
    "wsrc.selection",
}
"""What the module of `list` takes as well."""

OF_VERSION = {
    "wsrc",
    "wsrc.command_line",
    "wsrc.command_line.entry",
    "wsrc.process",
    "wsrc.process.descriptors",
}
"""What tells the version."""

MODULES = {("list",): 330, ("apdu", "off"): 345, ("apdu", "on"): 425}
"""Modules of a command that asks a server, Python's own included; with a seal and without."""

NOT_ASKED = {
    "bz2",
    "difflib",
    "lzma",
    "shutil",
    "wsrc.card.contents.catalogue",
    "wsrc.card.contents.fcp",
    "wsrc.command_line.read",
    "wsrc.command_line.shell",
}
"""What neither `list` nor `apdu` needs, in a pipe."""

OTHERS = {"click", "msgspec", "typing_extensions"}
"""Packages of others that all of it takes; msgspec has typing_extensions where that is there."""

HEAVY = {"aiohttp", "asyncio", "cryptography", "logging", "smartcard", "socket", "ssl"}
"""What takes long to load, and no help needs."""

BRIDGES = {"lpac", "vpcd"}
"""Commands whose options are those of the bridge, which is loaded for them."""


def loaded(*arguments: str, status: int = 0) -> set[str]:
    """Return the modules that a run of `wsrc` has loaded at its end, which is with this status."""
    [python, *flags, code, _] = argv("wsrc", "")
    watched = (
        "import atexit, json, sys; sys.stderr = sys.__stderr__; "
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr)); "
    )
    done = subprocess.run(
        [python, *flags, watched + code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    modules: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(modules) - {"json", "atexit"}


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "wsrc"}


def foreign(modules: set[str]) -> set[str]:
    """Return packages of others without what an installation of Python has of its own."""
    packages = {name.split(".")[0] for name in modules}
    return {
        name
        for name in packages - set(sys.stdlib_module_names) - {"wsrc", "sitecustomize"}
        if not name.startswith("_")
    }


def test_start_up_the_version_takes_no_program() -> None:
    modules = loaded("--version")
    assert ours(modules) == OF_VERSION
    assert foreign(modules) == set()


def test_start_up_the_version_is_that_of_the_program() -> None:
    [python, *flags, code, _] = argv("wsrc", "")
    command = [python, *flags, code]
    told = [
        subprocess.run(
            [*command, *arguments],
            env=environment(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        for arguments in (["--version"], ["--version", "list"], ["version"])
    ]
    assert {(each.returncode, each.stdout, each.stderr) for each in told} == {
        (0, f"{__version__}\n".encode(), b"")
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_start_up_a_version_that_cannot_be_printed_is_explained() -> None:
    [python, *flags, code, _] = argv("wsrc", "")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [python, *flags, code, "--version"],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert b"No space left" in done.stderr


def test_start_up_help_takes_what_all_commands_share() -> None:
    modules = loaded("--help")
    assert ours(modules) == SHARED
    assert foreign(modules) <= OTHERS
    assert modules & HEAVY == set()


def test_start_up_the_help_of_a_command_takes_its_module_as_well() -> None:
    modules = loaded("list", "--help")
    assert ours(modules) == SHARED | OF_LIST
    assert foreign(modules) <= OTHERS
    assert modules & HEAVY == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("completion", "bash"),
        *((name, "--help") for name in COMMANDS if name not in BRIDGES),
    ],
    ids=" ".join,
)
def test_start_up_no_help_takes_what_only_a_connection_needs(arguments: tuple[str, ...]) -> None:
    modules = loaded(*arguments)
    heavy = HEAVY - {"asyncio", "logging", "socket", "ssl"} if arguments[0] == "pcsc" else HEAVY
    assert modules & heavy == set()


@pytest.mark.parametrize(
    "command", [("list",), ("apdu", "--seal", "off", "--card", "x", "00a40000")]
)
def test_start_up_what_connects_takes_no_library_of_http(command: tuple[str, ...]) -> None:
    modules = loaded(*command, "--server-url", "ws://127.0.0.1:1", status=5)
    assert "asyncio" in modules
    assert modules & {"aiohttp", "cryptography", "http", "multidict", "yarl"} == set()


@pytest.mark.parametrize("of", MODULES, ids=" ".join)
def test_start_up_what_asks_a_server_takes_no_more_than_it_did(of: tuple[str, ...]) -> None:
    name, *seal = of
    sealed = ("--seal", "preferred" if seal == ["on"] else "off") if seal else ()
    more = (*sealed, "--card", "x", "00a40000") if seal else ()
    modules = loaded(name, *more, "--server-url", "ws://127.0.0.1:1", status=5)
    assert modules & NOT_ASKED == set()
    assert len(modules) <= MODULES[of]


def test_start_up_what_is_loaded_is_not_looked_through_for_garbage() -> None:
    [python, *flags, code, _] = argv("wsrc", "")
    counted = "import atexit, gc, sys; gc.collect(); before = gc.get_stats()[0]['collections']; "
    counted += "atexit.register(lambda: print(gc.get_stats()[0]['collections'] - before, "
    counted += "file=sys.__stderr__)); "
    done = subprocess.run(
        [python, *flags, counted + code, "list", "--server-url", "ws://127.0.0.1:1"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert int(done.stderr.splitlines()[-1]) <= 5


@pytest.mark.parametrize("name", COMMANDS)
def test_start_up_a_list_of_commands_says_what_their_help_says(name: str) -> None:
    command = within(program, name)
    assert command is not None
    stands_for = click.Command(name, help=COMMANDS[name].sentence)
    assert command.get_short_help_str(200) == stands_for.get_short_help_str(200)


def test_start_up_the_completion_of_a_name_loads_no_command() -> None:
    found = program.shell_complete(click.Context(program), "")
    assert [each.value for each in found if not each.value.startswith("-")] == sorted(COMMANDS)
    assert {each.help for each in found} >= {COMMANDS["list"].sentence}
