# SPDX-License-Identifier: Apache-2.0
"""
See readers and their cards come and go: first those that are there, then each change, once.

    python watch_readers.py                         until Ctrl-C
"""

import os
from contextlib import suppress

from wsrc.blocking import Client

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")


def main() -> None:
    with Client(URL, ca=CA) as client:
        for news in client.watch_readers():
            match news:
                case (readers, _):  # the whole list: at first, and after a gap that was too long
                    for reader in readers:
                        print(f"{reader.name}: {reader.state}", flush=True)
                case (change, reader, _):
                    use = ", in use" if reader.in_use else ""
                    print(f"{reader.name}: {change}, {reader.state}{use}", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
