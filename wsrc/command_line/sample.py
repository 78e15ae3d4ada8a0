# SPDX-License-Identifier: Apache-2.0
"""The command `sample`: files that an operator begins with, from the installed package."""

import json
from collections.abc import Callable
from importlib import resources
from typing import NamedTuple

import click

from wsrc.settings.load import CardClientSettings, ServerSettings, Settings, UserSettings
from wsrc.settings.types import settings_of


class Sample(NamedTuple):
    """A file: what it is for, and its text."""

    meaning: str
    text: Callable[[], str]


def settings_text(kind: type[Settings]) -> str:
    """Return a settings file that says what is the default anyhow, each line in a comment."""
    lines = [f"# {' or '.join(kind.FILES)}", ""]
    for setting in settings_of(kind):
        default = setting.default
        if isinstance(default, dict):
            value = "{ KEY = 'LABEL' }"
        elif default is None:
            value = '"FILE"'
        else:
            value = json.dumps(default)
        lines += [f"# {setting.description}", f"# {setting.name} = {value}", ""]
    return "\n".join(lines)


def _file(name: str) -> Callable[[], str]:
    return lambda: (resources.files("wsrc") / "samples" / name).read_text("utf-8")


SAMPLES = {
    "nginx": Sample("nginx before the server, which does TLS for it", _file("nginx")),
    "server.service": Sample("systemd unit of wsrc-server", _file("server.service")),
    "server-user.socket": Sample("its port for users, for systemd", _file("server-user.socket")),
    "server-card.socket": Sample(
        "its port for card clients, for systemd", _file("server-card.socket")
    ),
    "card-client.service": Sample("systemd unit of wsrc-card-client", _file("card-client.service")),
    "policy.toml": Sample("who may use which card of a server", _file("policy.toml")),
    "server.toml": Sample("settings of wsrc-server", lambda: settings_text(ServerSettings)),
    "card-client.toml": Sample(
        "settings of wsrc-card-client", lambda: settings_text(CardClientSettings)
    ),
    "user.toml": Sample("settings of wsrc", lambda: settings_text(UserSettings)),
}


@click.command(
    "sample",
    epilog="\b\nExamples:\n  wsrc sample\n  wsrc sample nginx > /etc/nginx/conf.d/wsrc.conf",
)
@click.argument("name", type=click.Choice(list(SAMPLES)), required=False)
def sample(name: str | None) -> None:
    """Print a file to begin with, or which there are."""
    if name is not None:
        click.echo(SAMPLES[name].text().rstrip("\n"))
        return
    width = max(map(len, SAMPLES))
    for each, (meaning, _) in SAMPLES.items():
        click.echo(f"{each:<{width}}  {meaning}")
