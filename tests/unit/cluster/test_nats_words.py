# SPDX-License-Identifier: Apache-2.0
"""wsrc.cluster.nats_words: what a server of NATS must be able to do, and why one is lost."""

import re
import ssl

import pytest
from nats import errors

from wsrc.cluster.nats_client import InClearError
from wsrc.cluster.nats_words import LONGEST, UnfitError, advice, explained, see_fit


def _of_tls(reason: str) -> ssl.SSLError:
    exc = ssl.SSLError(1, "text")
    exc.reason = reason
    return exc


INFO = {"version": "2.9.10", "headers": True, "max_payload": 1 << 20}


def test_the_server_of_debian_12_is_fit() -> None:
    see_fit(INFO)
    see_fit(INFO | {"max_payload": LONGEST})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"headers": False}, "its version 2.9.10 does not say when nobody answers"),
        ({"headers": "true"}, "does not say when nobody answers"),
        ({"headers": None, "version": "x" * 200}, "its version x{40} does not say"),
        ({"max_payload": LONGEST - 1}, f"takes {LONGEST - 1} octets in a message; set max_payload"),
        ({"max_payload": "many"}, "takes many octets"),
        ({"max_payload": None}, "takes None octets"),
    ],
)
def test_a_server_that_is_unfit_is_told_what_it_lacks(said: dict[str, object], why: str) -> None:
    with pytest.raises(UnfitError, match=why):
        see_fit(INFO | said)


@pytest.mark.parametrize(
    ("exc", "said", "why"),
    [
        (errors.Error("x"), "nats: 'Authorization Violation'", "refuses who we say that we are"),
        (errors.Error("x"), "User Authentication Expired", "cluster_creds have expired"),
        (ConnectionResetError(), "", "it closed the connection; its log may say why"),
        (BrokenPipeError(), "", "it closed the connection; its log may say why"),
        (errors.UnexpectedEOF(), "", "it closed the connection; its log may say why"),
        (ConnectionRefusedError(), "", "nothing listens there"),
        (TimeoutError(), "", "did not answer in time"),
        (InClearError(), "", "it does not speak TLS, which tls:// asks for."),
        (UnfitError("it is unfit."), "", "it is unfit."),
        (_of_tls("WRONG_VERSION_NUMBER"), "", "TLS failed: WRONG_VERSION_NUMBER."),
        (errors.ProtocolError("nats: y"), "", "it says what NATS does not say: "),
        (KeyError("port"), "", "it says what NATS does not say: 'port'."),
        (ValueError("x" * 5_000), "", "it says what NATS does not say: x{200}."),
    ],
)
def test_a_connection_is_lost_for_a_reason_in_a_sentence(
    exc: BaseException, said: str, why: str
) -> None:
    sentence = explained(exc, said, "nats.example:4222")
    assert sentence.endswith(".")

    assert re.search(why, sentence)


def test_what_is_refused_has_its_remedy() -> None:
    assert "operator's manual" in advice("permissions violation for publish")
    assert str(LONGEST) in advice("maximum payload violation")
    assert not advice("something new")
