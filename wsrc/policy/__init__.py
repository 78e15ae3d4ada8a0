# SPDX-License-Identifier: Apache-2.0
"""
Who may use which card: what a server's policy says, by the facts of a card and the name of a peer.

A *verb* is one thing that a user may be allowed to do with a card, a *fact* one thing that is known
of a card. A *grant* gives verbs on some cards to some users; what no grant gives is denied. A
*host rule* says which cards a card host may announce, and an *expectation* what the policy must
say for it to be taken.
"""
