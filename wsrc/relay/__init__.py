# SPDX-License-Identifier: Apache-2.0
"""
What the server does with a message: a machine without I/O.

`machine` is what the shell talks to. Below it, each on top of the next: `users` and `card_clients`
(who asks, who reports), `resuming`, `endings`, `sharing`, `queue`, `leases`, `state`, `readers`,
`ring`, `claims`, `waiting`, `index`, `records`, `timers`, `effects`.
`first_form` stands beside them: it makes peers of the first form of the protocol look like any
other.
"""
