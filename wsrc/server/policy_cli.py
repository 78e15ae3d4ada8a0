# SPDX-License-Identifier: Apache-2.0
"""The commands `wsrc-server policy`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from wsrc.errors import ConfigError
from wsrc.policy.facts import FACTS, Facts
from wsrc.policy.machine import Ruling
from wsrc.policy.reading import facts, principal
from wsrc.policy.telling import quota_text, why
from wsrc.process.printable import clean
from wsrc.server.policy_file import read_policy
from wsrc.settings.load import ServerSettings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"max_content_width": 100})
def policy() -> None:
    """Look at the policy that says who may use which card."""


@policy.command()
@click.argument("file", type=_FILE, required=False)
@click.pass_obj
def check(settings: Callable[[], ServerSettings], file: Path | None) -> None:
    """
    Read a policy and try its expectations; what is wrong is one line and exit status 2.

    FILE is the policy of the server's settings if it is not named. A server takes a policy exactly
    if this does.
    """
    path = file or _of_server(settings)
    document = read_policy(path)
    found = document.policy
    parts = (
        _count(len(found.groups), "group"),
        _count(len(found.grants), "grant"),
        _count(len(found.hosts), "rule for hosts", "rules for hosts"),
        _count(document.expectations, "expectation"),
    )
    click.echo(f"{clean(str(path))} is good: {', '.join(parts)}.")
    for note in document.notes:
        click.echo(f"Note: {clean(note)}.", err=True)


@policy.command(
    epilog="\b\nExample:\n  wsrc-server policy explain tester@example.org label=bench-3 kind=uicc"
)
@click.argument("who")
@click.argument("card", nargs=-1, metavar="[CARD]...")
@click.option("--policy", "file", type=_FILE, help="The policy.  [default: that of the server]")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME",
    help="Group of WHO at the identity provider.  May be given several times.",
)
@click.pass_obj
def explain(
    settings: Callable[[], ServerSettings],
    who: str,
    card: Sequence[str],
    file: Path | None,
    groups: Sequence[str],
) -> None:
    """
    Say what WHO may do with a card, and by which line.

    WHO is the name of a user or a card host, or `anyone`, who has none. CARD is what is known of
    the card, such as iccid=8988211000000430010, label=bench-3, host=bench-1 or kind=uicc; eid= is
    a card that has no EID. What is not given may be anything: of that it is said what must fit.
    """
    try:
        peer = principal(who, groups)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="WHO") from exc
    said = _facts(card)
    found = read_policy(file or _of_server(settings)).policy
    for verb, ruling in found.explain(peer, said).items():
        _say(verb, ruling)
    if found.quotas:
        click.echo(f"{'quota':<10}  {quota_text(found.quota(peer))}")
    click.echo("as a card host:")
    _say("announce", found.explain_host(peer, said))


def _facts(card: Sequence[str]) -> Facts:
    given: list[tuple[str, str]] = []
    for text in card:
        kind, equals, value = text.partition("=")
        if not equals:
            hint = f"{text[:40]!r} is not FACT=VALUE; the facts are {', '.join(FACTS)}"
            raise click.BadParameter(hint, param_hint="CARD")
        given.append((kind, value))
    try:
        return facts(given)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="CARD") from exc


def _say(what: str, ruling: Ruling) -> None:
    word = "yes" if ruling.certain else "if" if ruling.allowed else "no"
    click.echo(f"{what:<10}  {word:<3}  {clean(why(ruling))}")


def _of_server(settings: Callable[[], ServerSettings]) -> Path:
    hint = "or name the file of a policy"
    try:
        path = settings().policy
    except ConfigError as exc:
        raise ConfigError(exc.setting, f"{str(exc).partition(': ')[2]}; {hint}") from exc
    if path is None:
        raise ConfigError("policy", f"the server has none; give it one, {hint}")
    return path


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"
