# SPDX-License-Identifier: Apache-2.0
"""Remote cards in pyscard: what a program that uses pyscard imports."""

from wsrc.bridges.pyscard.install import Installation, RemoteReader, install

__all__ = ["Installation", "RemoteReader", "install"]
