# SPDX-License-Identifier: Apache-2.0
"""A trace that is written: exchanges from any thread, and one thread that has file and socket."""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from wsrc.audit.chain import utc
from wsrc.process.printable import clean
from wsrc.trace import packets
from wsrc.trace.events import Traced, text_of
from wsrc.trace.packets import Kind
from wsrc.trace.redaction import Exchange, Redactor

_log = logging.getLogger(__name__)

MAX_QUEUED: Final = 10_000
"""Exchanges that wait to be written; what comes beyond is left out, and counted."""

MAX_FILE_OCTETS: Final = 64 << 20
"""A file that is longer is renamed, with `.1` at its end, in place of the one before."""

TELL_S: Final = 60.0
"""Seconds between log lines that it cannot be written."""

CLOSE_S: Final = 5.0
"""How long the end waits for what is not written yet."""

PCAPNG: Final = ".pcapng"
"""What the name of a file ends with that is no text."""


class Options(NamedTuple):
    """
    Where a trace goes, and whether PINs and keys are in it.

    Args:
        log: Whether each exchange is a line of the ordinary log.
        file: Made with mode 0600 and added to; a pcapng file where the name ends so, else text.
        gsmtap: Host and port to which datagrams are sent.
        secrets: Whether nothing is left out.
    """

    log: bool = False
    file: Path | None = None
    gsmtap: tuple[str, int] | None = None
    secrets: bool = False


class CardTrace:
    """
    The exchanges of one powered card, of all sessions that share it, in their order.

    Args:
        put: Takes what is to be written.
        reader: Name of the reader.
        secrets: Whether nothing is left out.
    """

    def __init__(self, put: Callable[[Traced], None], reader: str, *, secrets: bool) -> None:
        self._put = put
        self._reader = reader
        self._redactor = None if secrets else Redactor()

    def powered(self, session: str, atr: bytes) -> None:
        """Tell that the card was powered or reset for a session."""
        if self._redactor is not None:
            self._redactor.was_reset()
        self._put(Traced(_now(), session[:8], self._reader, atr))

    def exchanged(
        self, session: str, command: bytes, answer: bytes, *, ahead: bool = False
    ) -> None:
        """Tell what a session asked and was answered; an empty answer is none."""
        redactor = self._redactor
        exchange = (
            Exchange(command, answer) if redactor is None else redactor.redact(command, answer)
        )
        self._put(Traced(_now(), session[:8], self._reader, exchange, ahead))


class Tracer:
    """
    Writes what is traced, as far as it can; no session ever waits for it or fails by it.

    Args:
        options: Where to.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._changed = threading.Condition()
        self._waiting: deque[Traced] = deque()
        self._left_out = 0
        self._closing = False
        self._file = -1
        self._size = 0
        self._socket: socket.socket | None = None
        self._address: tuple[object, ...] = ()
        self._told = -TELL_S
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def card(self, reader: str) -> CardTrace:
        """Return what takes the exchanges of a card that is powered now."""
        return CardTrace(self._put, reader, secrets=self._options.secrets)

    def close(self) -> None:
        """Write what waits, and release all; wait no longer than `CLOSE_S`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            _log.error("The trace could not be completed: %d exchanges wait", len(self._waiting))

    def _put(self, traced: Traced) -> None:
        with self._changed:
            if len(self._waiting) >= MAX_QUEUED:
                self._left_out += 1
                return
            self._waiting.append(traced)
            self._changed.notify()

    # In the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
                traced = list(self._waiting)
                self._waiting.clear()
                left_out, self._left_out = self._left_out, 0
                closing = self._closing
            if left_out:
                self._complain(f"{left_out} exchanges came too fast, and are not in it")
            self._write_all(traced)
            if closing and not traced:
                break
        if self._file >= 0:
            os.close(self._file)
        if self._socket is not None:
            self._socket.close()

    def _write_all(self, traced: list[Traced]) -> None:
        for write in (self._to_log, self._to_file, self._to_gsmtap):
            try:
                write(traced)
            except OSError as exc:
                self._complain(f"{exc.filename or ''} {exc.strerror or exc}".strip())
            except Exception:  # noqa: BLE001 - a fault of ours in a trace is in no session's way
                _log.exception("Something is not traced")

    def _complain(self, why: str) -> None:
        if time.monotonic() >= self._told + TELL_S:
            self._told = time.monotonic()
            _log.warning("The trace is not complete: %s", why)

    def _to_log(self, traced: list[Traced]) -> None:
        for each in traced if self._options.log else ():
            _log.info("%s", text_of(each))

    def _to_file(self, traced: list[Traced]) -> None:
        path = self._options.file
        if path is None or not traced:
            return
        in_packets = path.name.endswith(PCAPNG)
        self._open(path, in_packets=in_packets)
        self._append(b"".join(map(_packet if in_packets else _line, traced)))

    def _open(self, path: Path, *, in_packets: bool) -> None:
        """Have the file open, also after somebody took it away or it became too long."""
        if self._file >= 0:
            with suppress(FileNotFoundError):
                there = os.path.samestat(path.stat(), os.fstat(self._file))
                if there and self._size < MAX_FILE_OCTETS:
                    return
                if there:
                    path.replace(f"{path}.1")
            os.close(self._file)
            self._file = -1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        os.fchmod(self._file, 0o600)
        self._size = os.fstat(self._file).st_size
        if in_packets:
            self._append(packets.section())

    def _append(self, octets: bytes) -> None:
        """Add octets, all or none, so that what is there can be read."""
        left = memoryview(octets)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(octets)

    def _to_gsmtap(self, traced: list[Traced]) -> None:
        if self._options.gsmtap is None or not traced:
            return
        if self._socket is None:
            host, port = self._options.gsmtap
            family, kind, protocol, _, self._address = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM
            )[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
        # Not connected: nobody listens where Wireshark captures, and the refusal of a datagram is
        # told in place of sending the next one.
        for each in traced:
            self._socket.sendto(_datagram(each), self._address)


@contextmanager
def traced_as(settings: "Tracing") -> Generator[Tracer | None]:
    """Have a program write a trace for as long as the context lasts, if its settings say so."""
    tracer = tracer_of(settings, log=settings.trace)
    try:
        yield tracer
    finally:
        if tracer is not None:
            tracer.close()


def tracer_of(settings: "TracingTo", *, log: bool = False) -> Tracer | None:
    """
    Return what writes a trace as settings say, to be closed; None where nothing is traced.

    Args:
        settings: Where to.
        log: Whether each exchange is a line of the ordinary log as well.
    """
    host, _, port = settings.trace_gsmtap.rpartition(":")
    gsmtap = (host.strip("[]"), int(port)) if host else None
    options = Options(log, settings.trace_file, gsmtap, settings.trace_secrets)
    if not (options.log or options.file or options.gsmtap):
        return None
    if options.secrets:
        _log.warning("Nothing is left out of the trace: keep it away from others, it has PINs")
    return Tracer(options)


class TracingTo(Protocol):
    """The settings of a trace; see `Options`."""

    @property
    def trace_file(self) -> Path | None:
        """The file."""
        ...

    @property
    def trace_gsmtap(self) -> str:
        """HOST:PORT of whoever is sent GSMTAP; empty if nobody is."""
        ...

    @property
    def trace_secrets(self) -> bool:
        """Whether nothing is left out."""
        ...


class Tracing(TracingTo, Protocol):
    """Those of a program that has a log."""

    @property
    def trace(self) -> bool:
        """Whether exchanges are logged."""
        ...


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _line(traced: Traced) -> bytes:
    return f"{utc(traced.when)} {clean(text_of(traced))}\n".encode()


def _datagram(traced: Traced) -> bytes:
    what = traced.what
    if not isinstance(what, Exchange):
        return packets.gsmtap(Kind.ATR, what)
    return packets.gsmtap(Kind.APDU, packets.apdu_payload(what.command, what.answer))


def _packet(traced: Traced) -> bytes:
    what = traced.what
    redacted = isinstance(what, Exchange) and what.redacted
    comment = f"session {traced.session}, {traced.reader}"
    comment += ", read ahead" * traced.ahead + ", redacted: zeros are not what was sent" * redacted
    return packets.packet(traced.when, _datagram(traced), comment)
