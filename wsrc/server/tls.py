# SPDX-License-Identifier: Apache-2.0
"""TLS of both ports: the certificate of the server, and whose certificates let clients in."""

import asyncio
import ssl
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from wsrc.errors import ConfigError
from wsrc.net.answers import Reason
from wsrc.net.certificates import (
    Revoked,
    Role,
    Subject,
    revoked_by,
    subject_of,
    warnings_of,
)
from wsrc.net.tls import Clients, server_context
from wsrc.net.tls_files import Files
from wsrc.protocol.messages import ClientType
from wsrc.server.refusals import NotAdmittedError
from wsrc.settings.load import ServerSettings

_ROLES = {ClientType.USER: Role.USER, ClientType.CARD: Role.CARD_HOST}
_WORDS = {Role.USER: "a user", Role.CARD_HOST: "a card host", Role.NODE: "a node"}


class ServerTls:
    """
    What a server has of TLS; nothing with `no_tls`.

    Raises:
        ConfigError: If a file cannot be read or cannot work.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._contexts: dict[ClientType, ssl.SSLContext] = {}
        self.revoked: Revoked = frozenset()
        self.files = Files(self)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        s = self._settings
        named = (s.tls_cert, s.tls_key, s.tls_client_ca, s.tls_card_ca, s.tls_crl)
        return tuple(path for path in named if path is not None)

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return what is wrong, or soon will be, with these files."""
        s = self._settings
        named = (s.tls_cert, s.tls_client_ca, s.tls_card_ca)
        certs = [path for path in named if path is not None]
        return warnings_of(certs, s.tls_key, now, s.tls_crl)

    @property
    def _cas(self) -> dict[ClientType, tuple[str, Path]]:
        """The file of CAs of each port that asks for certificates, and what it is set by."""
        settings = self._settings
        cas: dict[ClientType, tuple[str, Path]] = {}
        if settings.tls_client_ca is not None:
            cas = dict.fromkeys(ClientType, ("tls_client_ca", settings.tls_client_ca))
        if settings.tls_card_ca is not None:
            cas[ClientType.CARD] = ("tls_card_ca", settings.tls_card_ca)
        return cas

    def load(self) -> None:
        """Read all files; nothing changes if one cannot work, which is a ConfigError."""
        settings = self._settings
        cert, key = settings.tls_cert, settings.tls_key
        if cert is None or key is None:
            return
        cas = self._cas
        contexts: dict[ClientType, ssl.SSLContext] = {}
        for role in ClientType:
            clients = None
            if role in cas:
                setting, ca = cas[role]
                clients = Clients(ca, setting, settings.tls_crl)
            contexts[role] = server_context(cert, key, settings.tls_min_version, clients)
        # OpenSSL trusts a certificate among the lists: such a file ends here.
        revoked = self._revoked()
        self._contexts, self.revoked = contexts, revoked

    def _revoked(self) -> Revoked:
        """Read the lists, after it is known that all files can be read."""
        crl = self._settings.tls_crl
        if crl is None:
            return frozenset()
        try:
            cluster_ca = self._settings.cluster_ca
            besides = [cluster_ca] if cluster_ca is not None else []
            return revoked_by(crl, dict(self._cas.values()), besides)
        except ValueError as exc:
            raise ConfigError("tls_crl", f"{crl}: {exc}") from exc

    def context(self, role: ClientType) -> ssl.SSLContext | None:
        """Return the context for new connections to a port."""
        return self._contexts.get(role)

    def asks(self, role: ClientType) -> bool:
        """Return whether peers of a port are asked for certificates."""
        return role in self._cas

    def admitted(
        self, transport: asyncio.Transport, role: ClientType, now: datetime
    ) -> Subject | None:
        """
        Return who a peer is by its certificate; None if it shows none, or that is not asked.

        What OpenSSL has found good at a handshake may have come to its end since: a session of TLS
        1.2 can be resumed.

        Raises:
            NotAdmittedError: If it has one that is not for this port.
        """
        if not self.asks(role):
            return None
        ssl_object: Any = transport.get_extra_info("ssl_object")
        if ssl_object is None:  # HTTP on loopback may have no TLS
            return None
        der: bytes | None = ssl_object.getpeercert(binary_form=True)
        if der is None:
            return None
        try:
            subject = subject_of(der)
        except ValueError as exc:
            raise NotAdmittedError(Reason.NO_NAME, f"its certificate says no name: {exc}") from exc
        whose = f"the certificate of {subject.name}"
        if subject.ends <= now:
            raise NotAdmittedError(Reason.EXPIRED, f"{whose} has expired")
        if self.is_revoked(subject):
            raise NotAdmittedError(Reason.REVOKED, f"{whose} is revoked")
        if subject.roles and _ROLES[role] not in subject.roles:
            said = " and ".join(_WORDS[each] for each in Role if each in subject.roles)
            wanted = _WORDS[_ROLES[role]]
            why = f"{whose} is one of {said}, not of {wanted}"
            raise NotAdmittedError(Reason.OTHER_ROLE, why)
        return subject

    def is_revoked(self, subject: Subject) -> bool:
        """Return whether a list says so that is in force now."""
        return (subject.issuer, subject.serial) in self.revoked
