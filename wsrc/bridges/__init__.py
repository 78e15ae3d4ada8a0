# SPDX-License-Identifier: Apache-2.0
"""Remote cards where programs look for cards: the socket of pcscd, pyscard, vpcd, lpac."""
