# SPDX-License-Identifier: Apache-2.0
"""The socket of pcscd: its server, and the machine behind it, which does no I/O."""
