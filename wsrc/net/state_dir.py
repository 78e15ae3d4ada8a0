# SPDX-License-Identifier: Apache-2.0
"""Where a program keeps what outlives it."""

import os
from collections.abc import Mapping
from pathlib import Path

OF_SYSTEM = Path("/var/lib/wsrc")


def state_dir(setting: Path | None, environ: Mapping[str, str]) -> Path:
    """
    Return the folder of the state of a program, which need not be there.

    It is that of `state_dir`, else that which systemd gives a unit with `StateDirectory=`, else
    `/var/lib/wsrc` for who may write there, so that a command in a shell finds what the service
    has, else one of this user.
    """
    if setting is not None:
        return setting
    of_unit = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if of_unit:
        return Path(of_unit)
    if os.geteuid() == 0 or os.access(OF_SYSTEM, os.W_OK):
        return OF_SYSTEM
    return of_user(environ)


def of_user(environ: Mapping[str, str]) -> Path:
    """Return the folder of the state of this user, by the XDG Base Directory Specification."""
    state = environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"  # noqa: PTH117 - of a text
    return folder / "wsrc"
