# SPDX-License-Identifier: Apache-2.0
"""
Whether a server on this host answers: exit status 0 if it does, else 1 and a line that says why.

    python3 healthy.py PORT...

Each port is asked as a client asks that does not know what this is: the answer of a WSRC server,
with TLS or without, is HTTP status 426. Certificates are not looked at: the question is whether the
server lives, and not who it is.
"""

import socket
import ssl
import sys

HOST = "localhost"
ASKED = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
ANSWERED = b"HTTP/1.1 426 "
LIMIT_S = 4.0
"""How long one port may take for TLS, and how long for its answer."""


def main() -> int:
    """Ask each port that is named."""
    for port in map(int, sys.argv[1:]):
        try:
            answer = _asked(port, with_tls=True) or _asked(port, with_tls=False)
        except OSError as exc:
            print(f"port {port}: {exc}")
            return 1
        if not answer.startswith(ANSWERED):
            print(f"port {port}: {answer[:60]!r} is no answer of a WSRC server")
            return 1
    return 0


def _asked(port: int, *, with_tls: bool) -> bytes:
    """Return what a port answers; nothing if it does not speak TLS, where that is wanted."""
    with socket.create_connection((HOST, port), LIMIT_S) as plain:
        if not with_tls:
            return _answer(plain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with context.wrap_socket(plain) as encrypted:
                return _answer(encrypted)
        except ssl.SSLError as exc:
            if exc.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
                return b""
            raise


def _answer(connection: socket.socket) -> bytes:
    connection.sendall(ASKED)
    return connection.recv(len(ANSWERED))


if __name__ == "__main__":
    sys.exit(main())
