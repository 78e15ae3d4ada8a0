# SPDX-License-Identifier: Apache-2.0
"""
What nobody may do to a card: a machine without I/O that sees every command before the card does.

A *presentation* is a command that gives the card a PIN or a key to compare, and so may take one
of its tries: VERIFY, CHANGE REFERENCE DATA, ENABLE and DISABLE VERIFICATION REQUIREMENT, RESET
RETRY COUNTER, EXTERNAL and MUTUAL AUTHENTICATE, GENERAL AUTHENTICATE (ISO/IEC 7816-4 clause 7.5).
A *question* is VERIFY or RESET RETRY COUNTER without data, which takes none (ETSI TS 102 221
clauses 11.1.9 and 11.1.13).
A *reading* is one of the commands that some reader or card may take octets for; what is refused
in one reading is refused.
A *part* is a command whose data are to be continued: by command chaining, by blocks of STORE DATA,
by ENVELOPE.
"""
