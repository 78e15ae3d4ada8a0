# SPDX-License-Identifier: Apache-2.0
"""The files by which a node proves to others who it is, and believes them, as they are now."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from wsrc.cluster.credentials import Credentials, Nodes
from wsrc.errors import ConfigError
from wsrc.net.certificates import Revoked, revoked_of, subject_of, warnings_of
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
        self._crl = settings.tls_crl
        self._credentials: Credentials | None = None
        self.files = Files(self, _TOLD)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        if self._cert is None:
            return ()
        named = (self._ca, self._cert, self._key, self._crl)
        return tuple(path for path in named if path is not None)

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
        self._credentials = Credentials(identity, Nodes(cas, subject_of, self._revoked(cas)))

    def _revoked(self, cas: Sequence[x509.Certificate]) -> Revoked:
        """Return what lists of these CAs revoke; others are those of clients."""
        if self._crl is None:
            return frozenset()
        try:
            return revoked_of(self._crl, cas)
        except (OSError, ValueError) as exc:
            raise ConfigError("tls_crl", f"{self._crl} cannot be used: {exc}") from exc

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return what is wrong, or soon will be, with the certificates and the key."""
        certs = [path for path in (self._cert, self._ca) if path is not None and self.paths]
        return warnings_of(certs, self._key if certs else None, now)

    def credentials(self) -> Credentials | None:
        """Return what the node proves with now; None where nothing is proved."""
        return self._credentials
