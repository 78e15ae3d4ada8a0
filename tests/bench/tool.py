# SPDX-License-Identifier: Apache-2.0
"""A tool that sends one command at a time: `tool.py ICCID [--read-ahead]`."""

import os
import sys

from tests.bench.jobs import commands
from tests.bench.worker import options as options_of_user
from wsrc.blocking import Client


def main(iccid: str, *options: str) -> None:
    """Send all commands to a card, and give it back."""
    sent = [bytes.fromhex(command) for command in commands()]
    with (
        Client(os.environ["WSRC_SERVER_URL"], **options_of_user()) as client,
        client.select(iccid=iccid, first=sent[0], read_ahead="--read-ahead" in options) as card,
    ):
        for command in sent:
            card.transmit(command)


if __name__ == "__main__":
    main(*sys.argv[1:])
