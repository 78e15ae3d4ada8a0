# SPDX-License-Identifier: Apache-2.0
"""VERIFY, CHANGE, DISABLE, ENABLE and UNBLOCK PIN (TS 102 221 clauses 11.1.9 to 11.1.13)."""

from wsrc.card.apdu import Response
from wsrc.readers.simulation.pins import SECRET_OCTETS, Pin, Secret
from wsrc.readers.simulation.state import Call, done
from wsrc.readers.simulation.status import SW, StatusWordError, tries_left


def verify(call: Call) -> Response:
    """Compare a key; without data, answer with the tries left and spend none."""
    pin = _pin(call)
    if not call.command.data:
        if call.state.satisfied(call.command.p2):
            return done()
        return Response(b"", tries_left(pin.secret.tries))
    value = _fields(call, 1)[0]
    if not pin.enabled:
        raise StatusWordError(SW.DATA_NOT_USABLE)
    _present(call, pin, value)
    call.state.verified.add(call.command.p2)
    return done()


def change_pin(call: Call) -> Response:
    """Replace a PIN by a new one; this does not verify it."""
    pin = _pin(call)
    old, new = _fields(call, 2)
    if not pin.enabled:
        raise StatusWordError(SW.DATA_NOT_USABLE)
    _present(call, pin, old)
    pin.secret.replace(new)
    return done()


def disable_pin(call: Call) -> Response:
    """Take the PIN away from all access conditions."""
    pin = _pin(call)
    value = _fields(call, 1)[0]
    _unblockable(pin)
    if not pin.enabled:
        raise StatusWordError(SW.CONDITIONS_NOT_SATISFIED)
    _present(call, pin, value)
    pin.enabled = False
    return done()


def enable_pin(call: Call) -> Response:
    """Ask for the PIN again; it counts as verified."""
    pin = _pin(call)
    value = _fields(call, 1)[0]
    if pin.enabled:
        raise StatusWordError(SW.CONDITIONS_NOT_SATISFIED)
    _present(call, pin, value)
    pin.enabled = True
    call.state.verified.add(call.command.p2)
    return done()


def unblock_pin(call: Call) -> Response:
    """Set a new PIN with the UNBLOCK PIN; without data, answer with the tries left."""
    pin = _pin(call)
    unblock = _unblockable(pin)
    if not call.command.data:
        return Response(b"", tries_left(unblock.tries))
    puk, new = _fields(call, 2)
    unblock.present(puk)
    pin.secret.replace(new)
    pin.enabled = True
    call.state.verified.add(call.command.p2)
    return done()


def _pin(call: Call) -> Pin:
    if call.command.p1:
        raise StatusWordError(SW.WRONG_P1_P2)
    return call.state.pin(call.command.p2)


def _unblockable(pin: Pin) -> Secret:
    """Return the UNBLOCK PIN; an administrative key has none and is never disabled."""
    if pin.unblock is None:
        raise StatusWordError(SW.REFERENCE_NOT_FOUND)
    return pin.unblock


def _fields(call: Call, count: int) -> list[bytes]:
    data = call.command.data
    if len(data) != count * SECRET_OCTETS:
        raise StatusWordError(SW.WRONG_LENGTH)
    return [data[i : i + SECRET_OCTETS] for i in range(0, len(data), SECRET_OCTETS)]


def _present(call: Call, pin: Pin, value: bytes) -> None:
    """Compare; a wrong value also ends what an earlier right one allowed."""
    try:
        pin.secret.present(value)
    except StatusWordError:
        call.state.verified.discard(call.command.p2)
        raise
