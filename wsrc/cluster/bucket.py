# SPDX-License-Identifier: Apache-2.0
"""
A bucket of keys and values in JetStream of NATS, and what is in it, as it is within moments.

What changes comes by itself, in the order of revisions. A change is made only if its key is still
at the revision that the caller knows. Used by one event loop.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from wsrc.cluster import bucket_words as words
from wsrc.cluster.names import Names
from wsrc.cluster.nats import Answer, Limits as OfConnection, NatsCarrier, Place

_log = logging.getLogger(__name__)

MOST_ASKED: Final = 256
"""Requests that wait for an answer; one more is refused."""

BEATS: Final = 2
"""Signs of life after which what was kept before the first is known, or is kept no more."""


class Limits(NamedTuple):
    """
    For how long what is waited for, in seconds.

    Attributes:
        answer_s: For the answer to a request.
        silent_s: For a sign of life, of which there are `HEARTBEAT_S` a second.
        again_s: Before it is tried again.
        connection: Of the connection.
    """

    answer_s: float = 4.0
    silent_s: float = 4.0
    again_s: float = 0.2
    connection: OfConnection = OfConnection()


class Entry(NamedTuple):
    """What a key has from a revision on; None is nothing any more."""

    key: str
    octets: bytes | None
    revision: int


class BucketError(Exception):
    """
    What could not be done; the text is a sentence.

    Attributes:
        unknown: Whether it may have been done.
    """

    def __init__(self, sentence: str, *, unknown: bool = False) -> None:
        super().__init__(sentence)
        self.unknown = unknown


class StaleError(BucketError):
    """A key is at another revision."""


class Bucket:
    """
    A bucket, made where it is missing.

    Args:
        place: Where NATS is.
        names: Of the node, which speaks in its name.
        replicas: How many servers of NATS keep it, where it is made.
        took: Called with each entry, those that there are first.
        limits: Of time.

    Attributes:
        whole: Whether all that is in it has been told, and what changes is.
        why: Why it is not, in a sentence.
        known: The revision up to which all was told.
    """

    def __init__(
        self,
        place: Place,
        names: Names,
        replicas: int,
        took: Callable[[Entry], None],
        limits: Limits | None = None,
    ) -> None:
        self.name = f"wsrc-{names.cluster}"
        self._stream = f"KV_{self.name}"
        self._begin = f"$KV.{self.name}."
        self._replicas = replicas
        self._took = took
        self._limits = limits or Limits()
        self._carrier = NatsCarrier(
            place, names.node, names.inbox, self, self._limits.connection, self._answered
        )
        self._carrier.check()
        self._there = asyncio.Event()
        self._changed = asyncio.Event()
        self._asked: dict[int, asyncio.Future[words.Reply]] = {}
        self._number = 0
        self._deliver_to = ""
        self._counts: dict[str, int] = {}
        self._beats = 0
        self._made = ""
        self._said = ""
        self._broken = self._is_last = False
        self.known = 0
        self.whole = False
        self.why = "NATS is not connected."

    async def run(self) -> None:
        """Know what is in the bucket, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._carrier.run(), name="state of NATS")
            tasks.create_task(self._follow_on(), name="state in NATS")

    async def put(self, key: str, octets: bytes | None, revision: int) -> int:
        """
        Have a key keep a value, or none, if it is at a revision; 0 is that of one that is new.

        Returns:
            Its revision from now on.

        Raises:
            StaleError: If it is at another one.
            BucketError: If that could not be done, or may have been done.
        """
        if not self.whole:
            raise BucketError(self.why)
        if octets is not None and len(octets) > words.LONGEST:
            raise BucketError(f"What is to be kept is longer than {words.LONGEST >> 10} KiB.")
        headers = words.expecting(revision, deletes=octets is None)
        reply = await self._ask(f"{self._begin}{key}", octets or b"", headers)
        return reply.seq

    async def look(self) -> None:
        """
        Wait until all is known that was kept before.

        Raises:
            BucketError: If that cannot be known now.
        """
        if not self.whole:
            raise BucketError(self.why)
        last, beats = (await self._info()).state.last_seq, self._beats
        try:
            async with asyncio.timeout(self._limits.silent_s):
                while self.known < last and self._beats < beats + BEATS:
                    if not self.whole:
                        raise BucketError(self.why)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BucketError(f"JetStream of NATS is behind in {self._stream}.") from None

    # What the carrier says

    def heard(self, subject: str, octets: bytes) -> None:
        """Take nothing: nothing is subscribed but the inbox."""

    def nobody(self, number: int) -> None:
        """Take note that nobody answers a request: there is no JetStream."""
        self._answers(number, BucketError(words.NO_JETSTREAM))

    def connection(self, *, is_there: bool) -> None:
        """Take note that NATS is there, or is not."""
        if is_there:
            self._there.set()
            return
        self._there.clear()
        self._is_not_whole("NATS is not connected.")
        for number in list(self._asked):
            self._answers(number, BucketError("NATS was lost meanwhile.", unknown=True))

    def _answered(self, answer: Answer) -> None:
        if answer.subject.startswith(self._begin):
            self._told(answer)
            return
        if answer.headers.startswith(b"NATS/1.0 100"):
            self._beat(answer)
            return
        number = int(answer.subject.rpartition(".")[2])
        if number in self._asked:
            self._answers(number, words.reply_of(answer.octets))

    def _answers(self, number: int, what: words.Reply | BucketError) -> None:
        future = self._asked.get(number)
        if future is None or future.done():
            return
        if isinstance(what, BucketError):
            future.set_exception(what)
        else:
            future.set_result(what)

    def _told(self, answer: Answer) -> None:
        """Take a value, unless one before it was missed."""
        place = words.place_of(answer.again)
        if place is None:
            return
        count = self._counts.get(place.consumer, 0)
        self._changed.set()
        if place.number != count + 1:
            self._broken = True
            return
        self._counts[place.consumer] = place.number
        if place.revision > self.known:
            deletes = bool(words.header(answer.headers, b"KV-Operation"))
            key = answer.subject.removeprefix(self._begin)
            self.known = place.revision
            self._took(Entry(key, None if deletes else answer.octets, place.revision))
        self._is_last = place.pending == 0

    def _beat(self, answer: Answer) -> None:
        """Take a sign of life, which may ask how far we are, or tell that something was missed."""
        stalled = words.header(answer.headers, b"Nats-Consumer-Stalled")
        for again in filter(None, (answer.again, stalled)):
            self._carrier.publish(again, b"")
        if answer.subject != self._deliver_to:
            return
        last = words.header(answer.headers, b"Nats-Last-Consumer")
        if last.isdigit() and int(last) not in {0, *self._counts.values()}:
            self._broken = True
        self._beats += bool(last)
        self._changed.set()

    # What is said to JetStream

    async def _ask(self, subject: str, octets: bytes, headers: bytes = b"") -> words.Reply:
        if not self._carrier.connected:
            raise BucketError("NATS is not connected.")
        if len(self._asked) >= MOST_ASKED:
            raise BucketError("Too much is asked of NATS at once; try again.")
        number = self._new_number()
        future: asyncio.Future[words.Reply] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._carrier.ask(subject, octets, number, headers)
        try:
            async with asyncio.timeout(self._limits.answer_s):
                reply = await future
        except TimeoutError:
            why = f"NATS did not answer within {self._limits.answer_s:g} s."
            raise BucketError(why, unknown=True) from None
        finally:
            del self._asked[number]
        if reply.error is None:
            return reply
        stale = reply.error.err_code == words.WRONG_REVISION
        kind = StaleError if stale else _MissingError if _is_missing(reply.error) else BucketError
        raise kind(words.explained(reply.error, self._stream))

    def _new_number(self) -> int:
        self._number += 1
        return self._number

    async def _info(self) -> words.Reply:
        return await self._ask(f"$JS.API.STREAM.INFO.{self._stream}", b"")

    async def _found(self) -> words.Reply:
        """Return what is known of the bucket, which is made where it is missing."""
        try:
            return await self._info()
        except _MissingError:
            if self._made:
                raise
        config = words.bucket_config(self._stream, f"{self._begin}>", self._replicas)
        try:
            await self._ask(f"$JS.API.STREAM.CREATE.{self._stream}", config)
        except BucketError as exc:
            _log.debug("%s", exc)  # another node may have made it; else INFO says so
            try:
                return await self._info()
            except _MissingError:
                raise exc from None
        return await self._info()

    async def _follow_on(self) -> None:
        while True:
            await self._there.wait()
            try:
                await self._follow()
                await self._stay()
            except BucketError as exc:
                self._is_not_whole(str(exc))
                if self._said != str(exc):
                    self._said = str(exc)
                    _log.warning("What servers share is not up to date: %s", exc)
            await asyncio.sleep(self._limits.again_s)

    async def _follow(self) -> None:
        """Have all told that is not known yet."""
        info = await self._found()
        why = words.unfit(info.config)
        if why:
            raise BucketError(f"The stream {self._stream} of NATS is not as it must be: {why}.")
        if self._made and (info.created != self._made or info.state.last_seq < self.known):
            raise BucketError(
                f"The stream {self._stream} of NATS is another than before, or older: what was "
                "known stays in force, and nothing is written. Restart this server to take it."
            )
        self._made = info.created
        self._counts.clear()
        self._broken = self._is_last = False
        self._carrier.unsubscribe(self._deliver_to)
        self._deliver_to = f"{self._carrier.inbox(self._new_number())}.kept"
        self._carrier.subscribe(self._deliver_to)  # JetStream does not heed the one of the inbox
        what = f"{self._begin}>", self._deliver_to
        config = words.consumer_config(self._stream, *what, self.known)
        reply = await self._ask(f"$JS.API.CONSUMER.CREATE.{self._stream}", config)
        if not reply.num_pending:
            self._is_last = True
        while not self._is_last:
            await self._heard()
        self.whole, self._said = True, ""
        _log.info("What servers share is up to date: revision %d of %s", self.known, self.name)

    async def _stay(self) -> None:
        while True:
            await self._heard()

    async def _heard(self) -> None:
        """Wait for a value or a sign of life."""
        self._changed.clear()
        try:
            async with asyncio.timeout(self._limits.silent_s):
                await self._changed.wait()
        except TimeoutError:
            raise BucketError(f"JetStream of NATS says nothing of {self._stream}.") from None
        if self._broken:
            raise BucketError(f"Something of {self._stream} was missed; it is read again.")
        if not self._there.is_set():
            raise BucketError("NATS is not connected.")

    def _is_not_whole(self, why: str) -> None:
        self.whole, self.why = False, why
        self._changed.set()


class _MissingError(BucketError):
    """There is no such bucket."""


def _is_missing(error: words.Error) -> bool:
    return error.err_code == words.NO_STREAM
