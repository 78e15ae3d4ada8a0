# SPDX-License-Identifier: Apache-2.0
"""What outlives a server, kept by SQLite or by a real NATS: the same tests run on both."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.support.nats import QUICK as QUICK_CONNECTION, Nats, nats_server
from tests.support.state_file import full, locked
from tests.support.tokens import now
from wsrc.cluster.bucket import Limits
from wsrc.cluster.names import Names
from wsrc.cluster.nats import Place
from wsrc.server.app import App
from wsrc.server.shared_faces import SharedNotes, SharedTokens
from wsrc.server.shared_state import MOST_NODES, START_S, Shared, SharedState
from wsrc.server.state import State, Tokens
from wsrc.server.state_store import StateStore
from wsrc.server.token_store import TokenStore

SECRET = b"a secret of the nodes, 32 octets or more"

QUICK = Limits(answer_s=1.0, silent_s=1.5, again_s=0.02, connection=QUICK_CONNECTION)
"""Limits of a bucket that notices soon."""

KEEPERS = ("sqlite", "nats")


@contextmanager
def keeping(how: str, folder: Path) -> Iterator["Kept"]:
    """Have a keeper: `sqlite`, or `nats` with a server of it."""
    with ExitStack() as stack:
        server = None
        if how == "nats":
            server = stack.enter_context(nats_server(folder / "nats", keeps=True))
        kept = Kept(folder / "state", server)
        stack.callback(kept.close)
        yield kept


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
def sharing(
    nats: Nats, node: str = "a", limit_s: float = START_S, **fields: Any
) -> Iterator[SharedState]:
    """Share what nodes share, for as long as the context lasts."""
    shared = shared_of(nats, node, **fields)
    shared.start(limit_s=limit_s)
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
    def first(self) -> int:
        """The number of the first reservation."""
        return 1 if self.nats is None else MOST_NODES

    def nth(self, number: int) -> int:
        """Return the number of a reservation that is the second, or the third, of one server."""
        return number * self.first

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody write: another program has locked the file; NATS is away."""
        if self.nats is None:
            with locked(self.folder):
                yield
            return
        self.nats.kill()
        yield
        self.nats.start()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let files have no room; NATS has some for what takes the place of another."""
        with full(self.folder):
            yield

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a server that has it."""
        if self.nats is None:
            return {"state_dir": self.folder}
        key = key_file(self.folder.parent)
        return {
            "cluster_url": (self.nats.url,),
            "cluster": "c",
            "state": "nats",
            "state_key": key,
        }

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


TROUBLES = (("sqlite", Kept.locked), ("sqlite", Kept.full), ("nats", Kept.locked))
"""What keeps each keeper from writing anything."""


@asynccontextmanager
async def in_thread(trouble: AbstractContextManager[None]) -> AsyncGenerator[None]:
    """Have trouble begin and end in a thread, the same one, while the loop goes on."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        await loop.run_in_executor(thread, trouble.__enter__)
        try:
            yield
        finally:
            await loop.run_in_executor(thread, trouble.__exit__, None, None, None)


def is_up_to_date(app: App) -> bool:
    """Return whether a server can have something kept, for all that it knows."""
    return app._shared is None or app._shared.up_to_date
