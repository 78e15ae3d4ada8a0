# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc-server init`: a new server from nothing, and what to do next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from wsrc.server.new_server import Made, Wanted, make
from wsrc.settings.hosts import host_name
from wsrc.settings.load import ServerSettings, settings_of

_PORT = click.IntRange(1, 65_535)
_DEFAULT = {each.name: each.default for each in settings_of(ServerSettings)}


@click.command(
    "init",
    epilog="\b\nExamples:\n"
    "  wsrc-server init relay.example\n"
    "  sudo wsrc-server init relay.example 192.0.2.7 --dir /etc/wsrc --service wsrc",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="server",
    show_default=True,
    metavar="DIR",
    help="Folder of its files.",
)
@click.option(
    "--user", default="first-user", show_default=True, metavar="NAME", help="The first user."
)
@click.option(
    "--card-host",
    default="first-host",
    show_default=True,
    metavar="NAME",
    help="The first host with cards.",
)
@click.option(
    "--service",
    default="",
    metavar="USER",
    help="User that the server is to run as, as the units of systemd do; its state is in "
    "/var/lib/wsrc then.  [default: who runs this, with the state in DIR]",
)
@click.option("--host", default="*", show_default=True, help="Addresses to listen on.")
@click.option(
    "--user-port",
    type=_PORT,
    default=_DEFAULT["user_port"],
    show_default=True,
    help="Port for user clients.",
)
@click.option(
    "--card-port",
    type=_PORT,
    default=_DEFAULT["card_port"],
    show_default=True,
    help="Port for card clients.",
)
def init(names: Sequence[str], **given: Any) -> None:
    """
    Make settings, certificates, a policy and two tokens for a new server, and say what to do next.

    NAME is a host name or an address by which clients reach it  [default: that of this host].
    Whoever has the token of the first user may do everything with every card, and who has that of
    the first host may offer any card; policy.toml says so. Nothing is overwritten: if one of the
    files is there, none is made.
    """
    _refuse_settings(click.get_current_context())
    wanted = Wanted(names=names or (host_name(),), **given)
    made = make(wanted)
    click.echo(f"Made a server for {', '.join(wanted.names)} in {wanted.folder}. To start it:")
    _command(_start(wanted, made))
    click.echo("On a host with cards:")
    _command(_client("wsrc-card-client", wanted, wanted.card_port, made, made.card_host_token))
    click.echo("Where the tool is:")
    _command(_client("wsrc list", wanted, wanted.user_port, made, made.user_token))
    copies = f"{made.ca.name}, which everybody may read, and the token, which only its user may"
    click.echo(f"On another machine, name copies there: {copies}.")
    click.echo(f"{made.certs} has the key of the CA: keep it on a machine that is none of these.")
    click.echo(
        f"With it wsrc-certs renews the certificate of the server, which ends on "
        f"{made.ends:%Y-%m-%d}."
    )


def _refuse_settings(context: click.Context) -> None:
    """Refuse options of the server, which stand before the name of the command."""
    server = context.parent
    assert server is not None
    for param in server.command.params:
        source = server.get_parameter_source(param.name or "")
        if source is click.core.ParameterSource.COMMANDLINE:
            why = "it makes settings and reads none; its own options stand after it"
            raise click.UsageError(f"{param.opts[0]} before init: {why}.")


def _start(wanted: Wanted, made: Made) -> str:
    if wanted.service:
        return "systemctl enable --now wsrc-server"
    return f"wsrc-server --config {shlex.quote(str(made.settings))}"


def _client(program: str, wanted: Wanted, port: int, made: Made, token: Path) -> str:
    name = wanted.names[0]
    url = f"wss://[{name}]:{port}" if ":" in name else f"wss://{name}:{port}"
    files = (shlex.quote(str(path)) for path in (made.ca, token))
    return "{} --server-url {} --tls-ca {} --token-file {}".format(program, url, *files)


def _command(line: str) -> None:
    click.echo(f"\n  {line}\n")
