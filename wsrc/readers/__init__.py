# SPDX-License-Identifier: Apache-2.0
"""Readers: where a card is reached. Nothing here knows the protocol or the server."""
