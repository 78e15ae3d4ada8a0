# SPDX-License-Identifier: Apache-2.0
"""
Whether a server on this host answers: exit status 0 if it does, else 1 and a line that says why.

    python3 healthy.py PORT

`/healthz` of the port for HTTP is asked, with TLS or without. Certificates are not looked at: the
question is whether the server lives, and not who it is.
"""

import socket
import ssl
import sys

HOST = "localhost"
ANSWERED = b"HTTP/1.1 200 "
LIMIT_S = 4.0
"""How long the port may take for TLS, and how long for its answer."""


def main() -> int:
    """Ask the port that is named."""
    port = int(sys.argv[1])
    try:
        answer = _asked(port, with_tls=False) or _asked(port, with_tls=True)
    except OSError as exc:
        print(f"port {port}: {exc}")
        return 1
    if not answer.startswith(ANSWERED):
        print(f"port {port}: {answer[:60]!r} is no answer of a WSRC server that is well")
        return 1
    return 0


def _asked(port: int, *, with_tls: bool) -> bytes:
    """Return how an answer begins; nothing if there is none, as where TLS is wanted."""
    with socket.create_connection((HOST, port), LIMIT_S) as plain:
        if not with_tls:
            try:
                return _answer(plain, port)
            except ConnectionError:
                return b""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as encrypted:
            return _answer(encrypted, port)


def _answer(connection: socket.socket, port: int) -> bytes:
    asked = f"GET /healthz HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
    connection.sendall(asked.encode())
    answer = connection.recv(len(ANSWERED))
    return answer if answer.startswith(b"HTTP/") else b""


if __name__ == "__main__":
    sys.exit(main())
