# SPDX-License-Identifier: Apache-2.0
"""
What is said to JetStream of NATS, and what it answers, for a bucket of keys and values.

A bucket is a stream that keeps the last message of each subject; each message has a number, the
*revision*, which only grows (ADR-8 of NATS).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

LONGEST: Final = 512 << 10
"""Octets of a value."""

HEARTBEAT_S: Final = 0.5
"""How often JetStream says that it is there, where nothing changes."""

WRONG_REVISION: Final = 10_071
NO_STREAM: Final = 10_059
"""Codes of errors: a key is at another revision; there is no such bucket."""

_FULL: Final = frozenset((10_002, 10_023, 10_047, 10_077, 10_122))
_DISABLED: Final = frozenset((10_039, 10_076))

_OF_KEPT, _OF_DOMAIN = 9, 11
"""Words of the subject that says which message it is: without, and with a domain."""


class Error(msgspec.Struct, frozen=True):
    """What JetStream refuses; `err_code` tells which error it is."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class State(msgspec.Struct, frozen=True):
    """Of a stream: the revision of its last message."""

    last_seq: int = 0


class Config(msgspec.Struct, frozen=True):
    """Of a stream: what a bucket depends on."""

    max_msgs_per_subject: int = -1
    num_replicas: int = 1
    max_age: int = 0
    discard: str = "old"


class Reply(msgspec.Struct, frozen=True):
    """
    An answer of JetStream, of whatever kind.

    `created` is when the stream was made, as a text; `seq` the revision of what was published;
    `num_pending` what a consumer is to be sent yet.
    """

    error: Error | None = None
    created: str = ""
    state: State = State()
    config: Config = Config()
    seq: int = 0
    num_pending: int = 0


class Place(NamedTuple):
    """Which message of a consumer it is: its revision, its number there, and how many follow."""

    consumer: str
    revision: int
    number: int
    pending: int


_reply = msgspec.json.Decoder(Reply)


def reply_of(octets: bytes) -> Reply:
    """Return an answer; one that cannot be read is an error."""
    try:
        return _reply.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Reply(Error(description="an answer that JetStream does not give"))


def place_of(reply: str) -> Place | None:
    """Return which message it is, by the subject where it would be acknowledged."""
    words = reply.split(".")
    if words[:2] != ["$JS", "ACK"] or len(words) < _OF_KEPT:
        return None
    consumer, _, *numbers = words[3:9] if len(words) < _OF_DOMAIN else words[5:11]
    try:
        revision, number, _, pending = map(int, numbers)
    except ValueError:
        return None
    return Place(consumer, revision, number, pending)


def header(headers: bytes, name: bytes) -> str:
    """Return the value of a header; empty where there is none."""
    _, found, rest = headers.partition(b"\r\n" + name + b": ")
    return rest.split(b"\r\n", 1)[0].decode(errors="replace").strip() if found else ""


def expecting(revision: int, *, deletes: bool) -> bytes:
    """Return the headers of what is kept only if its key is at a revision; 0 is none yet."""
    operation = "KV-Operation: DEL\r\n" if deletes else ""
    which = f"Nats-Expected-Last-Subject-Sequence: {revision}\r\n"
    return f"NATS/1.0\r\n{operation}{which}\r\n".encode()


def bucket_config(stream: str, subjects: str, replicas: int) -> bytes:
    """Return how a bucket is made: on disk, the last value of each key, full is full."""
    config: Mapping[str, Any] = {
        "name": stream,
        "subjects": [subjects],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "num_replicas": replicas,
        "deny_delete": True,
        "allow_rollup_hdrs": True,
    }
    return msgspec.json.encode(config)


def consumer_config(stream: str, subjects: str, deliver_to: str, after: int) -> bytes:
    """Return how all keys are read whose revision is greater than one, and then what changes."""
    config: Mapping[str, Any] = {
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": after + 1,
        "deliver_subject": deliver_to,
        "filter_subject": subjects,
        "ack_policy": "none",
        "replay_policy": "instant",
        "max_deliver": 1,
        "flow_control": True,
        "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        "mem_storage": True,
        "num_replicas": 1,
    }
    return msgspec.json.encode({"stream_name": stream, "config": config})


def unfit(config: Config) -> str:
    """Return why a stream is no bucket for us; empty where it is one."""
    if config.max_msgs_per_subject != 1 or config.max_age or config.discard != "new":
        return (
            "it does not keep the last value of each key for ever: it must have a history of 1, "
            "no age, and discard what is new"
        )
    return ""


def explained(error: Error, stream: str) -> str:
    """Return what JetStream refuses, in a sentence."""
    if error.err_code in _DISABLED:
        return NO_JETSTREAM
    if error.err_code in _FULL:
        return (
            f"NATS keeps no more in the stream {stream}: {error.description}. Give it, or its "
            "account and servers, more room; nothing was changed."
        )
    said = error.description or f"error {error.err_code or error.code}"
    return f"JetStream of NATS refuses it for the stream {stream}: {said}."


NO_JETSTREAM: Final = (
    'NATS has no JetStream here, which state = "nats" needs: write jetstream { store_dir: … } into '
    "the configuration of its servers, and let the account of the nodes use it."
)
