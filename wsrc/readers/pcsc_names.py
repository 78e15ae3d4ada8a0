# SPDX-License-Identifier: Apache-2.0
"""What can be told of a PC/SC reader from its name and its attributes."""

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

_USB = 0x0020
"""Channel type of PC/SC part 3, attribute CHANNEL_ID."""

_USB_DEVICES = Path("/sys/bus/usb/devices")
_INDEX_AND_SLOT = re.compile(r"^(?P<base>.*) [0-9A-F]{2} (?P<slot>[0-9A-F]{2})$", re.DOTALL)
_INTERFACE = re.compile(r"\[(?P<interface>[^\]]+)\]")


def shown(name: str) -> str:
    r"""
    Return a reader's name as people and the server are shown it.

    Octets that are no UTF-8, such as half a character at the end of a name that pcscd had to cut,
    and characters that nobody sees are written out: `Gem\xe4lto`.
    """
    octets = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in octets)


def wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """
    Return whether a reader is to be served.

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
    text = shown(serial.split(b"\0")[0].decode(errors="surrogateescape")).strip()
    if not text.strip("0"):
        text = usb_position(channel, usb_devices)
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


def usb_position(channel: bytes, usb_devices: Path = _USB_DEVICES) -> str:
    """Return the port of a USB reader, empty where it is not known; its address is none."""
    if len(channel) != 4:
        return ""
    value = int.from_bytes(channel, "little")
    if value >> 16 != _USB:
        return ""
    bus, address = value >> 8 & 0xFF, value & 0xFF
    for device in sorted(usb_devices.glob("*-*")):
        if _number(device / "busnum") == bus and _number(device / "devnum") == address:
            return f"usb {device.name}"
    return ""


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
