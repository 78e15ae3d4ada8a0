# SPDX-License-Identifier: Apache-2.0
"""
The card client: every reader of a host, offered to a server.

`agent` keeps the connection and knows all readers. `slot_agent` serves one reader:
`identification` is who its card is, `attachment` is the card in the hands of a session, `taking`
is how it gets there, `turns` is whose turn it is where several share it, `worker` is the thread of
the blocking calls, and `blocking` and `verbs` are what runs there.
"""
