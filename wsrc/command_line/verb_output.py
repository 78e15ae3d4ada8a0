# SPDX-License-Identifier: Apache-2.0
"""What a person types and is shown of control numbers, attributes and the status of a card."""

from typing import TYPE_CHECKING, Any

from wsrc.card.pcsc_numbers import ATTRIBUTES, attribute_name, control_number
from wsrc.errors import BadHexError, ErrorCode, LocalProtocolError, RefusedError
from wsrc.octets import Octets, from_person
from wsrc.process.printable import clean

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card
    from wsrc.user_client.card import Status
    from wsrc.user_client.core.seals import SealedWith

_PREFIX = "scard_attr_"


def status_lines(status: "Status", sealed: "SealedWith | None") -> list[str]:
    """Return the lines for what PC/SC says of a card, and for who has sealed its session."""
    lines = [
        ("Reader", status.reader_name),
        ("State", ", ".join(status.states)),
        ("Protocol", status.protocol or "none"),
        ("ATR", status.atr.hex() or "none"),
        ("Sealed", sealed_text(sealed)),
    ]
    return [f"{title:<13}{text}" for title, text in lines]


def sealed_text(sealed: "SealedWith | None") -> str:
    """Return who has sealed a session, for a person."""
    if sealed is None:
        return "no, the server can read this session"
    return f"with {clean(sealed.name)}, {sealed.fingerprint}"


def status_document(status: "Status") -> dict[str, Any]:
    """Return what PC/SC says of a card as JSON values."""
    return {
        "reader_name": status.reader_name,
        "states": [state.value for state in status.states],
        "protocol": status.protocol.value if status.protocol else None,
        "atr": status.atr.hex() or None,
    }


def control_number_of(text: str) -> int:
    """
    Read a control number, or a control code of pcsc-lite, which is 42000000h more.

    Raises:
        LocalProtocolError: If it is neither.
    """
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if number < 0 or number > 0xFFFF_FFFF:
        raise LocalProtocolError(
            f"{text[:40]!r} is no control number: write it as 3400, 0xD48, or by the code that "
            "pcsc-lite has for it, 0x42000D48."
        )
    code = control_number(number, windows=False)
    return number if code is None else code


def attribute_of(text: str) -> str:
    """
    Return the name of an attribute for its name, that of PC/SC, or its number.

    Raises:
        LocalProtocolError: If there is no such attribute.
    """
    name = text.lower().removeprefix(_PREFIX)
    try:
        known = attribute_name(int(text, 0))
    except ValueError:
        known = name if name in ATTRIBUTES else None
    if known is None:
        raise LocalProtocolError(
            f"{text[:40]!r} is no attribute; `wsrc attribute --list` shows all."
        )
    return known


def octets_of(text: str, what: str) -> Octets:
    """
    Read octets; they are not repeated in an error, since they may be secret.

    Raises:
        BadHexError: If they are not hexadecimal.
    """
    try:
        return from_person(text)
    except BadHexError as exc:
        raise BadHexError(f"The {what} is not hexadecimal: {exc}.") from exc


def value_text(value: bytes) -> str:
    """Return the value of an attribute as a line: octets, and the text if they are one."""
    text = value.rstrip(b"\0")
    readable = bool(text) and all(0x20 <= octet < 0x7F for octet in text)
    return f"{value.hex()}  {text.decode('ascii')}" if readable else value.hex()


def attributes_of(card: "Card") -> dict[str, bytes]:
    """Return all attributes that a reader has, by name."""
    values: dict[str, bytes] = {}
    for name in ATTRIBUTES:
        try:
            values[name] = card.get_attribute(name)
        except RefusedError as exc:
            if exc.code is not ErrorCode.NOT_SUPPORTED:
                raise
    return values
