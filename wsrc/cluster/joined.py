# SPDX-License-Identifier: Apache-2.0
"""What makes a relay one of several."""

from typing import NamedTuple

from wsrc.cluster.names import Names
from wsrc.cluster.roads import Make


class Joined(NamedTuple):
    """
    What a relay is in a cluster.

    Attributes:
        names: Of the node, and of its subjects.
        run: Of this run of the node, which no other has.
        make: Makes what is kept of another node.
        url: Where others reach the node without NATS; empty where they cannot.
        host: Where clients reach the node alone; empty where that is not told.
    """

    names: Names
    run: str
    make: Make
    url: str = ""
    host: str = ""
