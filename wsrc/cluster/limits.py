# SPDX-License-Identifier: Apache-2.0
"""What a road may cost."""

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """
    What a road may cost; seconds, octets, and items.

    Attributes:
        silent_s: A road is down when nothing has come for so long.
        ping_s: Something is sent at least so often.
        ack_s: How long an acknowledgement waits for something that it can go with.
        gap_s: How long a gap is not named again.
        way_s: A way works for so long after the other has said that it hears us over it.
        stuck_s: A road is down when nothing of what is sent was acknowledged for so long.
        resend_s: When something is sent again that is not acknowledged, as long as nothing is
            known of the road.
        least_resend_s, most_resend_s: Between what that is, once something is.
        unacked_octets: A road is down when more is sent than this, and not acknowledged.
        unacked_items: The same of items; as many datagrams are kept before their turn.
        ahead_octets: What comes before its turn is kept up to this.
        datagram_octets: Octets of an item in a datagram.
        shared_octets: Items that are sent together share datagrams of up to this.
        burst_octets: So much, and the datagram that reaches it, is sent again at once.
        ack_items, ack_octets: What is acknowledged at once when so much has come.
    """

    silent_s: float = 4.0
    ping_s: float = 1.0
    ack_s: float = 0.1
    gap_s: float = 0.02
    way_s: float = 2.5
    stuck_s: float = 15.0
    resend_s: float = 1.0
    least_resend_s: float = 0.25
    most_resend_s: float = 6.0
    unacked_octets: int = 8 * 2**20
    unacked_items: int = 4_096
    ahead_octets: int = 8 * 2**20
    datagram_octets: int = 512 * 2**10
    shared_octets: int = 64 * 2**10
    burst_octets: int = 1 * 2**20
    ack_items: int = 512
    ack_octets: int = 1 * 2**20


STANDARD = Limits()
"""What a road may cost where nothing else is said."""
