# SPDX-License-Identifier: Apache-2.0
"""
What a user and a card host say to each other so that no relay can read or change it.

A machine without I/O: randomness, times and files are arguments. `docs/sealing.md` has every octet.

An *ask* is what a user says with `select_card`: a nonce, and what it can do.
The *terms* are all that both go by: what was asked, what the server said, the card, the host's key.
An *offer* is the card host's part of the terms, signed with the key of its certificate.
The *secret* is random, the user's, sealed to the one-time key of an offer; all keys come of it.
A *box* is one sealed message; its *kind* is the `msg_type` of what is in it.
A *proof* resumes a session; a *word* is what a card host says of a request that has no box.
"""
