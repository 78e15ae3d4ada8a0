# SPDX-License-Identifier: Apache-2.0
"""
Send many commands in one round trip, and stop at the first status word that is not expected.

    python batch.py blue                            ICCID, then the IMSI, which needs the PIN
"""

import os
import sys

from wsrc.blocking import Client, Step
from wsrc.octets import Octets

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")
OK = ("9000", "91xx", "61xx")  # x stands for any digit; no pattern at all accepts everything
STEPS = [
    Step(command=Octets.fromhex("00a4000c023f00"), expect=OK),
    Step(command=Octets.fromhex("00a4000c022fe2"), expect=OK),
    Step(command=Octets.fromhex("00b000000a"), expect=OK),
    Step(command=Octets.fromhex("00a4040c10a0000000871002ffffffff8907090000"), expect=OK),
    Step(command=Octets.fromhex("00a4000c026f07"), expect=OK),
    Step(command=Octets.fromhex("00b0000009"), expect=OK),
    Step(command=Octets.fromhex("00a4000c026fad"), expect=OK),
]


def main(which: str) -> None:
    with Client(URL, ca=CA) as client, client.select(any=which, wait_s=60) as card:
        result = card.batch(STEPS)
    for step, response in zip(STEPS, result.results, strict=False):
        print(f"{step.command} -> {response}")
    if result.stopped is not None:
        print(f"Stopped at step {result.stopped}; {len(STEPS) - len(result.results)} not sent.")
    if result.error is not None:  # the step after the last result was not answered
        sys.exit(str(result.error))


if __name__ == "__main__":
    main(sys.argv[1])
