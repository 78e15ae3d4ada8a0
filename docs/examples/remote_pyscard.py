# SPDX-License-Identifier: Apache-2.0
"""
Run a pyscard program on remote cards: after `install` they are readers like any other.

    python remote_pyscard.py                        WSRC_SERVER_URL says where the cards are
"""

from smartcard.System import readers
from smartcard.util import toBytes, toHexString

import wsrc.pyscard


def program() -> None:
    """Do what was written for pyscard, which knows nothing of WSRC."""
    for reader in readers():
        connection = reader.createConnection()
        connection.connect()
        connection.transmit(toBytes("00A4000C023F00"))
        connection.transmit(toBytes("00A4000C022FE2"))
        data, sw1, sw2 = connection.transmit(toBytes("00B000000A"))
        print(f"{reader}: {toHexString(data)} {sw1:02X}{sw2:02X}")
        connection.disconnect()
        connection.release()


if __name__ == "__main__":
    with wsrc.pyscard.install(name="pyscard", all_cards=True):
        program()
