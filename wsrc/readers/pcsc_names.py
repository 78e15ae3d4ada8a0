# SPDX-License-Identifier: Apache-2.0
"""What can be told of a PC/SC reader from its name, its attributes and a card's ATR."""

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

from wsrc.readers.base import CardProtocol

_USB = 0x0020
"""Channel type of PC/SC part 3, attribute CHANNEL_ID."""

_USB_DEVICES = Path("/sys/bus/usb/devices")
_INDEX_AND_SLOT = re.compile(r"^(?P<base>.*) [0-9A-F]{2} (?P<slot>[0-9A-F]{2})$", re.DOTALL)
_INTERFACE = re.compile(r"\[(?P<interface>[^\]]+)\]")


def wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """
    Tell whether a reader is to be served.

    A pattern has `*`, `?` and `[...]` and covers the whole name; case does not matter. A name is
    its own pattern even where it has brackets. No `include` means all.
    """
    return (not include or _matches(name, include)) and not _matches(name, exclude)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    folded = name.casefold()
    return any(
        folded == pattern.casefold() or fnmatch.fnmatchcase(folded, pattern.casefold())
        for pattern in patterns
    )


def stable_id(name: str, serial: bytes, channel: bytes, usb_devices: Path = _USB_DEVICES) -> str:
    """
    Name a reader so that it is the same after a restart.

    Args:
        name: As PC/SC shows it; pcsc-lite ends it with the reader's index and the slot.
        serial: Attribute IFD serial number, empty where the reader gives none.
        channel: Attribute channel id, empty where the reader gives none.
        usb_devices: Where Linux tells which USB device is in which port.

    Slots, and interfaces of one device, have the same serial number and are told apart here.
    """
    text = serial.split(b"\0")[0].decode("ascii", "replace").strip()
    if not text.strip("0"):
        text = _usb_position(channel, usb_devices)
    if not text:
        return name
    interface = _INTERFACE.search(name)
    if interface is not None:
        text += f" [{interface['interface']}]"
    slot = _slot(name)
    return f"{text} slot {slot}" if slot else text


def _slot(name: str) -> int:
    found = _INDEX_AND_SLOT.match(name)
    return int(found["slot"], 16) if found is not None else 0


def _usb_position(channel: bytes, usb_devices: Path) -> str:
    """Give the port of a USB reader; its address, which changes, only where none is known."""
    if len(channel) != 4:
        return ""
    value = int.from_bytes(channel, "little")
    if value >> 16 != _USB:
        return ""
    bus, address = value >> 8 & 0xFF, value & 0xFF
    for device in sorted(usb_devices.glob("*-*")):
        if _number(device / "busnum") == bus and _number(device / "devnum") == address:
            return f"usb {device.name}"
    return f"usb {bus}:{address}"


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def first_protocol(atr: bytes) -> CardProtocol | None:
    """
    Give the protocol that a card offers first (ISO/IEC 7816-3 clause 8.2.3).

    TA2 names the protocol of the specific mode, else TD1 the default one; no TD1 means T=0.
    None where the ATR is cut short or names a protocol that PC/SC cards do not have.
    """
    if len(atr) < 2:
        return None
    td1, after = _interface_octets(atr, 2, atr[1])
    if td1 is None:
        return CardProtocol.T0 if not atr[1] & 0x80 else None
    ta2 = atr[after : after + 1] if td1 & 0x10 else b""
    number = (ta2[0] if ta2 else td1) & 0x0F
    return {0: CardProtocol.T0, 1: CardProtocol.T1}.get(number)


def _interface_octets(atr: bytes, at: int, indicator: int) -> tuple[int | None, int]:
    """Give TD of the group that `indicator` announces at `at`, and where the next begins."""
    count = (indicator >> 4).bit_count()
    group = atr[at : at + count]
    has_td = bool(indicator & 0x80)
    return (group[-1] if has_td and len(group) == count else None), at + count
