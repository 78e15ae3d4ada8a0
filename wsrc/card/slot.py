# SPDX-License-Identifier: Apache-2.0
"""What a slot and the card in it can be: states, protocols, kinds of reset, ways to share."""

from enum import StrEnum


class CardProtocol(StrEnum):
    """Transmission protocol of ISO/IEC 7816-3."""

    T0 = "T0"
    T1 = "T1"


class ResetKind(StrEnum):
    """ETSI TS 102 221 clause 6: cold takes the supply away, warm does not."""

    COLD = "cold"
    WARM = "warm"


class Share(StrEnum):
    """With whom a card is used, as in SCardConnect."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"
    DIRECT = "direct"


class Initialization(StrEnum):
    """What SCardReconnect does with the card first."""

    LEAVE = "leave"
    RESET = "reset"
    UNPOWER = "unpower"


class Disposition(StrEnum):
    """What is done with the card at the end, as in SCardDisconnect."""

    LEAVE = "leave"
    RESET = "reset"
    UNPOWER = "unpower"
    EJECT = "eject"


class CardStatus(StrEnum):
    """What PC/SC's SCardStatus says of a slot and its card."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    PRESENT = "present"
    SWALLOWED = "swallowed"
    POWERED = "powered"
    NEGOTIABLE = "negotiable"
    SPECIFIC = "specific"


class SlotState(StrEnum):
    """What a reader says of its slot."""

    EMPTY = "empty"
    PRESENT = "present"
    MUTE = "mute"
    UNAVAILABLE = "unavailable"
