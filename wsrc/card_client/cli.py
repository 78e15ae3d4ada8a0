# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc-card-client`."""

import asyncio
import logging
import sys
from contextlib import AsyncExitStack

import click

from wsrc import __version__
from wsrc.audit.writer import audited
from wsrc.card_client.agent import Agent
from wsrc.card_client.evidence import Evidence
from wsrc.errors import CardError, ConfigError
from wsrc.net.tls_files import SELDOM_S, looked_after
from wsrc.process.descriptors import occupy_standard
from wsrc.process.logs import set_up
from wsrc.process.loop import run_main
from wsrc.process.printable import clean
from wsrc.process.signals import ended_or_reloaded
from wsrc.readers.base import Source
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import Card, default_cards, load_card
from wsrc.settings.click_options import HELP_OPTIONS, click_options
from wsrc.settings.clients import BUILT_IN_CARDS
from wsrc.settings.limits import require_files
from wsrc.settings.load import CardClientSettings
from wsrc.trace.tracer import traced_as

_log = logging.getLogger(__name__)

_HELP = """
Offer the smart cards of this host to the users of a relay server.

Every PC/SC reader is served, each on its own, and cards and readers may come and go. The program
stays in the foreground, logs to standard error, and connects again for ever when the server is
away. A card is powered off and on between two users, whatever becomes of any of the programs.
SIGHUP has it read its certificate, key and CA anew, as it does when it connects and they changed;
it ends if its terminal was closed.

\b
Try it without a reader, with a server on this machine that runs with --no-tls:
  wsrc-card-client --server-url ws://localhost:4221 --no-pcsc --simulated default
Offer all readers but one to a server elsewhere:
  wsrc-card-client --server-url wss://relay.example:4221 --reader-exclude '*Yubikey*'

Exit status: 0 ended by a signal, 2 a setting cannot work.
"""


@click.command(help=_HELP, context_settings={"max_content_width": 100, **HELP_OPTIONS})
@click.version_option(__version__, message="%(version)s")
@click_options(CardClientSettings)
def command(settings: CardClientSettings) -> None:
    """Run the card client until a signal ends it."""
    require_files()
    set_up(settings.log_level, form=settings.log_format)
    traces = settings.trace or settings.trace_file or settings.trace_gsmtap
    if settings.trace_secrets and traces:
        _log.warning("Nothing is left out of the trace: keep it away from others, it has PINs")
    with audited(settings, "wsrc-card-client") as audit, traced_as(settings) as tracer:
        evidence = Evidence(settings.name, audit, tracer)
        agent = Agent(settings, _sources(settings), evidence)
        run_main(_run(agent, settings.metrics_port))


def _sources(settings: CardClientSettings) -> list[Source]:
    sources: list[Source] = []
    cards = _simulated(settings)
    if cards:
        sources.append(SimulatedSource(cards))
    if settings.pcsc:
        try:
            sources.append(PcscSource(settings.reader_include, settings.reader_exclude))
        except CardError as exc:
            if not cards:
                raise ConfigError("pcsc", str(exc)) from exc
            _log.warning("PC/SC readers are not served: %s", exc)
    if not sources:
        raise ConfigError("pcsc", "there is nothing to serve: neither PC/SC nor simulated cards")
    return sources


def _simulated(settings: CardClientSettings) -> list[Card]:
    cards: list[Card] = []
    for name in settings.simulated:
        cards += default_cards() if name == BUILT_IN_CARDS else [load_card(name)]
    return cards


async def _run(agent: Agent, metrics_port: int) -> None:
    async with AsyncExitStack() as stack:
        if metrics_port:
            from wsrc.card_client.metrics import exposed  # noqa: PLC0415 - few have it on

            await stack.enter_async_context(exposed(agent, metrics_port))
        await _serve(agent)


async def _serve(agent: Agent) -> None:
    stop = asyncio.Event()
    with (
        ended_or_reloaded(asyncio.get_running_loop(), stop.set) as reloading,
        looked_after(agent.tls.files, SELDOM_S, agent.reloaded) as reload,
    ):
        reloading.by = reload
        silent = await agent.run(stop)
    if silent:
        _log.warning(
            "Stopped: the cards in these readers may have power still, for the readers did not "
            "answer: %s", ", ".join(silent),
        )  # fmt: skip
    else:
        _log.info("Stopped: all cards are powered off")


def main() -> None:
    """Run the command; a setting that cannot work is one line and exit status 2."""
    occupy_standard()
    try:
        command()
    except ConfigError as exc:
        click.echo(f"wsrc-card-client: {clean(str(exc))}", err=True)
        sys.exit(2)
