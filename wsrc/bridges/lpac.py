# SPDX-License-Identifier: Apache-2.0
"""
The card's end of lpac's interface `LPAC_APDU=stdio`: a JSON object on each line.

    {"type": "apdu", "payload": {"func": FUNC, "param": HEX or null}}    lpac asks
    {"type": "apdu", "payload": {"ecode": NUMBER, "data": HEX}}          and is answered

FUNC is `connect`, `disconnect`, `logic_channel_open` (param: AID; ecode: the channel),
`logic_channel_close` (param: the channel) or `transmit` (param: APDU; data: response and status
word). A negative ecode is a failure. Lines of other types are lpac's words for its user.
"""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, Protocol, cast

from wsrc.card.apdu import Response, on_channel
from wsrc.errors import WsrcError
from wsrc.octets import from_wire

_CHANNELS = frozenset(bytes([channel]) for channel in range(20))
"""Logical channels as a card assigns them (ISO/IEC 7816-4 clause 11.1.2)."""

_TERMINAL_CAPABILITY = bytes.fromhex("80aa00000aa9088100820101830107")
"""A terminal with eUICC functions (ETSI TS 102 221 clause 11.1.19); older cards refuse it."""

_OPEN_CHANNEL = bytes.fromhex("0070000001")
_MAX_AID_OCTETS = 16
_FAILED = -1
_END_S = 10.0
"""How long a program may take to end when it is told to."""


class TakenCard(Protocol):
    """What lpac needs of a card."""

    def transmit(self, command: bytes) -> Response:
        """See `blocking.Card.transmit`."""
        ...

    def detach(self) -> None:
        """See `blocking.Card.detach`."""
        ...


class LpacCard:
    """
    Answers lpac with a card that is taken at `connect` and given back at `disconnect`.

    Args:
        take: Makes the card ours.
        complain: Called with a sentence for a person when something failed; lpac learns no more
            than that it did.
    """

    def __init__(self, take: Callable[[], TakenCard], complain: Callable[[str], None]) -> None:
        self.fault: WsrcError | None = None
        self._take = take
        self._complain = complain
        self._card: TakenCard | None = None

    def answer(self, line: str) -> str | None:
        """Answer a line without its end; None if it is no request for the card."""
        message = _message(line)
        if message.get("type") != "apdu":
            return None
        try:
            answer = self._do(message)
        except WsrcError as exc:
            self.fault = exc
            self._complain(f"wsrc: {exc}")
            answer = {"ecode": _FAILED}
        return json.dumps({"type": "apdu", "payload": answer}, separators=(",", ":"))

    def close(self) -> None:
        """Give the card back if lpac did not."""
        card, self._card = self._card, None
        if card is not None:
            card.detach()

    def _do(self, message: dict[str, Any]) -> dict[str, Any]:
        payload = _object(message.get("payload"))
        param = payload.get("param")
        octets = bytes(from_wire(param if isinstance(param, str) else ""))
        match payload.get("func"):
            case "connect":
                self._connect()
            case "disconnect":
                self.close()
            case "logic_channel_open":
                return {"ecode": self._open_channel(octets)}
            case "logic_channel_close":
                self._close_channel(octets)
            case "transmit":
                return {"ecode": 0, "data": self._connected().transmit(octets).encode().hex()}
            case other:
                raise _LpacError(f"lpac asks for {str(other)[:40]!r}, which WSRC does not know.")
        return {"ecode": 0}

    def _connect(self) -> None:
        if self._card is None:
            self._card = self._take()
            self._card.transmit(_TERMINAL_CAPABILITY)

    def _open_channel(self, aid: bytes) -> int:
        """Open a logical channel and select on it (ISO/IEC 7816-4 clauses 11.1.2 and 11.2.2)."""
        if not 1 <= len(aid) <= _MAX_AID_OCTETS:
            raise _LpacError(f"An AID has 1 to {_MAX_AID_OCTETS} octets, not {len(aid)}.")
        card = self._connected()
        opened = card.transmit(_OPEN_CHANNEL)
        if opened.sw != 0x9000 or opened.data not in _CHANNELS:
            answer = opened.encode().hex().upper()
            raise _LpacError(f"The card opens no logical channel; it answers {answer}.")
        channel = opened.data[0]
        select = bytes((on_channel(0x00, channel), 0xA4, 0x04, 0x00, len(aid))) + aid
        selected = card.transmit(select)
        if selected.sw >> 8 not in {0x90, 0x61}:
            self._close_channel(bytes([channel]))
            raise _LpacError(
                f"The card has no application {aid.hex().upper()}; it answers {selected.sw:04X}. "
                "LPAC_CUSTOM_ISD_R_AID tells lpac another AID of the ISD-R."
            )
        return channel

    def _close_channel(self, param: bytes) -> None:
        if len(param) != 1:
            raise _LpacError("lpac closes a channel without saying which.")
        self._connected().transmit(bytes((0x00, 0x70, 0x80, param[0])))

    def _connected(self) -> TakenCard:
        if self._card is None:
            raise _LpacError("lpac did not connect before it used the card.")
        return self._card


class _LpacError(WsrcError):
    """What lpac asks for cannot be done; the text says what."""


Other = Callable[[str], str | None]
"""Takes a line that is not for the card; returns the answer, if any."""


def serve(card: LpacCard, requests: IO[str], answers: IO[str], other: Other) -> None:
    """
    Answer each request until there are no more, or nobody reads the answers.

    Args:
        card: The card; it is given back at the end.
        requests: What lpac writes.
        answers: What lpac reads.
        other: Called with each line that is not for the card.
    """
    try:
        for line in requests:
            text = line.rstrip("\n")
            answer = card.answer(text)
            if answer is None:
                answer = other(text)
            if answer is not None:
                answers.write(answer + "\n")
                answers.flush()
    finally:
        card.close()


def start(command: Sequence[str]) -> "subprocess.Popen[str]":
    """
    Start lpac, or a program that runs it, with LPAC_APDU=stdio in its environment.

    Raises:
        OSError: If it cannot be started.
    """
    return subprocess.Popen(  # noqa: S603 - the program is the user's choice
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"LPAC_APDU": "stdio"},
    )


def run(card: LpacCard, process: "subprocess.Popen[str]", other: Other) -> int:
    """
    Serve a program that was started, to its end; return its exit status.

    Args:
        card: The card; it is given back at the end.
        process: The program; it is ended where its lines cannot be taken.
        other: Called with each line that the program writes and that is not for the card.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # A program that goes away without its answer says why by its exit status.
        with suppress(BrokenPipeError), process.stdin, process.stdout:
            serve(card, process.stdout, process.stdin, other)
        status = process.wait()
    finally:
        _end(process)
    return status if status >= 0 else 128 - status


def is_http(line: str) -> bool:
    """Return whether lpac asks for a web page, as it does with LPAC_HTTP=stdio."""
    return _message(line).get("type") == "http"


NO_HTTP = '{"type":"http","payload":{"rcode":0,"rx":""}}'
"""Answers lpac that there is no such page."""


def _end(process: "subprocess.Popen[str]") -> None:
    """End a program; kill it where it takes too long, or the wait is interrupted."""
    try:
        if process.poll() is None:
            process.terminate()
            process.wait(_END_S)
    except subprocess.TimeoutExpired:
        return
    finally:
        process.kill()
        process.wait()


def _message(line: str) -> dict[str, Any]:
    """Read a line; empty if it is no JSON object."""
    try:
        return _object(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
