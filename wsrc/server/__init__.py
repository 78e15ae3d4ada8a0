# SPDX-License-Identifier: Apache-2.0
"""The relay server: listens, and performs what `wsrc.relay` decides."""
