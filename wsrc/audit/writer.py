# SPDX-License-Identifier: Apache-2.0
"""An audit log that is written: events from any thread, and one thread that has the files."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace

from wsrc import __version__
from wsrc.audit.chain import utc
from wsrc.audit.events import NOWHERE, Common, Event, Lost, Recorder, Started, Stopped
from wsrc.audit.files import Files, InUseError, Where
from wsrc.audit.throttle import Throttle
from wsrc.errors import ConfigError

_log = logging.getLogger(__name__)

MAX_QUEUED: Final = 10_000
"""Events that wait to be written; what comes beyond is lost, and counted."""

MAX_AT_ONCE: Final = 1_000
"""Events that are written in one call."""

AGAIN_S: Final = 1.0
"""Seconds before what could not be written is tried again."""

TELL_S: Final = 60.0
"""Seconds between log lines that it cannot be written."""

ANCHOR_S: Final = 3600.0
"""Seconds between log lines that name the last line."""

CLOSE_S: Final = 5.0
"""How long the end waits for what is not written yet."""


def _now() -> float:
    return datetime.now(UTC).timestamp()


class AuditLog:
    """
    A `Recorder` that writes to files; it never blocks whoever tells it something.

    What is told is written within milliseconds, and survives the end of the program from then on,
    and a power failure `sync_s` later. Where it cannot be written it waits, and is tried again
    each second; events that find the queue full are lost, and a line of the log says how many.

    Args:
        where: Where the files are.
        sync_s: Seconds after which what was written is synchronised; 0 is at once.
        clock: Returns the time of day, in seconds since 1970 in UTC.

    Raises:
        ConfigError: If the folder cannot be used, or another process writes to the log.
    """

    def __init__(
        self, where: Where, sync_s: float = 1.0, clock: Callable[[], float] = _now
    ) -> None:
        self._where = where
        self._sync_s = sync_s
        self._clock = clock
        self._files = Files(where)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, Event]] = deque()
        self._lost = 0
        self._lost_since = 0.0
        self._closing = False
        self._unsynced_since: float | None = None
        self._told = -TELL_S
        self._failing = False
        self._anchored = 0
        self._anchor_due = time.monotonic() + ANCHOR_S
        try:
            self._files.open(clock())
        except InUseError as exc:
            self._files.close()
            why = f"another process writes to the log of {where.program} in {where.folder}"
            raise ConfigError("audit_dir", why) from exc
        except OSError as exc:
            self._files.close()
            raise ConfigError("audit_dir", f"{where.folder}: {exc.strerror or exc}") from exc
        for sentence in self._files.opened:
            _log.warning("The audit log is not as it was written: %s", sentence)
        self._anchor("goes on after")
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, event: Event, cause: str | None = None) -> None:
        """Take an event, with the time at which it is told; none is taken after `close`."""
        del cause
        with self._changed:
            now = self._clock()
            if len(self._waiting) >= MAX_QUEUED:
                self._lost_since = self._lost_since or now
                self._lost += 1
                return
            self._waiting.append((now, event))
            self._changed.notify()

    def close(self) -> None:
        """Write what is told so far, and release the files; wait no longer than `CLOSE_S`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_S)
        left = len(self._waiting) + self._lost
        if self._thread.is_alive() or left:
            _log.error("The audit log could not be completed: %d events are not in it", left)

    # In the thread

    def _run(self) -> None:
        while True:
            closing = self._await()
            try:
                self._work()
            except OSError as exc:
                self._failed(f"{exc.strerror or exc}")
                done = closing
            except Exception:  # noqa: BLE001 - whatever it is, others must hear that nothing is kept
                _log.exception("The audit log cannot be written; it is tried again")
                self._failing = True
                done = closing
            else:
                done = closing and not self._waiting
            if done:
                break
        self._end()

    def _await(self) -> bool:
        """Wait until there is something to do; return whether the end is near."""
        with self._changed:
            if self._failing:
                self._changed.wait_for(lambda: self._closing, AGAIN_S)
            else:
                self._changed.wait_for(self._has_work, self._pause_s())
            return self._closing

    def _has_work(self) -> bool:
        return self._closing or bool(self._waiting)

    def _pause_s(self) -> float:
        now = time.monotonic()
        dues = [self._anchor_due]
        if self._unsynced_since is not None:
            dues.append(self._unsynced_since + self._sync_s)
        return max(0.0, min(dues) - now)

    def _work(self) -> None:
        """Write what waits, and do what is due."""
        with self._changed:
            events = [self._waiting[at] for at in range(min(len(self._waiting), MAX_AT_ONCE))]
            lost, since = self._lost, self._lost_since
        told = len(events)
        if lost:
            last = events[-1][0] if events else self._clock()
            events.append((last, Lost(events=lost, since=utc(since))))
        if events:
            done = self._files.append(events)
            self._written(told, lost)
            if done is not None:
                _log.warning("The audit log goes on in %s: %s", self._files.path.name, done)
        self._sync()
        if time.monotonic() >= self._anchor_due:
            self._anchor_due = time.monotonic() + ANCHOR_S
            self._anchor("has")

    def _written(self, told: int, lost: int) -> None:
        with self._changed:
            for _ in range(told):
                self._waiting.popleft()
            self._lost -= lost
            self._lost_since = self._clock() if self._lost else 0.0
        if lost:
            _log.error("%d events are not in the audit log: they could not be written", lost)
        if self._failing:
            self._failing = False
            _log.warning("The audit log is written again")
        if self._unsynced_since is None:
            self._unsynced_since = time.monotonic()

    def _sync(self) -> None:
        since = self._unsynced_since
        if since is not None and time.monotonic() >= since + self._sync_s:
            self._files.sync()
            self._unsynced_since = None

    def _failed(self, why: str) -> None:
        self._failing = True
        if time.monotonic() >= self._told + TELL_S:
            self._told = time.monotonic()
            _log.error(
                "The audit log in %s cannot be written: %s; %d events wait, %d are lost",
                self._where.folder, why, len(self._waiting), self._lost,
            )  # fmt: skip

    def _anchor(self, how: str) -> None:
        """Name the last line in the ordinary log, which others may keep elsewhere."""
        chain, path = self._files.chain, self._files.path.name
        if chain.number != self._anchored:
            self._anchored = chain.number
            _log.info(
                "The audit log %s %s line %d, chain %s", path, how, chain.number, chain.digest
            )

    def _end(self) -> None:
        try:
            self._files.sync()
        except OSError as exc:
            self._failed(f"{exc.strerror or exc}")
        self._anchor("ends with")
        self._files.close()


class Thinned:
    """
    A `Recorder` that passes on all events but those of which anybody can cause many.

    Of each kind of these it passes on some, with how many were left out before; whoever causes many
    hides nothing of what another does.

    Args:
        recorder: Where they go.
        clock: Returns monotonic seconds.
    """

    def __init__(self, recorder: Recorder, clock: Callable[[], float] = time.monotonic) -> None:
        self._recorder = recorder
        self._clock = clock
        self._lock = threading.Lock()
        self._throttles: dict[type[Event], Throttle] = {}
        self._left_out: dict[type[Event], Common] = {}

    def record(self, event: Event, cause: str | None = None) -> None:
        """Pass on an event, or count it; `cause` as of `Throttle`."""
        passed_on: Event | None = event
        if isinstance(event, Common):
            with self._lock:
                passed_on = self._thinned(event, cause)
        if passed_on is not None:
            self._recorder.record(passed_on)

    def close(self) -> None:
        """Pass on the last event of each kind that was counted, with how many others were."""
        with self._lock:
            left_out, self._left_out = self._left_out, {}
            for kind, event in left_out.items():
                others = self._throttles[kind].silent - 1
                self._recorder.record(replace(event, unrecorded=others))

    def _thinned(self, event: Common, cause: str | None) -> Common | None:
        throttle = self._throttles.setdefault(type(event), Throttle())
        more = throttle.take(self._clock(), cause)
        if more is None:
            self._left_out[type(event)] = event
            return None
        self._left_out.pop(type(event), None)
        return replace(event, unrecorded=more)


class Keeping(Protocol):
    """The settings of an audit log."""

    @property
    def audit_dir(self) -> Path | None:
        """Its folder, if there is to be one."""
        ...

    @property
    def audit_max_octets(self) -> int:
        """About how large a file may be."""
        ...

    @property
    def audit_keep(self) -> int:
        """How many files are kept; 0 is all."""
        ...

    @property
    def audit_sync_s(self) -> float:
        """Seconds after which what was written is synchronised."""
        ...


@contextmanager
def audited(settings: Keeping, program: str, node: str | None = None) -> Generator[Recorder]:
    """
    Have a program keep an audit log for as long as the context lasts, if its settings say so.

    Args:
        settings: Those of the log.
        program: What the names of its files begin with.
        node: What the program is called in its cluster, if it is in one.

    Raises:
        ConfigError: If it cannot be kept.
    """
    if settings.audit_dir is None:
        yield NOWHERE
        return
    most, keep = settings.audit_max_octets, settings.audit_keep
    where = Where(settings.audit_dir, program, most, keep, node)
    log = AuditLog(where, settings.audit_sync_s)
    log.record(Started(version=__version__, pid=os.getpid()))
    thinned = Thinned(log)
    try:
        yield thinned
    finally:
        thinned.close()
        log.record(Stopped())
        log.close()
