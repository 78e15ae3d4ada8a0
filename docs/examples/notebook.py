# SPDX-License-Identifier: Apache-2.0
"""
Keep a card from one cell of a notebook to the next; `# %%` begins a cell in most editors.

    jupytext --to notebook notebook.py              or run it as it is
"""

# %% Connect, once.
import os

from wsrc.blocking import Client

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")
client = Client(URL, ca=CA, name="notebook").open()

# %% Which cards are there?
cards = client.list_cards()
for info in cards:
    print(info.reader, info.identities.iccid, info.state)

# %% Take one. It is ours, and others wait, until the last cell or an hour without a command.
card = client.select(reader=cards[0].reader, wait_s=60)

# %% Ask it something, again and again.
print(card.transmit(bytes.fromhex("00a4000c023f00")))
print(card.transmit(bytes.fromhex("80f2000000")))

# %% Start over with a card fresh from reset.
print(card.reset().hex())

# %% Give everything back. A kernel that ends without this gives the cards back as well.
client.close()
