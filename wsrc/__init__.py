# SPDX-License-Identifier: Apache-2.0
"""
WSRC: use a smart card that is somewhere else.

Programs import `wsrc.aio`, `wsrc.blocking` or `wsrc.pyscard`. The rest, from the ground up:
`card` is what a card is, `protocol` what is said of it on a connection, `session` how a command
outlives a connection. `relay` is the server's mind, `server` its body. `card_client` offers
readers, `user_client` uses cards, `bridges` bring them to programs that know PC/SC, and
`command_line` to people.
"""

__version__ = "0.1.0"
