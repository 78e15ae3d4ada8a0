# SPDX-License-Identifier: Apache-2.0
"""Status words of the simulated card, and how a command ends with one."""

from enum import IntEnum


class SW(IntEnum):
    """Status words of ISO/IEC 7816-4 clause 5.6 and ETSI TS 102 221 clause 10.2.1."""

    DONE = 0x9000
    FILE_DEACTIVATED = 0x6283
    WRONG_LENGTH = 0x6700
    NO_CHANNEL = 0x6881
    NO_SECURE_MESSAGING = 0x6882
    INCOMPATIBLE_FILE = 0x6981
    SECURITY_NOT_SATISFIED = 0x6982
    BLOCKED = 0x6983
    DATA_NOT_USABLE = 0x6984
    CONDITIONS_NOT_SATISFIED = 0x6985
    NO_EF_SELECTED = 0x6986
    WRONG_DATA = 0x6A80
    NOT_SUPPORTED = 0x6A81
    NOT_FOUND = 0x6A82
    RECORD_NOT_FOUND = 0x6A83
    WRONG_P1_P2 = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    OUT_OF_RANGE = 0x6B00
    WRONG_INS = 0x6D00
    WRONG_CLASS = 0x6E00
    MAXIMUM_REACHED = 0x9850
    WRONG_MAC = 0x9862
    CONTEXT_NOT_SUPPORTED = 0x9864


def tries_left(count: int) -> int:
    """Return 63CX for a number of tries, 0 to 15."""
    return 0x63C0 | min(count, 15)


class StatusWordError(Exception):
    """Ends a command with a status word and no data; it never leaves the simulated card."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"{sw:04X}")
        self.sw = int(sw)
