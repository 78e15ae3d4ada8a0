# SPDX-License-Identifier: Apache-2.0
"""The commands `wsrc-server token …`: who has a token, while a server runs or not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click
import msgspec

from wsrc.errors import ConfigError
from wsrc.principal import is_name
from wsrc.process.printable import clean
from wsrc.protocol.messages import ClientType
from wsrc.server.keepers import open_tokens
from wsrc.server.state import Stored, Tokens
from wsrc.settings.click_options import Late
from wsrc.settings.load import ServerSettings

DAYS = 365

_ROLES = {"user": ClientType.USER, "card-host": ClientType.CARD}
_WORDS = {role: word for word, role in _ROLES.items()}


@click.group("token")
def token() -> None:
    """Make tokens that let users and card hosts in, list them and revoke them."""


@token.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(list(_ROLES)),
    default="user",
    show_default=True,
    help="What it lets in, and nothing else.",
)
@click.option(
    "--days",
    type=click.FloatRange(min=0, max=36_500),
    default=DAYS,
    show_default=True,
    help="Days for which it is valid; 0 is for ever.",
)
@click.pass_obj
def add(settings: Late[ServerSettings], name: str, role: str, days: float) -> None:
    """
    Make a token for NAME and print it, this once.

    A running server knows it within a second. Several tokens of one name let in the same
    principal. The token alone goes to standard output: have it in a file that others cannot read,
    `(umask 077; wsrc-server token add NAME > FILE)`.
    """
    if not is_name(name) or name.isdigit():
        why = "a name has 1 to 255 characters that can be shown, and not digits alone"
        raise ConfigError("token", f"{name!r} is no name of a principal; {why}")
    now = datetime.now(UTC)
    expires = now + timedelta(days=days) if days else None
    with _store(settings) as store:
        end = expires.timestamp() if expires else None
        made = store.add(name, _ROLES[role], now.timestamp(), end)
    click.echo(made)
    until = f"until {expires:%Y-%m-%d}" if expires else "for ever"
    click.echo(f"It lets {clean(name)} in as a {_said(_ROLES[role])} {until}.", err=True)
    if not settings.given().get("tokens"):
        click.echo("A server takes it with tokens = true in its settings, or --tokens.", err=True)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def list_(settings: Late[ServerSettings], as_json: bool) -> None:
    """List the tokens, without what is secret in them."""
    with _store(settings) as store:
        found, where = store.all(), store.where
    if as_json:
        for each in found:
            click.echo(msgspec.json.encode(_fields(each)))
        return
    if not found:
        click.echo(f"There are no tokens in {where}.", err=True)
        return
    rows = [("NUMBER", "NAME", "ROLE", "MADE", "EXPIRES", "USED LAST"), *map(_row, found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = (f"{text:{width}}" for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@token.command("revoke")
@click.argument("which", nargs=-1, required=True, metavar="NUMBER|NAME...")
@click.pass_obj
def revoke(settings: Late[ServerSettings], which: Sequence[str]) -> None:
    """
    Revoke tokens by number, or all of a name.

    A running server closes their connections within a second, and gives their cards to others.
    """
    with _store(settings) as store:
        found = store.revoke(which)
    for each in found:
        click.echo(f"Token {each.number} of {clean(each.name)} is revoked.", err=True)


def _store(settings: Late[ServerSettings]) -> Tokens:
    return open_tokens(settings.given())


def _said(role: ClientType) -> str:
    return _WORDS[role].replace("-", " ")


def _row(each: Stored) -> tuple[str, ...]:
    role = _said(each.role)
    expires, used = _day(each.expires, "never"), _day(each.used, "never")
    return str(each.number), clean(each.name), role, _day(each.made, ""), expires, used


def _fields(each: Stored) -> dict[str, object]:
    times = {"made": each.made, "expires": each.expires, "used": each.used}
    said = {name: None if time is None else _utc(time).isoformat() for name, time in times.items()}
    return {"number": each.number, "name": each.name, "role": _WORDS[each.role], **said}


def _day(time: float | None, otherwise: str) -> str:
    return otherwise if time is None else f"{_utc(time):%Y-%m-%d %H:%M}"


def _utc(time: float) -> datetime:
    return datetime.fromtimestamp(time, UTC)
