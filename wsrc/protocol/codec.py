# SPDX-License-Identifier: Apache-2.0
"""Messages to and from JSON text."""

from typing import Any, Literal, get_args

import msgspec

from wsrc.errors import (
    BadHexError,
    ErrorCode,
    LocalProtocolError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.octets import Octets, from_wire
from wsrc.protocol.messages import AnyMessage, CardInfo, Message, ReaderView
from wsrc.protocol.reader_events import NOTIFICATIONS

MAX_MESSAGE_OCTETS = 1 << 20
"""Limit of one message, the same for all: a batch of some full-length commands fits."""

BY_TAG: dict[str, type[Message]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyMessage)
}
"""Message classes by `msg_type`."""


class UnreadableError(WsrcError):
    """A message that cannot be acted on but can be answered; `id` is that of the request."""

    def __init__(self, code: ErrorCode, sentence: str, id_: int | None) -> None:
        super().__init__(sentence)
        self.code = code
        self.id = id_


class _Envelope(msgspec.Struct):
    msg_type: str
    id: int | None = None


class _Notification(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    event: str


def _encode_octets(value: Any) -> str:
    if isinstance(value, Octets):
        return value.hex()
    raise NotImplementedError(type(value).__name__)


def _decode_octets(kind: type, value: Any) -> Octets:
    if kind is Octets and isinstance(value, str):
        return from_wire(value)
    raise ValueError(f"expected hexadecimal digits, got {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_encode_octets)
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyMessage, dec_hook=_decode_octets)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_any_decoder = msgspec.json.Decoder()
_event_decoder = msgspec.json.Decoder(_Notification)
_notification_decoders = {
    event: msgspec.json.Decoder(kind) for event, kind in NOTIFICATIONS.items()
}


def tag_of(message: Message) -> str:
    """Return the `msg_type` of a message, or the `event` of a notification."""
    return str(message.__struct_config__.tag or getattr(message, "event", None))


def encode(message: Message | CardInfo | ReaderView) -> bytes:
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
        _decoder.decode(encode(message))
    except UnicodeEncodeError as exc:
        raise LocalProtocolError(f"A text for {tag!r} cannot be written in UTF-8.") from exc
    except msgspec.DecodeError as exc:
        raise LocalProtocolError(f"Invalid {tag!r} request: {_explain(exc)}.") from exc
    except NotImplementedError as exc:
        raise LocalProtocolError(f"Invalid {tag!r} request: {exc} has no form in it.") from exc


def decode(text: bytes | str) -> Message:
    """
    Read one message, or one notification of `reader_events`, which has no `msg_type`.

    Raises:
        UnreadableError: If `msg_type` is unknown, or octets are not hexadecimal digits; the
            connection goes on.
        RemoteProtocolError: If the text is no JSON object with a `msg_type`, or a field that
            must be there is missing or has another type; the connection is closed.
    """
    try:
        message: Message = _decoder.decode(text)
    except BadHexError as exc:
        envelope = _envelope(text)
        raise UnreadableError(
            ErrorCode.BAD_HEX, f"Octets in {envelope.msg_type!r} are wrong: {exc}.", envelope.id
        ) from exc
    except msgspec.DecodeError as exc:
        notification = _notification(text)
        if notification is not None:
            return notification
        envelope = _envelope(text)
        if envelope.msg_type not in BY_TAG:
            raise UnreadableError(
                ErrorCode.UNKNOWN_MESSAGE,
                f"There is no message {envelope.msg_type[:40]!r} in this version.",
                envelope.id,
            ) from exc
        why = f"The message {envelope.msg_type!r} is wrong: {_explain(exc)}."
        raise RemoteProtocolError(why) from exc
    except (UnicodeError, RecursionError) as exc:
        raise RemoteProtocolError("The text is not UTF-8, or nested too deeply.") from exc
    return message


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
        anew = _encoder.encode(_any_decoder.decode(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"The text cannot be passed on: {_explain_any(exc)}.") from exc
    if len(anew) > max(len(text), MAX_MESSAGE_OCTETS):
        raise RemoteProtocolError("The text cannot be passed on: its numbers are too long.")
    return anew


def _explain_any(exc: Exception) -> str:
    return "it is nested too deep" if isinstance(exc, RecursionError) else str(exc)


def _notification(text: bytes | str) -> Message | None:
    try:
        decoder = _notification_decoders.get(_event_decoder.decode(text).event)
        return decoder.decode(text) if decoder is not None else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _envelope(text: bytes | str) -> _Envelope:
    try:
        return _envelope_decoder.decode(text)
    except msgspec.ValidationError as exc:
        raise RemoteProtocolError(f"The message has no usable msg_type or id: {exc}.") from exc
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"The text is not JSON: {exc}.") from exc


def _explain(exc: msgspec.DecodeError) -> str:
    """Return what is wrong without the value, of any length, that msgspec repeats of an enum."""
    sentence = str(exc)
    what, where = "Invalid enum value", sentence.rfind(" - at `$")
    return what + sentence[where:] if sentence.startswith(what) else sentence
