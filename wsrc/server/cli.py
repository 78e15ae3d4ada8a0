# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc-server`."""

import asyncio
import itertools
import logging
import sys
from contextlib import ExitStack

import click

from wsrc import __version__
from wsrc.audit.cli import audit
from wsrc.errors import ConfigError
from wsrc.process.descriptors import occupy_standard
from wsrc.process.garbage import kept_small
from wsrc.process.logs import set_up
from wsrc.process.loop import run_main
from wsrc.process.notify import notify
from wsrc.process.printable import clean
from wsrc.process.signals import Reloading, ended_or_reloaded
from wsrc.server.app import serve
from wsrc.server.init_cli import init
from wsrc.server.listening import Handed, as_handed, handed_over
from wsrc.server.policy_cli import policy
from wsrc.server.token_cli import token
from wsrc.settings.click_options import HELP_OPTIONS, Late, click_options
from wsrc.settings.hosts import hosts_of
from wsrc.settings.limits import require_files
from wsrc.settings.load import ServerSettings
from wsrc.settings.server import WAYS

_log = logging.getLogger(__name__)

_HELP = """
Relay smart cards between card clients, which have readers, and user clients, which need cards.

Both connect to this server over TLS WebSockets: users on one port, card clients on another, so
that a packet filter can treat them apart. It stays in the foreground, logs to standard error, and
tells systemd when it is ready, from which it takes the sockets `user`, `card` and `http`. SIGTERM
and SIGINT end it once the commands in flight are answered. SIGHUP has it read its certificates,
keys, lists and policy anew, as it does by itself when they change; it ends if its terminal was
closed.

\b
Try it on this machine, without TLS:
  wsrc-server --no-tls
Make all that a server on a network needs, and be told what to do next:
  wsrc-server init relay.example
Serve a network, and let in who has a certificate of a CA (wsrc-certs makes all of them):
  wsrc-server --host '*' --tls-cert server.pem --tls-key server-key.pem --tls-client-ca ca.pem
The same, and let in who has a token, which the second line makes and prints:
  wsrc-server --host '*' --tls-cert server.pem --tls-key server-key.pem --tokens
  wsrc-server token add tester@example.org
Behind a reverse proxy on the same machine that does TLS, with the paths /user and /card:
  wsrc-server --no-tls

Exit status: 0 ended by a signal, 1 out of memory or a bug, 2 a setting cannot work.
"""


@click.group(
    help=_HELP,
    context_settings={"max_content_width": 100, **HELP_OPTIONS},
    invoke_without_command=True,
    subcommand_metavar="[COMMAND [ARGS]...]",
)
@click.version_option(__version__, message="%(version)s")
@click_options(ServerSettings, late=True)
@click.pass_context
def command(context: click.Context, settings: Late[ServerSettings]) -> None:
    """
    Run the server until a signal ends it, unless a command is named.

    A command finds in `context.obj` what loads the settings of the server: it may raise
    ConfigError.
    """
    if context.invoked_subcommand is None:
        _serve_until_ended(settings())
    else:
        context.obj = settings


command.add_command(init)
command.add_command(policy)
command.add_command(token)
command.add_command(audit)


def _serve_until_ended(settings: ServerSettings) -> None:
    set_up(settings.log_level, form=settings.log_format)
    require_files()
    with ExitStack() as stack:
        handed = handed_over()
        for each in itertools.chain(*handed.values()):
            stack.enter_context(each)
        if not run_main(_run(as_handed(settings, handed), handed)):
            sys.exit(1)


async def _run(settings: ServerSettings, handed: Handed) -> bool:
    """Serve until a signal comes, or nothing else can be done; return whether it was a signal."""
    stop = asyncio.Event()
    with ended_or_reloaded(asyncio.get_running_loop(), stop.set) as reloading:
        return await _serve(settings, handed, stop, reloading)


async def _serve(
    settings: ServerSettings, handed: Handed, stop: asyncio.Event, reloading: Reloading
) -> bool:
    async with serve(settings, handed) as app, kept_small(lambda: app.ended, app.room.connections):
        reloading.by = app.reload
        app.when_broken(stop.set)
        app.when_asked_to_stop(stop.set)
        scheme = "ws" if settings.no_tls else "wss"
        hosts = [f"[{host}]" if ":" in host else host for host in hosts_of(settings.host)]
        users = " and ".join(f"{scheme}://{host}:{app.user_port}/user" for host in hosts)
        cards = " and ".join(f"{scheme}://{host}:{app.card_port}/card" for host in hosts)
        http = f", HTTP on {_http_of(settings, app.http_port)}" if app.http_port else ""
        _log.info("Ready: users on %s, card clients on %s%s", users, cards, http)
        _tell_who_is_let_in(settings)
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
        _log.info("Stopping: commands in flight have %.0f s to finish", settings.drain_s)
    return not app.broken


def _http_of(settings: ServerSettings, port: int) -> str:
    """Return where HTTP is served, for people."""
    scheme = "https" if settings.http_by_tls else "http"
    hosts = [f"[{host}]" if ":" in host else host for host in hosts_of(settings.http_host)]
    return " and ".join(f"{scheme}://{host}:{port}/" for host in hosts)


def _tell_who_is_let_in(settings: ServerSettings) -> None:
    if settings.allow_anyone_on_network:
        _log.warning("Whoever reaches this server is let in and can use every card")
    elif not settings.asks_who:
        _log.info("Whoever is on this host is let in; give %s to serve others", " or ".join(WAYS))


def main() -> None:
    """Run the command; a setting that cannot work is one line and exit status 2."""
    occupy_standard()
    try:
        command()
    except ConfigError as exc:
        click.echo(f"wsrc-server: {clean(str(exc))}", err=True)
        sys.exit(2)
