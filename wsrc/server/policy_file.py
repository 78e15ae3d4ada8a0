# SPDX-License-Identifier: Apache-2.0
"""The file of the policy: read when it changes, and what was there stays if it is none."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from wsrc.errors import ConfigError
from wsrc.net.tls_files import Files
from wsrc.policy.machine import Policy
from wsrc.policy.reading import SETTING, Document, read
from wsrc.process.texts import read_text

MAX_OCTETS: Final = 4 << 20
"""The longest file that is read."""


def read_policy(path: Path) -> Document:
    """
    Return the policy of a file.

    Raises:
        ConfigError: If it cannot be read, is no policy, or fails one of its own expectations.
    """
    try:
        if path.stat().st_size > MAX_OCTETS:
            raise ConfigError(SETTING, f"{path} is longer than {MAX_OCTETS >> 20} MiB")
        text = read_text(path)
    except OSError as exc:
        raise ConfigError(SETTING, f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeError as exc:
        raise ConfigError(SETTING, f"{path} is not TOML: {exc}") from exc
    return read(text, str(path))


class PolicyFile:
    """
    The policy of a server, as its file has it.

    Args:
        path: The file.

    Raises:
        ConfigError: As `read_policy`.
    """

    def __init__(self, path: Path) -> None:
        self._document = Document(Policy(), 0, ())
        self.paths = (path,)
        self.files = Files(self, "The policy was read anew")

    @property
    def policy(self) -> Policy:
        """What is in force."""
        return self._document.policy

    def load(self) -> None:
        """Read the file; nothing changes if it cannot work, which is a ConfigError."""
        self._document = read_policy(self.paths[0])

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return what its operator may not have meant."""
        del now
        return [f"{self.paths[0]}: {note}" for note in self._document.notes]
