# SPDX-License-Identifier: Apache-2.0
"""The way to the counter of a simulated USIM, which tells how often a command was carried out."""

SELECT_USIM = bytes.fromhex("00a4040c10a0000000871002ffffffff8907090000")
VERIFY_PIN = bytes.fromhex("002000010831323334ffffffff")
READ_COUNTER = bytes.fromhex("00b201e403")
