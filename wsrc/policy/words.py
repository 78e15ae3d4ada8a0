# SPDX-License-Identifier: Apache-2.0
"""The words of a policy: what may be done with a card, and what kinds of cards there are."""

from typing import Final

from wsrc.words import Word


class Verb(Word):
    """What a user may be allowed to do with a card; whoever may do any of it may list the card."""

    LIST = "list", "See that the card is there: in lists and answers, with its state and its holder"
    USE = "use", "Take the card alone, waiting for it where it is busy, and send it commands"
    SHARE = "share", "Take the card with others who share it, and send it commands"
    DIRECT = "direct", "Take its reader without talking to the card"
    RESET = "reset", "Reset the card, or have it powered off or ejected, during a session"
    CONTROL = "control", "Send control codes to its reader"
    ATTRIBUTES = "attributes", "Get and set attributes of its reader"
    EVENTS = "events", "Be told when the card or its reader changes, in either form of the events"
    TAG = "tag", "Set tags and a comment of the card, which all who may list it see"
    REVOKE = "revoke", "Take the card from whoever has it"
    RESERVE = "reserve", "Have the card kept for a time to come"
    ADMIN = (
        "admin",
        'As `revoke`; of every card, `"*"`: see connections, kick, ban, drain, stop the server',
    )


class Kind(Word):
    """What sort of card it is, as far as its ATR and its identities tell."""

    EUICC = "euicc", "It has an EID, or its ATR announces an eUICC (TS 102 221 table 6.7)"
    UICC = "uicc", "No eUICC; it has an ICCID, or the ATR of a UICC (TS 102 221 clause 6.3.1)"
    CONTACTLESS = "contactless", "Neither; its ATR is that of PC/SC part 3 clause 3.1.3.2.3"
    OTHER = "other", "Any other card that gives an ATR"


ALL: Final = frozenset(Verb)
"""Every verb."""

ANYONE: Final = "anyone"
"""Who stands for every peer in a policy, those without a name as well."""

EVERY: Final = "*"
"""What stands for every card in a policy, and for any text in a pattern."""
