# SPDX-License-Identifier: Apache-2.0
"""A tool that sends one command at a time: `tool.py ICCID COUNT [--read-ahead] [--last]`."""

import os
import sys

from tests.bench.jobs import commands
from tests.bench.worker import options as options_of_user
from wsrc.blocking import Client


def main(iccid: str, count: str, *options: str) -> None:
    """Send commands to a card, and give it back: with the last answer, if it is to say so."""
    sent = [bytes.fromhex(command) for command in commands()[: int(count)]]
    with (
        Client(os.environ["WSRC_SERVER_URL"], **options_of_user()) as client,
        client.select(iccid=iccid, first=sent[0], read_ahead="--read-ahead" in options) as card,
    ):
        *others, last = sent
        for command in others:
            card.transmit(command)
        card.transmit(last, last="--last" in options)


if __name__ == "__main__":
    main(*sys.argv[1:])
