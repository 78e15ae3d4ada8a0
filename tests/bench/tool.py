# SPDX-License-Identifier: Apache-2.0
"""A tool that sends one command at a time: `tool.py ICCID [--read-ahead]`."""

import os
import sys

from tests.bench.jobs import commands
from wsrc.blocking import Client


def main(iccid: str, *options: str) -> None:
    """Send all commands to a card, and give it back."""
    with (
        Client(os.environ["WSRC_SERVER_URL"], ca=os.environ.get("WSRC_TLS_CA")) as client,
        client.select(iccid=iccid, read_ahead="--read-ahead" in options) as card,
    ):
        for command in commands():
            card.transmit(bytes.fromhex(command))


if __name__ == "__main__":
    main(*sys.argv[1:])
