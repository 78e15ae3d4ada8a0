# SPDX-License-Identifier: Apache-2.0
"""
What the server does with a message: a machine without I/O.

Its words:

peer       whoever is at the other end of a connection: a user client or a card client.
run        one start of a peer's program, known by its `instance`; connections come and go in it.
slot       a reader of a card client, with what is known of it and of the card in it.
key        a name under which the card in a slot is found: an ICCID, EID, ATR, reader or label.
place      a reader under its id or name, whether or not there is a card in it.
lease      a card that is a user's, or is on its way to one or back; `session` is its name.
holder     a user whose lease has the card or is about to; a card that is shared has several.
waiter     a `select_card` that is not answered yet, for its card is not free or not there.
ticket     the place of a waiter among all: since when, and then in which order they came.
rival      another waiter for a card of the same name.
offer      to give a card that may be free to those who wait for it, the first come first.
settling   of a card: it is being reset or identified, and free in a moment.
in flight  of a request: a card client has it and has not answered.
ending     a lease that is over for its user, while its card client resets the card for the next.
kept       a lease whose user is out of reach, and may come back for it.
lost       a lease whose card client is out of reach, and may bring it back.
claim      a `resume`: its card client is asked whose the session is, or has to connect first.
sign       what a card client is known by to a claim that waits: a session, or a host and a reader.
principal  who a peer is, where the server knows.
audience   users for whom the same rules of the policy are, and who so see the same readers.
facts      what a policy looks at of a reader and the card in it.
withheld   of a reader: its card client may not announce it, so that nobody sees it.
adopt      to make leases of the sessions that a card client kept while it had no server.
gone       a run that said goodbye, and wants nothing kept.
effect     what the shell is to do: send, close, tell the operator.

To read it: `records` (what is remembered, and what can become of a lease), `effects`, `machine`
(events in, effects out), then what peers ask and report, `users` and `card_clients`. What they
do is in `queue` (who gets a card), `leases`, `endings`, `sharing` and `resuming`, all by the moves
of `state`. What a user may do is said by `rights` and remembered by `audience`; `judging` asks
again when a card is another, `policies` when the policy is. `audiences` has the readers of each
audience. `index`, `names`, `waiting`, `claims`, `timers`, `readers` and `ring` only find and keep
things.
`first_form` stands beside all: it makes peers of the first form look like any other.
"""
