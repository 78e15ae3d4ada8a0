# SPDX-License-Identifier: Apache-2.0
"""What is on a card: which commands read it, and what the octets mean; without I/O."""
