# SPDX-License-Identifier: Apache-2.0
"""
What programs ask of the reader itself, by CONTROL and by attributes: passed on to its host.

Control codes become numbers and attributes become names here, as all platforms know them.
"""

from wsrc.bridges.pcscd.needs import ControlReader, ReadAttribute, WriteAttribute
from wsrc.bridges.pcscd.reader import Reader, Refused
from wsrc.bridges.pcscd.requests import Control, SetAttribute
from wsrc.bridges.pcscd.source import Failure
from wsrc.bridges.pcscd.turns import Doing, Turns
from wsrc.card.pcsc_numbers import (
    GET_FEATURE_REQUEST,
    Code,
    attribute_name,
    control_number,
    platform_features,
)


def control(turns: Turns, reader: Reader, asked: Control) -> Doing:
    """
    Ask the reader, and give its answer.

    Features are asked for once while the card is ours. While it is not they are none: programs
    that list readers ask all of them, and nobody's card is to be taken for that.

    Raises:
        Refused: If it is no control code of this platform.
    """
    number = control_number(asked.code, windows=False)
    if number is None:
        raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)
    if number == GET_FEATURE_REQUEST:
        return platform_features((yield from _features(turns, reader)), windows=False)
    return (yield from turns.with_reader(reader, lambda s: ControlReader(s, number, asked.octets)))


def _features(turns: Turns, reader: Reader) -> Doing:
    if reader.session is None:
        return b""
    if reader.features is None:
        reader.features = yield from turns.with_reader(
            reader, lambda s: ControlReader(s, GET_FEATURE_REQUEST, b""), settled=False
        )
    return reader.features


def name_of(number: int) -> str:
    """
    Return the name of an attribute.

    Raises:
        Refused: If it has none, as those that are a vendor's own.
    """
    name = attribute_name(number)
    if name is None:
        raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)
    return name


def read(turns: Turns, reader: Reader, name: str) -> Doing:
    """Ask the reader for an attribute, and give its value."""
    return (yield from turns.with_reader(reader, lambda s: ReadAttribute(s, name)))


def write(turns: Turns, reader: Reader, asked: SetAttribute) -> Doing:
    """Set an attribute; what cannot be set fails as on pcscd."""
    name = attribute_name(asked.attribute)
    if name is None:
        raise Refused(Code.SCARD_E_NOT_TRANSACTED)
    try:
        yield from turns.with_reader(reader, lambda s: WriteAttribute(s, name, asked.value))
    except Failure as failure:
        if failure.code is Code.SCARD_E_UNSUPPORTED_FEATURE:
            raise Refused(Code.SCARD_E_NOT_TRANSACTED) from failure
        raise
    return b""
