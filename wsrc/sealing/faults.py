# SPDX-License-Identifier: Apache-2.0
"""Why a session is not sealed, or what is sealed is not taken."""

from wsrc.errors import ErrorCode, RefusedError
from wsrc.words import Word


class Fault(Word):
    """Why, for programs; stable, and a code of `wsrc.errors` each."""

    REQUIRED = ErrorCode.SEAL_REQUIRED.value, ErrorCode.SEAL_REQUIRED.meaning
    SUITE = ErrorCode.SEAL_SUITE.value, ErrorCode.SEAL_SUITE.meaning
    TERMS = ErrorCode.SEAL_TERMS.value, ErrorCode.SEAL_TERMS.meaning
    HOST = ErrorCode.SEAL_HOST.value, ErrorCode.SEAL_HOST.meaning
    HOST_CHANGED = ErrorCode.SEAL_HOST_CHANGED.value, ErrorCode.SEAL_HOST_CHANGED.meaning
    USER = ErrorCode.SEAL_USER.value, ErrorCode.SEAL_USER.meaning
    KEY = ErrorCode.SEAL_KEY.value, ErrorCode.SEAL_KEY.meaning
    SECRET = ErrorCode.SEAL_SECRET.value, ErrorCode.SEAL_SECRET.meaning
    BOX = ErrorCode.SEAL_BOX.value, ErrorCode.SEAL_BOX.meaning
    NUMBER = ErrorCode.SEAL_NUMBER.value, ErrorCode.SEAL_NUMBER.meaning
    PROOF = ErrorCode.SEAL_PROOF.value, ErrorCode.SEAL_PROOF.meaning
    ORDER = ErrorCode.SEAL_ORDER.value, ErrorCode.SEAL_ORDER.meaning


class SealError(RefusedError):
    """What is sealed, or was to be, is not taken; `fault` says why."""

    def __init__(self, fault: Fault, sentence: str) -> None:
        super().__init__(ErrorCode(fault.value), sentence)
        self.fault = fault
