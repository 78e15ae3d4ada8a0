# SPDX-License-Identifier: Apache-2.0
"""
The card that `wsrc take` holds, as programs inside find it: a file that `WSRC_SESSION` names.

The file is for its owner alone, in a folder that is. It names the server of that one card, which
`wsrc take` serves on loopback, and the file of the token that it lets in. Whoever wrote it has it
locked for as long as the card is held.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import msgspec

from wsrc.errors import ConfigError, SessionLostError
from wsrc.settings.clients import CardClientSettings, UserSettings

VARIABLE = "WSRC_SESSION"

MOST_OCTETS = 65_536
"""A file of more was not written by `wsrc take`."""

OF_THE_SERVER = (
    "tls_ca",
    "tls_cert",
    "tls_key",
    "token_file",
    "seal",
    "card_ca",
    "card_crl",
    "card_hosts",
    "known_hosts",
    "pad_octets",
    "read_ahead",
)
"""Settings that are for the server which has the card, and not for the one on loopback."""


class HeldFile(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the file says; `over` is why the card is held no more, for people.

    `control` is the socket at which the hold is ended, shared or handed over. `sealed` is name,
    fingerprint and suite of the card host, where no server can read the session that has the card.
    """

    server_url: str
    token_file: str
    control: str
    reader: str
    card: str
    sealed: tuple[str, str, str] | None = None
    over: str | None = None


class HeldSettings(UserSettings, frozen=True, kw_only=True):
    """
    Settings of a user inside `wsrc take`.

    `held_reader` is the name of the one reader, and `held_sealed` is `sealed` of the file.
    """

    TOKEN_OF_FILE: ClassVar[bool] = True

    held_reader: str = ""
    held_sealed: tuple[str, str, str] | None = None


class HeldHostSettings(CardClientSettings, frozen=True, kw_only=True):
    """Settings of the card client by which `wsrc take` offers its card."""

    TOKEN_OF_FILE: ClassVar[bool] = True


def held_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file that the environment names, if it names one."""
    named = environ.get(VARIABLE)
    return Path(named) if named else None


def read_held(path: Path) -> HeldFile:
    """
    Return what a file of `wsrc take` says.

    Raises:
        ConfigError: If it is not a file of ours alone, or cannot be read.
        SessionLostError: If the card is held no more.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        why = f"The card of {path} was given back; leave this shell, or unset {VARIABLE}."
        raise SessionLostError(why) from exc
    except OSError as exc:
        raise ConfigError(VARIABLE, f"cannot read {path}: {exc.strerror}") from exc
    try:
        _check_private(path, os.fstat(descriptor))
        octets = os.read(descriptor, MOST_OCTETS)
        locked = _is_locked(descriptor)
    finally:
        os.close(descriptor)
    try:
        held = msgspec.json.decode(octets, type=HeldFile)
    except msgspec.DecodeError as exc:
        raise ConfigError(VARIABLE, f"{path} was not written by `wsrc take`") from exc
    if held.over is not None:
        raise SessionLostError(f"{held.over} The card is held no more; `wsrc take` takes another.")
    if not locked:
        why = "`wsrc take`, which held the card, was killed; the server frees it by itself"
        raise SessionLostError(f"{why}. Leave this shell, or unset {VARIABLE}.")
    return held


def held_values(held: HeldFile, values: Mapping[str, object]) -> dict[str, object]:
    """Return the settings with which a program inside finds the card, from those of its user."""
    own = {name: value for name, value in values.items() if name not in OF_THE_SERVER}
    return own | {
        "server_url": held.server_url,
        "token_file": Path(held.token_file),
        "seal": "off",
        "held_reader": held.reader,
        "held_sealed": held.sealed,
    }


def check_flags(flags: Mapping[str, object]) -> None:
    """
    Check that nothing is asked for that concerns another server than that on loopback.

    Raises:
        ConfigError: If it is.
    """
    name = next((name for name in flags if name in OF_THE_SERVER), None)
    if name is not None:
        why = "it is not for the card that `wsrc take` holds; give server_url too for another"
        raise ConfigError(name, why)


def _check_private(path: Path, seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise ConfigError(VARIABLE, f"{path} is no file")
    if hasattr(os, "geteuid") and seen.st_uid != os.geteuid():
        raise ConfigError(VARIABLE, f"{path} is of another user, who could read what you send")
    if stat.S_IMODE(seen.st_mode) & 0o077:
        raise ConfigError(VARIABLE, f"others can read or change {path}")


def _is_locked(descriptor: int) -> bool:
    """Return whether who wrote a file is still there."""
    import fcntl  # noqa: PLC0415 - not on every platform

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
