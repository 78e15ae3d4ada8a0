# SPDX-License-Identifier: Apache-2.0
"""
The card client: every reader of a host, offered to a server.

`agent` keeps the connection and knows all readers, `slot_agent` serves one reader, `worker` is
the thread of its blocking calls, `blocking` is what runs there.
"""
