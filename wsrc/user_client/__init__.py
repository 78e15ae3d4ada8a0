# SPDX-License-Identifier: Apache-2.0
"""
The user's side: `aio` and `blocking` for programs, `cli` for people.

`requests` numbers requests and knows what a lost one means; `connection` carries them;
`watching` makes one stream of what happens to the cards.
"""
