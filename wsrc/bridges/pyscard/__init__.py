# SPDX-License-Identifier: Apache-2.0
"""Remote cards in pyscard, within one process: no PC/SC service, no socket."""
