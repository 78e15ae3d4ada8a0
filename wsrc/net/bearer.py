# SPDX-License-Identifier: Apache-2.0
"""The token by which a client says who it is: where it is read, and where it is never sent."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from wsrc.errors import ConfigError
from wsrc.settings.address import Address
from wsrc.settings.clients import CardClientSettings, UserSettings
from wsrc.settings.hosts import is_loopback
from wsrc.tokens import PREFIX, is_token

VARIABLE = "WSRC_TOKEN"

CREDENTIAL = "wsrc-token"
"""Name of the token among the credentials of a unit (systemd.exec, `LoadCredential=`)."""

MOST_OCTETS = 7168
"""A header of more, with its name, is refused by common web servers."""

_FORM = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 section 2.1."""


class Token:
    """A token that is to be sent; no log, error or document shows it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "Token(…)"


def token_of(
    settings: CardClientSettings | UserSettings, environ: Mapping[str, str]
) -> Token | None:
    """
    Return the token for a connection to the server of these settings, if there is one.

    It is that of `token_file`, or of the environment, else that of the credentials which systemd
    has for this unit.

    Raises:
        ConfigError: If it cannot be read, others can read it, it is no token, or it may not be
            sent there: no sentence has any of it.
    """
    found = _found(settings.token_file, {} if settings.TOKEN_OF_FILE else environ)
    if found is None:
        return None
    text, setting, where = found
    if not text:
        raise ConfigError(setting, f"{where} is empty; it must be a token alone")
    if len(text) > MOST_OCTETS or _FORM.fullmatch(text) is None:
        raise ConfigError(setting, f"{where} is not a token alone; give one, without quotes")
    if text.startswith(PREFIX) and not is_token(text):
        raise ConfigError(setting, f"the token in {where} is not whole; copy it again")
    _check_way(Address(settings.server_url), setting)
    return Token(text)


def _check_way(url: Address, setting: str) -> None:
    host = urlsplit(url).hostname or ""
    if urlsplit(url).scheme != "wss" and not is_loopback(host):
        why = f"a token is not sent to {host} without TLS, for all on the path to read; give wss://"
        raise ConfigError(setting, why)
    if url.login is not None:
        why = "the URL of the server has a user and password, which go where the token goes; give"
        raise ConfigError(setting, f"{why} one of both")


def _found(file: Path | None, environ: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Return the text, what it is set by, and where it was, for people."""
    text = environ.get(VARIABLE, "")
    if file is not None:
        if text:
            why = f"{VARIABLE} in the environment gives another token; give one of both"
            raise ConfigError("token_file", why)
        return _read(file, ours=True), "token_file", str(file)
    if text:
        return text.strip(), VARIABLE, "the environment"
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    credential = Path(folder, CREDENTIAL) if folder else None
    if credential is not None and credential.exists():
        return _read(credential, ours=False), CREDENTIAL, str(credential)
    return None


def _read(path: Path, *, ours: bool) -> str:
    """Read a file that others cannot read, where that is ours to see to."""
    setting = "token_file" if ours else CREDENTIAL
    try:
        with path.open("rb") as file:
            seen = os.fstat(file.fileno())
            text = file.read(2 * MOST_OCTETS)
    except OSError as exc:
        why = f"cannot read {path}: {exc.strerror}; let this program's user read it"
        raise ConfigError(setting, why) from exc
    if ours and others_may_read(seen):
        raise ConfigError(setting, f"others can read or change {path}; chmod 600 {path}")
    return text.decode("ascii", "replace").strip()


def others_may_read(seen: os.stat_result) -> bool:
    """Return whether a file is for more than its owner; one of root may be for our group too."""
    if not hasattr(os, "geteuid"):
        return False
    mode = stat.S_IMODE(seen.st_mode)
    return bool(mode & (0o077 if seen.st_uid == os.geteuid() else 0o027))
