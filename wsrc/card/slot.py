# SPDX-License-Identifier: Apache-2.0
"""What a slot and the card in it can be: states, protocols, resets, whom it is for."""

from wsrc.words import OpenWord


class CardProtocol(OpenWord):
    """Transmission protocol of ISO/IEC 7816-3."""

    T0 = "T0", "T=0"
    T1 = "T1", "T=1"


class ResetKind(OpenWord):
    """ETSI TS 102 221 clause 6: cold takes the supply away, warm does not."""

    COLD = "cold", "The supply is taken away"
    WARM = "warm", "The supply stays"


class Share(OpenWord):
    """With whom a card is used, as in SCardConnect."""

    EXCLUSIVE = "exclusive", "With nobody"
    SHARED = "shared", "With all who ask for the same"
    DIRECT = "direct", "The reader alone is used, with or without a card"


class Pick(OpenWord):
    """Which of the cards that match a user wants."""

    ONE = "one", "The one that matches; several are refused"
    ANY = "any", "The one that is free and was used least recently, or becomes free first"


class Initialization(OpenWord):
    """What SCardReconnect does with the card first."""

    LEAVE = "leave", "Nothing"
    RESET = "reset", "A warm reset"
    UNPOWER = "unpower", "A cold reset"


class Disposition(OpenWord):
    """What is done with the card at the end, as in SCardDisconnect."""

    LEAVE = "leave", "Nothing"
    RESET = "reset", "A warm reset"
    UNPOWER = "unpower", "A cold reset"
    EJECT = "eject", "The card is pushed out, by a reader that can; else as `unpower`"


class CardStatus(OpenWord):
    """What PC/SC's SCardStatus says of a slot and its card."""

    UNKNOWN = "unknown", "Not known"
    ABSENT = "absent", "No card"
    PRESENT = "present", "A card"
    SWALLOWED = "swallowed", "A card in its place, without power"
    POWERED = "powered", "The card has power"
    NEGOTIABLE = "negotiable", "The card was reset, and no protocol was agreed on"
    SPECIFIC = "specific", "A protocol is in force"


class SlotState(OpenWord):
    """What a reader says of its slot."""

    EMPTY = "empty", "No card"
    PRESENT = "present", "A card"
    MUTE = "mute", "A card that gives no ATR"
    UNAVAILABLE = "unavailable", "The reader does not work"
