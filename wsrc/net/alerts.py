# SPDX-License-Identifier: Apache-2.0
"""
Alerts of TLS that reach the peer.

An event loop breaks a connection whose handshake fails at once, and what OpenSSL has to say to the
peer (RFC 8446 section 6.2) stays unsent: the peer would see a connection that was reset.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

SEND: ContextVar[Callable[[bytes], object] | None] = ContextVar("SEND", default=None)
"""Sends octets to the peer whose TLS begins in this context, at once or not at all."""


class AlertingContext(ssl.SSLContext):
    """A context whose connections tell the peer why they cannot begin."""

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> ssl.SSLObject:
        """As that of `SSLContext`."""
        made = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        if isinstance(made, _Alerting):
            made.outgoing, made.send = outgoing, SEND.get()
        return made


class _Alerting(ssl.SSLObject):
    outgoing: ssl.MemoryBIO | None = None
    send: Callable[[bytes], object] | None = None

    def do_handshake(self) -> None:
        """As that of `SSLObject`."""
        try:
            super().do_handshake()
            self.outgoing = self.send = None
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.outgoing is not None and self.send is not None:
                with suppress(OSError):
                    self.send(self.outgoing.read())
            raise


AlertingContext.sslobject_class = _Alerting
