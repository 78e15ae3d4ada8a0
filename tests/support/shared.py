# SPDX-License-Identifier: Apache-2.0
"""What outlives a server, kept by SQLite or by a real NATS: the same tests run on both."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.nats import QUICK as QUICK_CONNECTION, Nats
from tests.support.tokens import now
from wsrc.cluster.bucket import Limits
from wsrc.cluster.names import Names
from wsrc.cluster.nats import Place
from wsrc.server.shared_faces import SharedNotes, SharedTokens
from wsrc.server.shared_state import Shared, SharedState
from wsrc.server.state import State, Tokens
from wsrc.server.state_store import StateStore
from wsrc.server.token_store import TokenStore

SECRET = b"a secret of the nodes, 32 octets or more"

QUICK = Limits(answer_s=1.0, silent_s=1.5, again_s=0.02, connection=QUICK_CONNECTION)
"""Limits of a bucket that notices soon."""

KEEPERS = ("sqlite", "nats")


def jetstream(folder: Path, more: str = "") -> str:
    """Return the part of a configuration of NATS that has it keep what is published."""
    return f'jetstream {{ store_dir: "{folder}", {more} }}\n'


def shared_of(nats: Nats, node: str = "a", **fields: Any) -> SharedState:
    """Return what a node shares, which is not started."""
    given = {
        "place": Place([nats.url]),
        "names": Names("c", node),
        "replicas": 1,
        "secret": SECRET,
        "epoch": now,
        **fields,
    }
    return SharedState(Shared(**given), QUICK)


@contextmanager
def sharing(nats: Nats, node: str = "a", **fields: Any) -> Iterator[SharedState]:
    """Share what nodes share, for as long as the context lasts."""
    shared = shared_of(nats, node, **fields)
    shared.start()
    try:
        yield shared
    finally:
        shared.close()


def key_file(folder: Path) -> Path:
    """Write the secret into a file that nobody else can read."""
    path = folder / "state.key"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


class Kept:
    """
    A keeper, which can be opened again and by another server.

    Args:
        folder: Of the files of SQLite.
        nats: Server of NATS; None is SQLite.
    """

    def __init__(self, folder: Path, nats: Nats | None) -> None:
        self.folder = folder
        self.nats = nats
        self._open = ExitStack()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a server that has it."""
        if self.nats is None:
            return {"state_dir": self.folder}
        key = key_file(self.folder.parent)
        return {"cluster_url": (self.nats.url,), "state": "nats", "state_key": key}

    def tokens(self, node: str = "a") -> Tokens:
        """Open the tokens, until `close`."""
        if self.nats is None:
            return self._open.enter_context(TokenStore(self.folder, 0.1))
        return SharedTokens(self._open.enter_context(sharing(self.nats, node)))

    def state(self, node: str = "a") -> State:
        """Open all else, until `close`."""
        if self.nats is None:
            return self._open.enter_context(StateStore(self.folder))
        return SharedNotes(self._open.enter_context(sharing(self.nats, node)))

    def close(self) -> None:
        """Close all that is open."""
        self._open.close()
