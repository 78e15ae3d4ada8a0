# SPDX-License-Identifier: Apache-2.0
"""Parts of a server that need packages of an extra, loaded where the settings ask for them."""

from typing import TYPE_CHECKING

from wsrc.errors import ConfigError
from wsrc.settings.load import ServerSettings

if TYPE_CHECKING:
    from wsrc.server.clustered import Clustered
    from wsrc.server.provider import Provider


def provider(settings: ServerSettings) -> "Provider":
    """Return what checks the JWTs of an identity provider."""
    try:
        from wsrc.server.issuer_keys import IssuerKeys  # noqa: PLC0415 - an extra
        from wsrc.server.provider import Provider  # noqa: PLC0415 - an extra
    except ImportError as exc:
        why = "it needs a package; install it with: pip install 'wsrc[oidc]'"
        raise ConfigError("oidc_issuer", why) from exc
    return Provider(settings, IssuerKeys(settings.oidc_issuer))


def clustered(settings: ServerSettings) -> "Clustered":
    """Return what a server needs to be a node."""
    try:
        from wsrc.server.clustered import Clustered  # noqa: PLC0415 - an extra
    except ImportError as exc:
        why = "it needs a package; install it with: pip install 'wsrc[cluster]'"
        raise ConfigError("cluster_url", why) from exc
    return Clustered(settings)
