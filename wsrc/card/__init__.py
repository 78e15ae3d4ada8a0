# SPDX-License-Identifier: Apache-2.0
"""What a card and a slot are: ISO 7816, ETSI, GSMA, PC/SC."""
