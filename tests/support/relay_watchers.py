# SPDX-License-Identifier: Apache-2.0
"""A user of a relay in memory who watches readers, and what he is told of them."""

from tests.support.relay_clients import Peer
from wsrc.protocol import messages as m

RUN = "run-1"


def watch(user: Peer, **fields: object) -> m.WatchReadersAck:
    """Watch, and leave what is missed in the inbox."""
    user.say(m.WatchReaders(id=user.new_id(), **fields))  # type: ignore[arg-type]
    return user.next(m.WatchReadersAck)


def events(user: Peer) -> list[tuple[int, str, str]]:
    """Take all that came, which are reader events; give number, change and reader of each."""
    heard, user.inbox = user.inbox, []
    seen = [event for event in heard if isinstance(event, m.ReaderEvent)]
    assert len(seen) == len(heard), heard
    return [(event.seq, event.change.value, event.reader.reader) for event in seen]
