# SPDX-License-Identifier: Apache-2.0
"""Commands for a card and their answers, as messages; `messages` has them with all others."""

from wsrc.card.slot import CardProtocol, ResetKind
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol.parts import CardInfo, LeaseInfo, Numbered, Step, StepResult
from wsrc.protocol.verbs import (
    BeginTransactionAck,
    ControlAck,
    EndTransactionAck,
    GetAttributeAck,
    ReconnectAck,
    SetAttributeAck,
    StatusAck,
)


class CApdu(Numbered, frozen=True, tag="c_apdu", kw_only=True):
    """One command APDU (first form: `command` alone)."""

    command: Octets
    session: str | None = None


class RApdu(Numbered, frozen=True, tag="r_apdu", kw_only=True):
    """
    The response APDU: its data, which may be empty, and the status word as four digits.

    In a session with raw TPDUs and `look_ahead` the card client may fetch what a 61xx announces
    at once: `ahead` is the card's answer to that GET RESPONSE, and the card has nothing more to
    give to another.
    """

    response: Octets
    sw: str
    session: str | None = None
    ahead: StepResult | None = None


class Batch(Numbered, frozen=True, tag="batch", kw_only=True):
    """1 to 256 commands that the card client runs one after the other, in one round trip."""

    session: str
    steps: tuple[Step, ...]


class BatchResp(Numbered, frozen=True, tag="batch_resp", kw_only=True):
    """
    A result for each command that the card answered.

    `stopped` is the index of the command whose status word did not match. `error` says why the
    command after the last result was not answered.
    """

    session: str
    results: tuple[StepResult, ...]
    stopped: int | None = None
    error: "Error | None" = None


class ResetReq(Numbered, frozen=True, tag="reset_req", kw_only=True):
    """Reset the card (first form: no fields)."""

    session: str | None = None
    kind: ResetKind = ResetKind.COLD


class ResetResp(Numbered, frozen=True, tag="reset_resp", kw_only=True):
    """The card was reset; `atr` is the new one."""

    atr: Octets | None = None
    protocol: CardProtocol | None = None
    session: str | None = None


class Error(Numbered, frozen=True, tag="error", kw_only=True):
    """
    A request was not carried out (first form: `message` alone).

    `code` is stable, `pcsc` is the PC/SC error that fits best, `message` is for a person.
    `outcome` tells of a command whether the card may have run it. `candidates` are some of the
    cards that an ambiguous selection matches; `lease` and `others` are who holds a busy card.
    """

    message: str
    code: ErrorCode | None = None
    pcsc: str | None = None
    outcome: Outcome | None = None
    session: str | None = None
    candidates: tuple[CardInfo, ...] = ()
    lease: LeaseInfo | None = None
    others: tuple[LeaseInfo, ...] = ()


Answer = (
    RApdu | BatchResp | ResetResp | ReconnectAck | BeginTransactionAck | EndTransactionAck
    | StatusAck | ControlAck | GetAttributeAck | SetAttributeAck | Error
)  # fmt: skip
"""What a request of a session is answered with."""
