# SPDX-License-Identifier: Apache-2.0
"""
Files that change while a program runs: read anew, or refused, with what there was in force.

A file is looked at by its times, size and number, which costs a system call: decision 58.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net.bearer import Token, token_of
from wsrc.net.tls import context_for
from wsrc.settings.clients import CardClientSettings, UserSettings

_log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often a server looks whether a file changed, in seconds."""

SELDOM_S = 60.0
"""How often a client does, which looks whenever it connects as well."""

DAY_S = 86_400.0
"""How often what is wrong, or soon will be, is warned of."""

TLS_READ = "The certificates, keys and lists of TLS were read anew"

Print = tuple[tuple[int, int, int] | None, ...]
"""What tells a file from what it was before."""


def print_of(paths: Iterable[Path]) -> Print:
    """Return what files look like from outside; None for one that cannot be looked at."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return tuple(found)


class Source(Protocol):
    """What is made of files."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        ...

    def load(self) -> None:
        """Read them, or raise ConfigError or OSError with nothing changed."""
        ...

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return what an operator should know of them."""
        ...


class Files:
    """
    Keeps what is made of files as the files are.

    Args:
        source: Reads them; that is done here for the first time.
        told: What is logged each time that they were read after that.

    Raises:
        ConfigError: If it cannot be done.
    """

    def __init__(self, source: Source, told: str = TLS_READ) -> None:
        self._source = source
        self._told = told
        self._taken = self._seen = print_of(source.paths)
        self._warn_at: float | None = None
        self.wrong: str | None = None
        """Why what was read last was not taken, if it was not."""
        source.load()

    def take(self) -> bool:
        """Read the files anew if they changed; return whether what is in force did."""
        return print_of(self._source.paths) != self._taken and self.reload()

    def reload(self) -> bool:
        """Read the files anew; return whether that could be done. One that cannot work is told."""
        if not self._source.paths:
            return False
        self._taken = self._seen = print_of(self._source.paths)
        self.wrong = None
        try:
            self._source.load()
        except (ConfigError, OSError) as exc:
            self.wrong = str(exc)
            _log.warning("A new file is not taken, and what was there stays in force: %s", exc)
            return False
        _log.info("%s", self._told)
        return True

    def look(self, now_s: float) -> bool:
        """
        Do what is due: `take` what does not change any more, and warn once a day.

        Args:
            now_s: Monotonic seconds.

        Returns:
            Whether what is in force changed.
        """
        taken = self._settled() and self.reload()
        if taken or self._to_warn(now_s):
            self._warn_at = now_s + DAY_S
            self.warn()
        return taken

    def is_due(self, now_s: float) -> bool:
        """Return whether `look` has something to do, for what was seen of the files before."""
        return self._settled() or self._to_warn(now_s)

    def _settled(self) -> bool:
        """Return whether the files are others, and as they were when they were looked at last."""
        seen, before = print_of(self._source.paths), self._seen
        self._seen = seen
        return seen == before and seen != self._taken

    def _to_warn(self, now_s: float) -> bool:
        return self._warn_at is None or now_s >= self._warn_at

    def warn(self) -> None:
        """Log what an operator should know."""
        try:
            for warning in self._source.warnings(datetime.now(UTC)):
                _log.warning("%s", warning)
        except (OSError, ValueError):
            return  # one that cannot be read was told of when that was tried


class ClientTls:
    """
    TLS and token of a client of one server, for one connection after another.

    Args:
        settings: Whose URL, CA, certificate, key and token they are.

    Raises:
        ConfigError: As `net.tls.context_for` and `net.bearer.token_of`.
    """

    def __init__(self, settings: CardClientSettings | UserSettings) -> None:
        self._settings = settings
        token_of(settings, os.environ)
        self._context: ssl.SSLContext | None = None
        self.files = Files(self)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        s = self._settings
        if urlsplit(s.server_url).scheme != "wss":
            return ()
        return tuple(path for path in (s.tls_ca, s.tls_cert, s.tls_key) if path is not None)

    def load(self) -> None:
        """Make the context anew."""
        s = self._settings
        self._context = context_for(s.server_url, s.tls_ca, s.tls_cert, s.tls_key)

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return what is wrong, or soon will be, with the client's certificate and key."""
        s = self._settings
        if s.tls_cert is None or not self.paths:
            return ()
        from wsrc.net.certificates import warnings_of  # noqa: PLC0415 - few clients have one

        return warnings_of([s.tls_cert], s.tls_key, now)

    def context(self) -> ssl.SSLContext | None:
        """Return the context for a new connection, of the files as they are; None for `ws://`."""
        self.files.take()
        return self._context

    def token(self) -> Token | None:
        """
        Return the token for a new connection, as it is now.

        Raises:
            ConnectionLostError: If it cannot be read any more.
        """
        try:
            return token_of(self._settings, os.environ)
        except ConfigError as exc:
            raise ConnectionLostError(f"{self._settings.server_url}: {exc}") from exc


class _Keeper:
    """
    Has files read in a thread, one reading at a time, while the loop goes on: some are long.

    Args:
        files: The files.
        tell: Called in the loop with whether what is in force changed, after each reading.
    """

    def __init__(self, files: Files, tell: Callable[[bool], None]) -> None:
        self._files = files
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Future[bool] | None = None
        self._again = False
        self._closed = False

    def look(self, every_s: float) -> None:
        """Do what is due, from now on."""
        self._timer = self._loop.call_later(every_s, self.look, every_s)
        now_s = self._loop.time()
        if self._reading is None and self._files.is_due(now_s):
            self._read(lambda: self._files.look(now_s))

    def reload(self) -> None:
        """Read the files anew; once more, if they are read just now."""
        if self._reading is None:
            self._read(self._files.reload)
        else:
            self._again = True

    def close(self) -> None:
        """Look no more; of what is read just now nothing is told."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _read(self, how: Callable[[], bool]) -> None:
        self._reading = self._loop.run_in_executor(None, how)
        self._reading.add_done_callback(self._was_read)

    def _was_read(self, reading: asyncio.Future[bool]) -> None:
        self._reading = None
        if self._closed or reading.cancelled():
            return
        self._tell(reading.result())
        if self._again:
            self._again = False
            self.reload()


@contextmanager
def looked_after(
    files: Files,
    every_s: float,
    changed: Callable[[], None] | None = None,
    refused: Callable[[str], None] | None = None,
) -> Generator[Callable[[], None]]:
    """
    Look after files in the block, in the loop that runs; yield what has them read anew at once.

    Args:
        files: The files.
        every_s: How often they are looked at.
        changed: Called after what is in force has changed.
        refused: Called with the reason where a new file is not taken.
    """

    def tell(taken: bool) -> None:
        wrong, files.wrong = files.wrong, None
        if taken and changed is not None:
            changed()
        if wrong is not None and refused is not None:
            refused(wrong)

    keeper = _Keeper(files, tell)
    files.look(asyncio.get_running_loop().time())
    keeper.look(every_s)
    try:
        yield keeper.reload
    finally:
        keeper.close()
