# SPDX-License-Identifier: Apache-2.0
"""Which keeper a server has for what outlives it, by its settings."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wsrc.errors import ConfigError
from wsrc.net.bearer import others_may_read
from wsrc.net.state_dir import state_dir
from wsrc.server.sqlite_file import LOCK_S
from wsrc.server.state import State, Tokens
from wsrc.server.state_keeper import Opens
from wsrc.server.state_store import StateStore, is_there
from wsrc.server.token_store import TokenStore
from wsrc.settings.load import ServerSettings

if TYPE_CHECKING:
    from wsrc.server.shared_state import SharedState

LEAST_SECRET = 32
"""Characters of `state_key` at least."""

MOST_SECRET = 4_096


_NAMED = (
    "state",
    "state_dir",
    "state_key",
    "state_replicas",
    "cluster",
    "node_name",
    "cluster_url",
    "cluster_ca",
    "cluster_cert",
    "cluster_key",
    "cluster_creds",
)
"""Settings that tell where tokens are, and how they are reached."""


class Keepers(NamedTuple):
    """
    What keeps tokens and all else.

    Attributes:
        tokens: Opens the tokens, within so many seconds that they may be locked.
        state: Opens all else.
        shared: What several servers share, not started yet; None with one server.
    """

    tokens: Callable[[float], Tokens]
    state: Opens
    shared: "SharedState | None" = None


def keepers(settings: ServerSettings) -> Keepers:
    """
    Return the keepers of a server.

    Raises:
        ConfigError: If a file that is needed cannot be used.
    """
    if settings.state == "nats":
        return _shared(settings)
    folder = state_dir(settings.state_dir, os.environ)
    opens = Opens(partial(StateStore, folder), partial(is_there, folder), folder)
    return Keepers(partial(TokenStore, folder), opens)


def open_tokens(given: Mapping[str, Any]) -> Tokens:
    """
    Return the tokens of a server, which may run.

    Args:
        given: What is set, by the names of settings; of those that tell where tokens are not, any
            may be missing or wrong.

    Raises:
        ConfigError: If they cannot be opened.
    """
    named = {name: given[name] for name in _NAMED if given.get(name) is not None}
    found = keepers(ServerSettings(no_tls=True, **named))
    if found.shared is None:
        return found.tokens(LOCK_S)
    from wsrc.server.shared_faces import SharedTokens  # noqa: PLC0415 - an extra

    found.shared.start(joins=False)
    return SharedTokens(found.shared, closes=True)


def _shared(settings: ServerSettings) -> Keepers:
    try:
        from wsrc.cluster.names import Names  # noqa: PLC0415 - an extra
        from wsrc.server.clustered import place_of  # noqa: PLC0415 - an extra
        from wsrc.server.shared_faces import SharedNotes, SharedTokens  # noqa: PLC0415 - an extra
        from wsrc.server.shared_state import Shared, SharedState  # noqa: PLC0415 - an extra
    except ImportError as exc:
        why = "it needs a package; install it with: pip install 'wsrc[cluster]'"
        raise ConfigError("state", why) from exc
    assert settings.state_key is not None
    shared = SharedState(
        Shared(
            place_of(settings),
            Names(settings.cluster, settings.node_name),
            settings.state_replicas or (3 if len(settings.cluster_url) >= 3 else 1),
            _secret(settings.state_key),
            lambda: datetime.now(UTC).timestamp(),
        )
    )

    def tokens(_lock_s: float) -> Tokens:
        return SharedTokens(shared)

    def state(_lock_s: float) -> State:
        return SharedNotes(shared)

    folder = state_dir(settings.state_dir, os.environ)
    return Keepers(tokens, Opens(state, lambda: True, folder), shared)


def _secret(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            seen = os.fstat(file.fileno())
            text = file.read(MOST_SECRET + 1).strip()
    except OSError as exc:
        raise ConfigError("state_key", f"cannot read {path}: {exc.strerror}") from exc
    if others_may_read(seen):
        raise ConfigError("state_key", f"others can read or change {path}; chmod 600 {path}")
    if not LEAST_SECRET <= len(text) <= MOST_SECRET or len(set(text)) < 8:
        why = f"{path} has no {LEAST_SECRET} characters that nobody guesses"
        raise ConfigError("state_key", f"{why}; make it with: openssl rand -hex 32 > {path}")
    return text
