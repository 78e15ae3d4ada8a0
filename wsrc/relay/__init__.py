# SPDX-License-Identifier: Apache-2.0
"""
What the server does with a message: a machine without I/O.

`machine` is what the shell talks to. Below it, each on top of the next: `users` and `cards` (who
asks, who reports), `resuming`, `endings`, `sharing`, `queue`, `leases`, `floor` (the state),
`readers`, `ring`, `claims`, `waiting`, `index`, `records`, `selection`, `timers`, `effects`.
`firstform` stands beside them: it makes peers of the first form of the protocol look like any
other.
"""
