# SPDX-License-Identifier: Apache-2.0
"""wsrc.cluster.bucket_words: what JetStream says, read with and without a domain."""

import pytest

from wsrc.cluster.bucket_words import (
    NO_JETSTREAM,
    Config,
    Error,
    Place,
    expecting,
    explained,
    header,
    place_of,
    reply_of,
    unfit,
)


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.KV_wsrc-c.b6kU4z4M.1.17.3.1796117467108547063.9",
        "$JS.ACK.hub.ACCHASH.KV_wsrc-c.b6kU4z4M.1.17.3.1796117467108547063.9",
        "$JS.ACK._.ACCHASH.KV_wsrc-c.b6kU4z4M.1.17.3.1796117467108547063.9.random",
    ],
)
def test_which_message_it_is_is_read_in_each_form(reply: str) -> None:
    assert place_of(reply) == Place("b6kU4z4M", 17, 3, 9)


@pytest.mark.parametrize("reply", ["", "$JS.ACK.a.b", "_INBOX.1", "$JS.ACK.a.b.c.d.e.f.g"])
def test_another_subject_is_none(reply: str) -> None:
    assert place_of(reply) is None


def test_headers_are_found_by_their_names() -> None:
    headers = (
        b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 12\r\nNats-Last-Stream: 7\r\n\r\n"
    )
    assert header(headers, b"Nats-Last-Consumer") == "12"
    assert header(headers, b"Nats-Consumer-Stalled") == ""
    made = expecting(5, deletes=True)
    assert header(made, b"KV-Operation") == "DEL"
    assert header(made, b"Nats-Expected-Last-Subject-Sequence") == "5"
    assert header(expecting(0, deletes=False), b"KV-Operation") == ""


@pytest.mark.parametrize("octets", [b"", b"[]", b"{", b'{"seq": "x"}', b"\xff"])
def test_what_cannot_be_read_is_an_error(octets: bytes) -> None:
    assert reply_of(octets).error is not None


def test_a_stream_that_forgets_is_no_bucket() -> None:
    good = Config(max_msgs_per_subject=1, discard="new")
    assert unfit(good) == ""
    for bad in (
        Config(max_msgs_per_subject=5, discard="new"),
        Config(max_msgs_per_subject=1, discard="old"),
        Config(max_msgs_per_subject=1, discard="new", max_age=1),
    ):
        assert "does not keep the last value of each key for ever" in unfit(bad)


def test_errors_say_what_to_do() -> None:
    assert explained(Error(503, 10_039, "jetstream not enabled for account"), "S") == NO_JETSTREAM
    full = explained(Error(503, 10_077, "maximum bytes exceeded"), "S")
    assert full.startswith("NATS keeps no more in the stream S: maximum bytes exceeded.")
    assert explained(Error(500, 1), "S").endswith("for the stream S: error 1.")
