# SPDX-License-Identifier: Apache-2.0
"""Messages over WebSocket and TLS: the only package beside `wsrc.server` that imports aiohttp."""
