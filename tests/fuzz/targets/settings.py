# SPDX-License-Identifier: Apache-2.0
"""Settings files, environment and command lines of all three programs; addresses; cards."""

import os
import tempfile
import tomllib
from pathlib import Path

from wsrc.errors import ConfigError
from wsrc.readers.simulation import parse_description
from wsrc.settings.address import Address
from wsrc.settings.load import (
    CardClientSettings,
    ServerSettings,
    Settings,
    UserSettings,
    load,
    settings_of,
)

_KINDS: tuple[type[Settings], ...] = (ServerSettings, CardClientSettings, UserSettings)
_NAMES = sorted({each.name for kind in _KINDS for each in settings_of(kind)})
_FILE = Path(tempfile.gettempdir()) / f"wsrc-fuzz-settings-{os.getpid()}.toml"
_PASSWORD = "pa55w0rd"

SEEDS = [
    b'\0user_port = 4220\ncard_port = 4221\nlog_level = "info"\ntls_cert = "cert.pem"\n',
    b'\1server_url = "wss://user:' + _PASSWORD.encode() + b'@relay.example:4221/card?x=y"\n',
    (
        b'\1labels = { "8988211000000430010" = "bench" }\n[[guard]]\ncards = "bench*"\n'
        b'profile = ["no-pin"]\n[[guard]]\nmatch = "00 20 xx 0x"\nanswer = "6985"\n'
    ),
    b'\2server_url = "wss://[::1]:4220/user"\nname = "me"\n',
    *(b"\3" + f"{name}\0{value}".encode() for name in _NAMES for value in ("1", "x", "a=b,c")),
    b'\4kind = "uicc"\niccid = "8988211000000430010"\n',
    (
        b'\4kind = "euicc"\neid = "89882119900000000000000000007280"\n[[profiles]]\n'
        b'iccid = "8988211000000430010"\n[[files]]\npath = "3f00/2fe2"\n'
    ),
    b"\5wss://user:" + _PASSWORD.encode() + b"@host:1/x?y#z",
]
WORDS = [
    *(name.encode() for name in _NAMES),
    b" = ",
    b"[[guard]]\n",
    b"true",
    b"1e9",
    b"-1",
    b"nan",
    b"inf",
    b"1979-05-27",
    b'"""',
    b"[",
    b"{",
    b"wss://",
    b"@",
    b"[::1]",
    b"%00",
    b"\\u0000",
    b"\xed\xa0\x80",
    b'kind = "uicc"\n',
    b"[[profiles]]\n",
    b"[[files]]\n",
    b"iccid",
    b"label",
    b"imsi",
    b"ki",
    b"opc",
]
SHARE = 5


def one(data: bytes) -> None:
    """Settings are refused in a sentence or taken; no password of a URL is ever seen."""
    what, rest = (data[0] % 6, data[1:]) if data else (0, b"")
    try:
        _take(what, rest)
    except ConfigError as exc:
        assert _PASSWORD not in str(exc) or _PASSWORD.encode() not in _logins(rest), str(exc)


def _take(what: int, rest: bytes) -> None:
    if what < 3:
        _FILE.write_bytes(rest)
        made = load(_KINDS[what], {}, config=_FILE)
        assert load(_KINDS[what], {}, config=_FILE) == made
        return
    text = rest.decode("utf-8", "replace" if what == 4 else "surrogateescape")
    if what == 3:
        name, _, value = text.partition("\0")
        for kind in _KINDS:
            load(kind, {f"WSRC_{name.upper()}": value, "WSRC_CONFIG": ""})
            load(kind, {}, {name: value})
    elif what == 4:
        parse_description(text, "cards")
    else:
        address = Address(text)
        assert "@" not in address
        assert "@" not in text or _PASSWORD not in address or _PASSWORD in text.rpartition("@")[2]
        assert _PASSWORD not in repr(address.login)
        again = Address(str(address))
        assert Address(str(again)) == again


def _logins(rest: bytes) -> bytes:
    """Return what stands before the @ of URLs, if the file can be read at all."""
    try:
        tomllib.loads(rest.decode())
    except (tomllib.TOMLDecodeError, UnicodeError, RecursionError):
        return b""
    return rest.rpartition(b"@")[0] if b"://" in rest else b""
