# SPDX-License-Identifier: Apache-2.0
"""
The library of users: `aio` and `blocking` are its two forms, one over the other.

`card` is a card that is ours, `naming` says which card is meant, `portal` runs a loop in a thread.
`core` has what a client is made of.
"""
