# SPDX-License-Identifier: Apache-2.0
"""Where a server is: what of its URL people may see, and what is for the connection alone."""

import re
from typing import NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Login(NamedTuple):
    """User and password, which no log, error or document shows."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Login(…)"


class Address(str):
    """
    A URL as it may be shown: without its user part and its query.

    Args:
        text: The URL as it was given; it need not be a sound one.

    Attributes:
        sound: Whether it is a URL with a host.
        login: What its user part says, if it has one and is sound.
        whole: The URL with its query, and without its user part.
    """

    __slots__ = ("login", "sound", "whole")

    sound: bool
    login: Login | None
    whole: str

    def __new__(cls, text: str) -> Self:
        """Take the URL apart; an address stays what it is."""
        if isinstance(text, cls):
            return text
        parts = _split(text)
        if parts is None:
            made = super().__new__(cls, _without_user(text))
            made.sound = False
            made.login, made.whole = None, str(made)
            return made
        user, at, host = parts.netloc.rpartition("@")
        safe = parts._replace(netloc=host)
        made = super().__new__(cls, safe._replace(query="", fragment="").geturl())
        made.sound = True
        name, _, password = user.partition(":")
        made.login = Login(unquote(name), unquote(password)) if at else None
        made.whole = safe.geturl()
        return made


def _split(text: str) -> SplitResult | None:
    """
    Return the parts of a URL that has a host and a port that can be; None of another text.

    An @ after the host is written %40: else it may end a password with one of / ? # in it.
    """
    try:
        parts = urlsplit(text)
        sound = bool(parts.scheme and parts.hostname) and parts.port != 0
        beyond = parts.path + parts.query + parts.fragment
    except ValueError:
        return None
    return parts if sound and "@" not in beyond else None


def _without_user(text: str) -> str:
    """Leave out all that may be a password, also one that has characters that it cannot have."""
    scheme = _SCHEME.match(text)
    before, at, after = text.rpartition("@")
    if not at:
        return text.partition("?")[0]
    return (scheme[0] if scheme and scheme.end() <= len(before) else "") + after.partition("?")[0]
