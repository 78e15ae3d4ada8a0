# SPDX-License-Identifier: Apache-2.0
"""What a slot and the card in it can be: states, protocols, kinds of reset."""

from enum import StrEnum


class CardProtocol(StrEnum):
    """Transmission protocol of ISO/IEC 7816-3."""

    T0 = "T0"
    T1 = "T1"


class ResetKind(StrEnum):
    """ETSI TS 102 221 clause 6: cold takes the supply away, warm does not."""

    COLD = "cold"
    WARM = "warm"


class SlotState(StrEnum):
    """What a reader says of its slot."""

    EMPTY = "empty"
    PRESENT = "present"
    MUTE = "mute"
    UNAVAILABLE = "unavailable"
