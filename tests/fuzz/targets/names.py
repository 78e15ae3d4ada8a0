# SPDX-License-Identifier: Apache-2.0
"""Names: in certificates, of cards and readers, and whom a certificate is of."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wsrc.bridges.remote.names import ascii_form, reader_name
from wsrc.certs.folder import _stem
from wsrc.certs.making import (
    BadNameError,
    Issuer,
    Kind,
    Period,
    make_ca,
    make_leaf,
    new_key,
    principal_name,
    server_name,
)
from wsrc.net.certificates import subject_of
from wsrc.principal import MOST_NAME
from wsrc.process.printable import clean
from wsrc.protocol.messages import CardInfo, CardState, Identities
from wsrc.selection import KINDS, forms, lookups, normal

_PERIOD = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC))
_KEY = new_key()
_CA = make_ca(_KEY, "ca", _PERIOD)
_ISSUER = Issuer(_CA, _KEY)
_NAMES = (
    "tester@example.org",
    "urn:uuid:1",
    "bench-3",
    "relay.example",
    "*.example",
    "::1",
    "xn--a",
)
SEEDS = [
    *(
        b"\0"
        + make_leaf(_KEY.public_key(), kind, [name], _PERIOD, _ISSUER).public_bytes(Encoding.DER)
        for kind, name in (
            (Kind.USER, "a@b.example"),
            (Kind.USER, "urn:x:1"),
            (Kind.CARD_HOST, "h"),
        )
    ),
    b"\0" + _CA.public_bytes(Encoding.DER),
    *(bytes([what]) + name.encode() for name in _NAMES for what in (1, 2)),
]
WORDS = [
    b"\x06\x03\x55\x1d\x11",
    b"\x30\x82",
    b"\x81\x00",
    b"\x86\x01:",
    b"\x0c\x00",
    b"\x1e\x02\xd8\x00",
    b"*",
    b".",
    b"\xff",
]
SHARE = 2


def one(data: bytes) -> None:
    """A name is refused or stands in a certificate; a certificate has a name fit to be shown."""
    what, rest = (data[0] % 3, data[1:]) if data else (0, b"")
    if what == 0:
        _certificate(rest)
        return
    text = rest.decode("utf-8", "replace")
    for made in (server_name, principal_name):
        try:
            name = made(text)
        except BadNameError as exc:
            assert str(exc)
            continue
        x509.SubjectAlternativeName([name]).public_bytes()
        stem = _stem(text)
        assert "/" not in stem
        assert stem not in {"", ".", ".."}
    assert clean(clean(text)) == clean(text)
    assert ascii_form(ascii_form(text)) == ascii_form(text)
    card = CardInfo(
        remote_addr=("::1", 1), identities=Identities(atr=""), state=CardState.READY, label=text
    )
    shown = reader_name(card, ())
    assert len(shown) <= 127
    assert shown.isascii()
    assert reader_name(card, (shown,)) != shown
    for kind in KINDS:
        assert normal(kind, normal(kind, text)) == normal(kind, text)
        assert forms(kind, text)
        assert len(list(lookups(kind, text))) < 16


def _certificate(der: bytes) -> None:
    try:
        subject = subject_of(der)
    except ValueError:
        return
    assert subject.name.isprintable()
    assert 0 < len(subject.name) <= MOST_NAME
    assert subject.ends.tzinfo is not None
