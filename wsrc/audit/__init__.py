# SPDX-License-Identifier: Apache-2.0
"""
Evidence that is kept: who did what with which card, in files whose lines hang together.

Each line is a JSON object. It begins with its number `n`, one more than that of the line before,
and the time `at`, and ends with `chain`: SHA-256 over the `chain` of the line before and all that
stands before its own. A line that was changed, removed or moved does not fit its neighbours. The
first line of a file, `file`, says with `after` what the last line before it ends with.
"""
