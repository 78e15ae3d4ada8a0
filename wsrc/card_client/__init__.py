# SPDX-License-Identifier: Apache-2.0
"""
The card client: every reader of a host, offered to a server.

`agent` keeps the connection and knows all readers. `slot_agent` serves one reader:
`identification` is who its card is, `attachment` is the card in the hands of a session, `worker`
is the thread of its blocking calls, and `blocking` is what runs there.
"""
