# SPDX-License-Identifier: Apache-2.0
"""A simulated card in a process of its own, in a slot of vpcd: `card.py PORT ICCID`."""

import sys

from tests.support.pcsc.vpcd_card import VpcdCard
from wsrc.readers.simulation import make_card, parse_description


def main(port: str, iccid: str) -> None:
    """Serve a card until the process is ended."""
    card = make_card(parse_description(f'kind = "uicc"\niccid = "{iccid}"\n', "card.py"))
    VpcdCard(card, port=int(port)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
