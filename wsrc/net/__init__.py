# SPDX-License-Identifier: Apache-2.0
"""Messages over WebSocket, HTTP and TLS, as far as both ends or a client alone need them."""
