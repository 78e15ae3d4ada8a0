# SPDX-License-Identifier: Apache-2.0
"""
Read the ICCID of one card: select the card, send three commands, give it back.

    python read_iccid.py 8988211000000430010        an ICCID, an EID, a label or a reader
"""

import os
import sys

from wsrc.blocking import Client

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")
SELECT_MF = bytes.fromhex("00a4000c023f00")
SELECT_EF_ICCID = bytes.fromhex("00a4000c022fe2")
READ_BINARY = bytes.fromhex("00b000000a")


def main(which: str) -> None:
    with Client(URL, ca=CA) as client, client.select(any=which, wait_s=60) as card:
        card.transmit(SELECT_MF)
        card.transmit(SELECT_EF_ICCID)
        response = card.transmit(READ_BINARY)
    if not response.ok:  # any status word is an answer, and no error
        sys.exit(f"READ BINARY: {response.sw:04X}")
    # Two digits to an octet, the second one first (ETSI TS 102 221 clause 13.2).
    digits = "".join(f"{octet & 0xF:X}{octet >> 4:X}" for octet in response.data)
    print(digits.rstrip("F"))


if __name__ == "__main__":
    main(sys.argv[1])
