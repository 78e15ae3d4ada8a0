# SPDX-License-Identifier: Apache-2.0
"""A server that lets in who has a token, and files with tokens for its clients."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.certificates import Certificates
from tests.support.world import Served
from wsrc.protocol.messages import ClientType
from wsrc.server.app import App, serve
from wsrc.server.token_store import TokenStore
from wsrc.settings.load import ServerSettings


def now() -> float:
    """Return the seconds of UTC."""
    return datetime.now(UTC).timestamp()


def token_file(path: Path, text: str) -> Path:
    """Write a token into a file that nobody else can read."""
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return path


class TokenWorld(Served):
    """
    A server with tokens; made by `running_with_tokens`.

    Args:
        app: The server.
        state: Its `state_dir`.
        certificates: Those of the server.
    """

    def __init__(self, app: App, state: Path, certificates: Certificates) -> None:
        super().__init__(app)
        self.state = state
        self.certificates = certificates

    def made(
        self, name: str, role: ClientType = ClientType.USER, expires_in_s: float | None = None
    ) -> Path:
        """Make a token as another program does, and return the file that has it."""
        expires = None if expires_in_s is None else now() + expires_in_s
        with TokenStore(self.state) as store:
            return token_file(self.state.parent / name, store.add(name, role, now(), expires))

    def revoke(self, *which: str) -> None:
        """Revoke tokens as another program does."""
        with TokenStore(self.state) as store:
            store.revoke(which)

    def knows(self, file: Path) -> bool:
        """Return whether the server knows a token by now."""
        assert self.app._tokens is not None
        return self.app._tokens.find(file.read_text().strip(), now()) is not None


@asynccontextmanager
async def running_with_tokens(
    certificates: Certificates, folder: Path, **settings: Any
) -> AsyncGenerator[TokenWorld]:
    """Run a server on free ports that lets in who has a token."""
    state = folder / "state"
    given: dict[str, Any] = {
        "user_port": 0,
        "card_port": 0,
        "tls_cert": certificates.cert,
        "tls_key": certificates.key,
        "tokens": True,
        "state_dir": state,
        "ping_s": 5.0,
    }
    async with serve(ServerSettings(**given | settings)) as app:
        yield TokenWorld(app, state, certificates)
