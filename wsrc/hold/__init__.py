# SPDX-License-Identifier: Apache-2.0
"""A card that is held for the programs of one user: offered to them by a server on loopback."""
