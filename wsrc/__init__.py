# SPDX-License-Identifier: Apache-2.0
"""
WSRC: use a smart card that is somewhere else.

Reading order: `errors`, `octets`, `apdu` and `identity` are the ground; `messages` is the
protocol; `relay` is what the server does with a message; `net` and `readers` touch the world;
`server`, `card_client` and `user_client` are the three programs.
"""

__version__ = "0.1.0"
