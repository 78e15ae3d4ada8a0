# SPDX-License-Identifier: Apache-2.0
"""Messages to and from JSON text."""

from typing import Any, Literal, TypeVar, cast

import msgspec

from wsrc.errors import (
    BadHexError,
    ErrorCode,
    LocalProtocolError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.octets import Octets, from_wire
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.fields import Whole
from wsrc.protocol.later import WORDS_ASKED, plain, refused_field, taken
from wsrc.protocol.messages import (
    BY_TAG,
    AnyMessage,
    CardInfo,
    CardUse,
    Detach,
    Message,
    ReaderView,
    session_of,
)
from wsrc.protocol.reader_events import NOTIFICATIONS

M = TypeVar("M", bound=Message)

MAX_MESSAGE_OCTETS = 1 << 20
"""Limit of one message, the same for all: a batch of some full-length commands fits."""


class UnreadableError(WsrcError):
    """
    A message that cannot be acted on but can be answered.

    `id` and `session` are those of the request; `session` is there only where it is said that the
    request was not executed.
    """

    def __init__(
        self, code: ErrorCode, sentence: str, id_: int | None, session: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.id = id_
        self.session = session


class _Envelope(msgspec.Struct):
    msg_type: str
    id: Whole | None = None


class _Notification(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    event: str


def encode_octets(value: Any) -> str:
    """Return octets as JSON has them, for msgspec."""
    if isinstance(value, Octets):
        return value.hex()
    raise NotImplementedError(type(value).__name__)


def decode_octets(kind: type, value: Any) -> Octets:
    """Return octets as JSON had them, for msgspec."""
    if kind is Octets and isinstance(value, str):
        return from_wire(value)
    raise ValueError(f"expected hexadecimal digits, got {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=encode_octets)
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyMessage, dec_hook=decode_octets)
_any_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def decoder_of(kind: type[M]) -> "msgspec.json.Decoder[M]":
    """
    Return what reads messages of one class, with none of the checks of `decode`.

    It is for a class whose requests have no word of a list, and raises what msgspec raises, and
    BadHexError.
    """
    return msgspec.json.Decoder(kind, dec_hook=decode_octets)


def tag_of(message: Message) -> str:
    """Return the `msg_type` of a message, or the `event` of a notification."""
    return str(message.__struct_config__.tag or getattr(message, "event", None))


def encode(message: Message | CardInfo | CardUse | ReaderView) -> bytes:
    """Return the JSON text of a message, or of a part of one, in UTF-8."""
    return _encoder.encode(message)


def check(message: Message) -> None:
    """
    Check that a server would take a message whose fields a caller chose.

    Raises:
        LocalProtocolError: If a field has a value that the protocol does not have.
    """
    tag = tag_of(message)
    try:
        read: Message = _decoder.decode(encode(message))
    except UnicodeEncodeError as exc:
        raise LocalProtocolError(f"A text for {tag!r} cannot be written in UTF-8.") from exc
    except msgspec.DecodeError as exc:
        raise LocalProtocolError(f"Invalid {tag!r} request: {exc}.") from exc
    except NotImplementedError as exc:
        raise LocalProtocolError(f"Invalid {tag!r} request: {exc} has no form in it.") from exc
    wrong = refused_field(read)
    if wrong is not None:
        raise LocalProtocolError(f"Invalid {tag!r} request: there is no such {wrong!r}.")


def check_utf8(text: bytes) -> None:
    """
    Check a text whole, also where no message has a field (RFC 6455 section 8.1).

    Raises:
        RemoteProtocolError: If it is not UTF-8; the connection is closed with 1007.
    """
    if text.isascii():
        return
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        why = f"The text is not UTF-8: {exc.reason} at octet {exc.start}."
        raise RemoteProtocolError(why, CloseCode.INVALID_TEXT) from exc


def decode(text: bytes | str) -> Message:
    """
    Read one message, or one notification of `reader_events`, which has no `msg_type`.

    Raises:
        UnreadableError: If `msg_type` or `event` is unknown, octets are not hexadecimal digits, or
            a request has a word that this version does not know; the connection goes on.
        RemoteProtocolError: If the text is no JSON object with a `msg_type`, or a field that
            must be there is missing or has another type; the connection is closed.
    """
    try:
        try:
            message: Message = _decoder.decode(text)
        except (BadHexError, msgspec.ValidationError):
            message = _read_plain(plain(_any_decoder.decode(text)))
    except msgspec.DecodeError as exc:
        raise RemoteProtocolError(f"The text is not JSON: {exc}.") from exc
    except (UnicodeError, RecursionError) as exc:
        raise RemoteProtocolError("The text is not UTF-8, or nested too deeply.") from exc
    wrong = refused_field(message) if WORDS_ASKED[type(message)] else None
    if wrong is not None:
        why = f"This version does not know what {wrong!r} of {tag_of(message)!r} says."
        raise UnreadableError(ErrorCode.NOT_SUPPORTED, why, message.id, session_of(message))
    return taken(message) if isinstance(message, Detach) else message


def _read_plain(value: Any) -> Message:
    """Read a message from JSON values of which none is null, or say why it cannot be read."""
    if isinstance(value, dict) and "msg_type" not in value and "jsonrpc" in value:
        return _read_notification(cast("dict[str, Any]", value))
    try:
        envelope = msgspec.convert(value, _Envelope)
    except msgspec.ValidationError as exc:
        raise RemoteProtocolError(f"The message has no usable msg_type or id: {exc}.") from exc
    if envelope.msg_type not in BY_TAG:
        why = f"There is no message {envelope.msg_type[:40]!r} in this version."
        raise UnreadableError(ErrorCode.UNKNOWN_MESSAGE, why, envelope.id)
    try:
        return msgspec.convert(value, BY_TAG[envelope.msg_type], dec_hook=decode_octets)
    except BadHexError as exc:
        why = f"Octets in {envelope.msg_type!r} are wrong: {exc}."
        raise UnreadableError(ErrorCode.BAD_HEX, why, envelope.id) from exc
    except msgspec.ValidationError as exc:
        why = f"The message {envelope.msg_type!r} is wrong: {exc}."
        raise RemoteProtocolError(why) from exc


def _read_notification(value: dict[str, Any]) -> Message:
    try:
        event = msgspec.convert(value, _Notification).event
        if event in NOTIFICATIONS:
            return msgspec.convert(value, NOTIFICATIONS[event], dec_hook=decode_octets)
    except msgspec.ValidationError as exc:
        raise RemoteProtocolError(f"The notification is wrong: {exc}.") from exc
    why = f"There is no notification {event[:40]!r} in this version."
    raise UnreadableError(ErrorCode.UNKNOWN_MESSAGE, why, None)


def canonical(text: bytes, message: Message) -> bytes:
    """
    Return a JSON text as any reader takes it, with the fields that this version does not know.

    Each name is there once, with its last value; numbers are written anew. A text that is as we
    write its message is read no second time.

    Args:
        text: In UTF-8, if it is a text of RFC 6455.
        message: What was read from it.

    Raises:
        RemoteProtocolError: If the text is not UTF-8 (RFC 6455 section 8.1), has a number that is
            no number of IEEE 754 (RFC 8259 section 6), is nested too deep, or is too long then.
    """
    try:
        if _encoder.encode(message) == text:
            return text
        anew = _encoder.encode(plain(_any_decoder.decode(text)))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"The text cannot be passed on: {_explain_any(exc)}.") from exc
    if len(anew) > max(len(text), MAX_MESSAGE_OCTETS):
        raise RemoteProtocolError("The text cannot be passed on: its numbers are too long.")
    return anew


def _explain_any(exc: Exception) -> str:
    return "it is nested too deep" if isinstance(exc, RecursionError) else str(exc)
