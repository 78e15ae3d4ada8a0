# SPDX-License-Identifier: Apache-2.0
"""Why a session is not sealed, or what is sealed is not taken."""

from wsrc.errors import ErrorCode, WsrcError
from wsrc.words import Word


class Fault(Word):
    """Why, for programs; stable."""

    REQUIRED = "seal_required", "One end wants the session sealed, and the other has not said so"
    SUITE = "seal_suite", "The two ends have no suite in common, or one is not known"
    TERMS = "seal_terms", "What is signed is not what was asked: the relay may have changed it"
    HOST = "seal_host", "The card host's signature or certificate is not good, or not for this card"
    HOST_CHANGED = "seal_host_changed", "The card host has another key than it had before"
    USER = "seal_user", "The user's signature or certificate is not good, or missing"
    KEY = "seal_key", "A public key is none, or one whose secret everybody knows"
    SECRET = "seal_secret", "The secret does not open, or another came for the same key"
    BOX = "seal_box", "A sealed message was changed, or belongs to another number or session"
    NUMBER = "seal_number", "A number was to be sealed again with something else"
    PROOF = "seal_proof", "The proof that resumes a session is not good, or was used"
    ORDER = "seal_order", "A request has run of which the user was told that it had not"


class SealError(WsrcError):
    """What is sealed, or was to be, is not taken; `fault` says why."""

    code = ErrorCode.BAD_MESSAGE

    def __init__(self, fault: Fault, sentence: str) -> None:
        super().__init__(sentence)
        self.fault = fault
