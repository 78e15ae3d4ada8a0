# SPDX-License-Identifier: Apache-2.0
"""Commands for a card and their answers, as messages; `messages` has them with all others."""

from typing import Annotated

from wsrc.card.slot import ResetKind
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol.fields import (
    Atr,
    Command,
    ProtocolInForce,
    ResponseData,
    Session,
    StatusWord,
    Whole,
    means,
)
from wsrc.protocol.parts import (
    CardInfo,
    LeaseInfo,
    Numbered,
    OfSession,
    ReadAhead,
    Step,
    StepResult,
)
from wsrc.protocol.seals import HostWord, SealedResp
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

    command: Command
    session: Session | None = None
    used_ahead: Annotated[
        Whole,
        means(
            "Place, from 1, of the last command in `read_ahead` of the answer before that was used "
            "instead of asking; 0 if none was"
        ),
    ] = 0


class RApdu(Numbered, frozen=True, tag="r_apdu", kw_only=True):
    """The response APDU (first form: `response` and `sw` alone)."""

    response: ResponseData
    sw: StatusWord
    session: Session | None = None
    ahead: Annotated[
        StepResult | None,
        means(
            "With `look_ahead`, after 61xx: what the card answered to the GET RESPONSE that its "
            "card client sent at once; the card has nothing left for another GET RESPONSE"
        ),
    ] = None
    read_ahead: Annotated[
        tuple[ReadAhead, ...],
        means(
            "With `read_ahead`: what the card client has read since, in its order; each answers "
            "the next command of the session, if that has the same octets"
        ),
    ] = ()

    @property
    def status_words(self) -> tuple[str, ...]:
        """All status words of it, those that were sent ahead included."""
        fetched = () if self.ahead is None else (self.ahead.sw,)
        return (self.sw, *fetched, *(each.sw for each in self.read_ahead))


class Batch(OfSession, frozen=True, tag="batch", kw_only=True):
    """Commands that the card client runs one after the other, in one round trip."""

    steps: Annotated[tuple[Step, ...], means("1 to 256 commands", minItems=1, maxItems=256)]


class BatchResp(OfSession, frozen=True, tag="batch_resp", kw_only=True):
    """What the card answered to the commands of a batch."""

    results: Annotated[
        tuple[StepResult, ...], means("One for each command that the card answered, in their order")
    ]
    stopped: Annotated[
        Whole | None,
        means("Index of the command whose status word did not match, from 0; absent if none"),
    ] = None
    error: Annotated[
        "Error | None",
        means("Why the command after the last result was not answered; without `id`"),
    ] = None


class ResetReq(Numbered, frozen=True, tag="reset_req", kw_only=True):
    """Reset the card (first form: no fields)."""

    session: Session | None = None
    kind: Annotated[ResetKind, means("With or without taking the supply away")] = ResetKind.COLD


class ResetResp(Numbered, frozen=True, tag="reset_resp", kw_only=True):
    """The card was reset (first form: `atr` alone)."""

    atr: Atr | None = None
    protocol: ProtocolInForce | None = None
    session: Session | None = None


class Error(Numbered, frozen=True, tag="error", kw_only=True):
    """A request was not carried out (first form: `message` alone)."""

    message: Annotated[str, means("A sentence for a person; it may change")]
    code: Annotated[ErrorCode | None, means("Why, for programs; stable")] = None
    pcsc: Annotated[str | None, means("Name of the PC/SC error that fits best")] = None
    outcome: Annotated[
        Outcome | None,
        means("Of a command, never of `resume`: whether the card may have run it; see Outcomes"),
    ] = None
    session: Session | None = None
    retry_after_s: Annotated[
        float | None,
        means("Seconds after which it may be otherwise; absent where time alone changes nothing"),
    ] = None
    candidates: Annotated[
        tuple[CardInfo, ...], means("At most 10 of the cards that an ambiguous selection matches")
    ] = ()
    lease: Annotated[LeaseInfo | None, means("Who holds the card that was asked for")] = None
    others: Annotated[
        tuple[LeaseInfo, ...], means("Further holders of that card, where it is shared")
    ] = ()
    word: HostWord = None


Answer = (
    RApdu | SealedResp | BatchResp | ResetResp | ReconnectAck | BeginTransactionAck
    | EndTransactionAck | StatusAck | ControlAck | GetAttributeAck | SetAttributeAck | Error
)  # fmt: skip
"""What a request of a session is answered with; the most frequent first, for `isinstance`."""
