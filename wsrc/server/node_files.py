# SPDX-License-Identifier: Apache-2.0
"""The files by which a node proves to others who it is, as they are now."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509

from wsrc.cluster.credentials import Credentials, Nodes
from wsrc.errors import ConfigError
from wsrc.net.certificates import subject_of
from wsrc.net.seal_files import identity_of
from wsrc.net.tls_files import Files
from wsrc.settings.load import ServerSettings

_TOLD = "The certificates and keys of the cluster were read anew"


class NodeFiles:
    """
    What a node proves with who it is.

    Args:
        settings: Of the server.

    Raises:
        ConfigError: If a file cannot work.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._name = settings.node_name
        self._ca = settings.cluster_ca
        self._cert, self._key = settings.cluster_cert, settings.cluster_key
        self._credentials: Credentials | None = None
        self._files = Files(self, _TOLD)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(path for path in (self._ca, self._cert, self._key) if path is not None)

    def load(self) -> None:
        """Read them; without any, nothing is proved."""
        if self._ca is None or self._cert is None or self._key is None:
            return
        identity = identity_of("cluster_cert", self._cert, self._key)
        if identity is None:
            raise ConfigError("cluster_key", f"{self._key} has a key of a kind that no node has")
        name = subject_of(identity.certificates[0]).name
        if name != self._name:
            why = (
                f"{self._cert} is of {name!r}, and this node is called {self._name}; set node_name"
            )
            raise ConfigError("cluster_cert", why)
        try:
            cas = x509.load_pem_x509_certificates(self._ca.read_bytes())
        except (OSError, ValueError) as exc:
            raise ConfigError("cluster_ca", f"{self._ca} cannot be used: {exc}") from exc
        self._credentials = Credentials(identity, Nodes(cas, subject_of))

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return nothing yet."""
        del now
        return ()

    def credentials(self) -> Credentials | None:
        """Return what the node proves with now; None where nothing is proved."""
        self._files.take()
        return self._credentials
