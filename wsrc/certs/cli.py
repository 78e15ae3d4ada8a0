# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc-certs`."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wsrc import __version__
from wsrc.certs.folder import CA_DAYS, CA_KEY, DUE_DAYS, LEAF_DAYS, Folder, Issued
from wsrc.certs.making import Kind
from wsrc.errors import ConfigError
from wsrc.net.certificates import subject_of
from wsrc.process.printable import clean
from wsrc.settings.click_options import HELP_OPTIONS

IO_FAILED = 74
"""Exit status where a file cannot be read or written, as that of `wsrc`."""

_HELP = """
Make certificates for a server, its card hosts and its users, with a CA of your own.

The CA is a folder on a machine that is neither of them: whoever has its key can let anybody in.
A certificate says whether it is for a server, a card host, a user or a node of a cluster, and is
good for nothing else.
Nothing is overwritten; what is replaced or revoked is kept in the folder `retired`.

\b
Three machines, from nothing:
  wsrc-certs init
  wsrc-certs server relay.example
  wsrc-certs card-host bench
  wsrc-certs user tester@example.org
What ends within 30 days, as a job of every night:
  wsrc-certs renew
A laptop was lost:
  wsrc-certs revoke tester@example.org

Exit status: 0 done, 2 it cannot be done so and nothing was changed, 74 a file cannot be read or
written.
"""

_FOR_CLIENT = {
    Kind.CARD_HOST: ("the card host", "its settings, or options of wsrc-card-client"),
    Kind.USER: ("the user's machine", "its settings, or options of wsrc"),
}


def _folder(_context: click.Context, _parameter: click.Parameter, value: Path) -> Folder:
    return Folder(value)


def _in_folder(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        default="certs",
        show_default=True,
        callback=_folder,
        metavar="DIR",
        help="Folder of the CA.",
    )(command)


def _days(default: int, what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--days",
        type=click.FloatRange(min=0, min_open=True, max=36_500),
        default=default,
        show_default=True,
        help=f"Days for which {what} valid.",
    )


@click.group("wsrc-certs", help=_HELP, context_settings={"max_content_width": 100, **HELP_OPTIONS})
@click.version_option(__version__, message="%(version)s")
def program(**_: Any) -> None:
    """Do what one of the commands says."""


_CA_OF = {
    Kind.USER: "tls_ca, and card_ca, so that no server can read what you say to cards",
    Kind.CARD_HOST: "tls_ca, and user_ca where users are to prove to it who they are",
}
"""What the CA is at a client."""


@program.command()
@click.option(
    "--name", metavar="NAME", help="What the CA is called.  [default: WSRC CA and a number]"
)
@_days(CA_DAYS, "the CA is")
@_in_folder
def init(folder: Folder, name: str | None, days: float) -> None:
    """Make the folder, a CA and an empty revocation list."""
    made = folder.init(name, days)
    click.echo(f"Made a CA, valid until {_day(made.not_valid_after_utc)}.")
    _lines(
        (
            folder.ca,
            (
                "copy to every machine; there it is tls_ca, at the server tls_client_ca, at users "
                "card_ca too"
            ),
        ),
        (
            folder.crl,
            "copy to the server, as tls_crl, and to users, as card_crl; again after each revoke",
        ),
        (folder.path / CA_KEY, "stays here: whoever has it can let anybody in; keep a copy safe"),
    )
    _complain_of_mode(folder.path)


@program.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_days(LEAF_DAYS, "it is")
@_in_folder
def server(folder: Folder, names: Sequence[str], days: float) -> None:
    """
    Make a certificate for a server.

    NAME is a host name or an IP address by which clients reach it; all of them go into the
    certificate.
    """
    made = folder.issue(Kind.SERVER, names, days)
    _made(made, f"the server {', '.join(names)}", folder)
    click.echo("Copy to the server, and name them in its settings or as options of wsrc-server:")
    _lines(
        (made.path, "tls_cert"),
        (made.key, "tls_key; only the user of the server may read it"),
        (folder.ca, "tls_client_ca, so that it lets in who has a certificate of yours only"),
        (folder.crl, "tls_crl"),
    )


def _client(kind: Kind, folder: Folder, name: str, days: float) -> None:
    made = folder.issue(kind, [name], days)
    machine, where = _FOR_CLIENT[kind]
    _made(made, f"the {kind} {name}", folder)
    click.echo(f"Copy to {machine}, and name them in {where}:")
    _lines(
        (made.path, "tls_cert"),
        (made.key, "tls_key; only its user may read it"),
        (folder.ca, _CA_OF[kind]),
    )


@program.command("card-host")
@click.argument("name")
@_days(LEAF_DAYS, "it is")
@_in_folder
def card_host(folder: Folder, name: str, days: float) -> None:
    """
    Make a certificate for a host with readers.

    NAME is who it is to the server: a name like that of a host, an e-mail address or a URI.
    """
    _client(Kind.CARD_HOST, folder, name, days)


@program.command()
@click.argument("name")
@_days(LEAF_DAYS, "it is")
@_in_folder
def user(folder: Folder, name: str, days: float) -> None:
    """
    Make a certificate for a user of cards.

    NAME is who that is to the server: an e-mail address, a URI, or a name like that of a host.
    """
    _client(Kind.USER, folder, name, days)


@program.command()
@click.argument("name")
@_days(LEAF_DAYS, "it is")
@_in_folder
def node(folder: Folder, name: str, days: float) -> None:
    """
    Make a certificate for a node: a server of a cluster.

    NAME is its node_name: at most 40 letters, digits, underscores, and hyphens between them. It is
    what other nodes and NATS know it by; clients know the server by another certificate.
    """
    made = folder.issue(Kind.NODE, [name], days)
    _made(made, f"the node {name}", folder)
    click.echo("Copy to the server, and name them in its settings or as options of wsrc-server:")
    _lines(
        (made.path, "cluster_cert"),
        (made.key, "cluster_key; only the user of the server may read it"),
        (folder.ca, "cluster_ca, where NATS has a certificate of this CA too"),
    )


@program.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_days(LEAF_DAYS, "they are")
@click.option(
    "--within",
    type=click.FloatRange(min=0, max=36_500),
    default=DUE_DAYS,
    show_default=True,
    metavar="DAYS",
    help="Without NAME: what ends within so many days is renewed.",
)
@click.option("--new-key", is_flag=True, help="Make new keys as well, which are to be copied too.")
@_in_folder
def renew(
    folder: Folder, names: Sequence[str], days: float, within: float, *, new_key: bool
) -> None:
    """
    Replace certificates by such as end later.

    Without NAME those that end soon, be it the CA or the revocation list; `ca` and `crl` are the
    names of these. The keys stay, so that only certificates are to be copied.
    """
    soon = timedelta(days=within)
    for name in names or _due(folder, soon):
        if name == "ca":
            made = folder.renew_ca()
            click.echo(f"Renewed the CA until {_day(made.not_valid_after_utc)}; copy again:")
            _lines((folder.ca, "to every machine"), (folder.crl, "to the server"))
        elif name == "crl":
            folder.renew_crl()
            click.echo("Renewed the revocation list; copy again:")
            _lines((folder.crl, "to the server"))
        else:
            one = folder.renew(name, days, new_key=new_key)
            click.echo(f"Renewed {name} until {_day(one.ends)}; copy again:")
            of = "cluster" if one.kind is Kind.NODE else "tls"
            _lines((one.path, f"{of}_cert"), *([(one.key, f"{of}_key")] if new_key else []))
    if not names and not _due(folder, soon):
        click.echo(f"Nothing else ends within {within:g} days.")


@program.command()
@click.argument("name")
@_in_folder
def revoke(folder: Folder, name: str) -> None:
    """
    Revoke the certificate of NAME, and those that it replaced.

    The name can be given anew after that.
    """
    revoked = folder.revoke(name)
    several = f"{len(revoked)} certificates" if len(revoked) > 1 else "the certificate"
    click.echo(f"Revoked {several} of {name}. It is in force when you have copied:")
    _lines((folder.crl, "to the server, as tls_crl"))
    if any(each.kind is Kind.SERVER for each in revoked):
        click.echo(
            "Clients do not look at the list: where the key of a server was lost, make a new CA."
        )


@program.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_in_folder
def show(folder: Folder, names: Sequence[str]) -> None:
    """Show the certificates that there are: for what, for whom, and until when."""
    found = folder.issued()
    missing = set(names) - {each.name for each in found}
    if missing:
        raise ConfigError("name", f"there is no certificate of {', '.join(sorted(missing))}")
    if not names:
        click.echo(f"ca  until {_left(folder.ca_ends())}")
        ends = folder.crl_ends()
        click.echo(f"crl  until {_left(ends) if ends is not None else 'it is replaced'}")
    for each in found:
        if not names or each.name in names:
            state = f"revoked on {_day(each.revoked)}" if each.revoked else _left(each.ends)
            kind = each.kind or "of another maker"
            click.echo(f"{each.name}  {kind}: {_shown(each)}, until {state}")


def _shown(each: Issued) -> str:
    """Return the names of a certificate, as peers see it."""
    try:
        if each.kind is not Kind.SERVER:
            return subject_of(each.certificate.public_bytes(Encoding.DER)).name
        san = each.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return "nobody that can be named"
    return clean(", ".join(str(name.value) for name in san.value))


def _due(folder: Folder, within: timedelta) -> list[str]:
    now = datetime.now(UTC)
    due = ["ca"] if folder.ca_ends() - now < within else []
    crl_ends = folder.crl_ends()
    if not due and crl_ends is not None and crl_ends - now < within:
        due.append("crl")
    # What cannot end later is not made anew every night.
    ends = now + timedelta(days=CA_DAYS) if due == ["ca"] else folder.ca_ends()
    return due + [each.name for each in folder.due(within) if each.ends < ends]


def _made(made: Issued, what: str, folder: Folder) -> None:
    click.echo(f"Made a certificate for {what}, valid until {_day(made.ends)}.")
    if made.ends == folder.ca_ends():
        click.echo("It ends with the CA.")


def _lines(*lines: tuple[Path, str]) -> None:
    width = max(len(str(path)) for path, _ in lines)
    for path, meaning in lines:
        click.echo(f"  {path!s:<{width}}  {meaning}")


def _complain_of_mode(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        click.echo(f"Others than you can look into {path}; chmod 700 {path}", err=True)


def _day(when: datetime) -> str:
    return f"{when:%Y-%m-%d}"


def _left(when: datetime) -> str:
    days = (when - datetime.now(UTC)).days
    return f"{_day(when)}, which is over" if days < 0 else f"{_day(when)}, in {days} days"


def main() -> None:
    """Run the command; what cannot be done is one line and exit status 2."""
    try:
        program()
    except ConfigError as exc:
        click.echo(f"wsrc-certs: {clean(str(exc))}", err=True)
        sys.exit(2)
    except OSError as exc:
        named = f"{exc.filename}: " if exc.filename else ""
        click.echo(f"wsrc-certs: {clean(named)}{exc.strerror or exc}", err=True)
        sys.exit(IO_FAILED)
