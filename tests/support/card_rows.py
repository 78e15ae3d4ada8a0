# SPDX-License-Identifier: Apache-2.0
"""Cards as a server lists them."""

from typing import Any

from wsrc.protocol.messages import CardInfo, CardState, Identities

ICCID, EID = "8988211000000430010", "89882119900000000000000000007280"


def card(iccid: str | None = ICCID, reader: str = "r1", **more: Any) -> CardInfo:
    more = {"state": CardState.READY, "host": "bench"} | more
    return CardInfo(
        remote_addr=("bench", 0),
        identities=Identities(atr="3b00", iccid=iccid),
        reader=reader,
        **more,
    )
