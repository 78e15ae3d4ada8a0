# SPDX-License-Identifier: Apache-2.0
"""Settings of a server that is one of several: where NATS is, and what the server is called."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from msgspec import Meta

from wsrc.errors import ConfigError
from wsrc.principal import MOST_NODE_NAME
from wsrc.settings.address import Address
from wsrc.settings.hosts import host_name, is_host, is_loopback

SCHEMES: Final = ("nats", "tls")

_NAME = {"expected": f"1 to {MOST_NODE_NAME} of the characters A-Z a-z 0-9 _ -, and no - at an end"}
_PATTERN = r"^(?!-)[A-Za-z0-9_-]+(?<!-)\Z"

ClusterUrl = Annotated[
    tuple[str, ...],
    Meta(
        description="Server of NATS, as tls://HOST:PORT, or nats:// for loopback, with the user "
        "and the password in it where NATS wants them; several are those of one cluster of NATS. "
        "With it this server is a node of a cluster.",
        extra={"url": True},
    ),
]
ClusterName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MOST_NODE_NAME,
        pattern=_PATTERN,
        description="Name of the cluster: nodes with another are strangers, on the same NATS too.",
        extra=_NAME,
    ),
]
NodeName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MOST_NODE_NAME,
        pattern=_PATTERN,
        description="Name of this node, which no other of the cluster has.",
        extra=_NAME | {"default": "the host name, with - for other characters"},
    ),
]
NodeUrl = Annotated[
    str | None,
    Meta(
        description="Where other nodes reach this one without NATS, as wss://HOST:PORT of its port "
        "for users, or ws:// on loopback; without it all goes by NATS.",
        extra={"url": True},
    ),
]
PublicHost = Annotated[
    str | None,
    Meta(
        description="Name or address at which clients reach this node alone, by the ports of the "
        "URLs that they have: a node that ends sends its clients there. Without it none are sent.",
    ),
]
ClusterCreds = Annotated[
    Path | None,
    Meta(
        description="File that says who this node is to NATS, instead of a password: of "
        "credentials, as `nsc` makes them, or of the seed of an nkey."
    ),
]
ClusterCa = Annotated[
    Path | None,
    Meta(
        description="PEM file of the CAs whose certificates nodes of the cluster and servers of "
        "NATS have."
    ),
]
ClusterCert = Annotated[
    Path | None,
    Meta(
        description="PEM file of this node's certificate and its chain, for other nodes, and for "
        "servers of NATS that ask for one."
    ),
]
ClusterKey = Annotated[
    Path | None,
    Meta(description="PEM file of the private key of that certificate, not encrypted."),
]
StateIn = Annotated[
    Literal["sqlite", "nats"],
    Meta(
        description="What keeps tokens, tags, comments and reservations: sqlite, in the folder of "
        "this server, or nats, which the nodes of a cluster share."
    ),
]
StateKey = Annotated[
    Path | None,
    Meta(
        description="File with a secret of 32 characters or more, the same for all nodes, with "
        "which what they share is sealed."
    ),
]
StateReplicas = Annotated[
    int,
    Meta(
        ge=0,
        le=5,
        description="How many servers of NATS keep what the nodes share, when it is made; 0 is 3 "
        "where cluster_url names as many, else 1.",
    ),
]


class Clustering(NamedTuple):
    """The settings of a node that depend on each other, as `ServerSettings` has them."""

    cluster_url: Sequence[str]
    cluster_creds: Path | None
    cluster_ca: Path | None
    cluster_cert: Path | None
    cluster_key: Path | None
    node_url: str | None = None
    public_host: str | None = None
    state: str = "sqlite"
    state_key: Path | None = None


def node_name() -> str:
    """Return the name of this host as the name of a node."""
    fit = re.sub(r"[^A-Za-z0-9_-]", "-", host_name())[:MOST_NODE_NAME].strip("-")
    return fit or "node"


def check_clustering(s: Clustering) -> None:
    """
    See that the settings of a node go together.

    Raises:
        ConfigError: If they do not.
    """
    files = ("cluster_ca", "cluster_cert", "cluster_key")
    for name in ("cluster_creds", "node_url", "public_host", *files):
        if getattr(s, name) and not s.cluster_url:
            raise ConfigError(name, "it is of no use without cluster_url")
    if s.node_url is not None:
        check_node_url(s.node_url)
    if s.public_host is not None and not is_host(s.public_host):
        why = f"{s.public_host!r} is no host name, and no address without brackets and port"
        raise ConfigError("public_host", why)
    _check_state(s)
    outside = [url for url in s.cluster_url if _check_url(url, s)]
    given = [name for name in files if getattr(s, name)]
    if given and len(given) < len(files):
        missing = next(name for name in files if name not in given)
        raise ConfigError(missing, f"give it with {' and '.join(given)}")
    if outside and not given:
        raise ConfigError(
            "cluster_cert",
            f"{Address(outside[0])} is not loopback: nodes prove to each other who they are, with "
            f"{', '.join(files)}; make certificates with wsrc-certs",
        )


def _check_state(s: Clustering) -> None:
    if s.state != "nats":
        if s.state_key:
            raise ConfigError("state_key", 'it is of no use without state = "nats"')
        return
    if not s.cluster_url:
        raise ConfigError("state", "nats is of no use without cluster_url")
    if not s.state_key:
        why = "what nodes share is sealed; give the file of a secret, the same for all of them"
        raise ConfigError("state_key", f"{why}, made with: openssl rand -hex 32")


def check_node_url(url: str) -> None:
    """
    See that a URL can be that of a node.

    Raises:
        ConfigError: If it cannot.
    """
    address = Address(url)
    parts = urlsplit(address.whole) if address.sound else None
    is_one = parts is not None and url.isprintable() and " " not in url
    if (
        parts is None
        or not is_one
        or parts.scheme not in {"ws", "wss"}
        or address.login is not None
    ):
        shown = re.sub(r".*@", "", str(address))
        raise ConfigError("node_url", f"{shown!r} is not of the form wss://HOST:PORT")
    if parts.scheme == "ws" and not is_loopback(parts.hostname or ""):
        raise ConfigError("node_url", f"{address} is without TLS, which is for loopback")


def _check_url(url: str, s: Clustering) -> bool:
    """Return whether a server of NATS is reached over the network; refuse what is none."""
    address = Address(url)
    parts = urlsplit(address.whole) if address.sound else None
    if parts is None or parts.scheme not in SCHEMES or parts.path not in {"", "/"} or parts.query:
        shown = re.sub(r".*@", "", str(address))
        raise ConfigError("cluster_url", f"{shown!r} is not of the form tls://HOST:PORT")
    if address.login is not None:
        if not address.login.user or not address.login.password:
            raise ConfigError("cluster_url", f"{address} has not both of USER:PASSWORD before @")
        if s.cluster_creds:
            raise ConfigError("cluster_creds", "it contradicts the user in cluster_url; give one")
    outside = not is_loopback(parts.hostname or "")
    if outside and parts.scheme != "tls":
        why = f"{address} is without TLS, which is for loopback; write tls:// instead of nats://"
        raise ConfigError("cluster_url", why)
    return outside
