# SPDX-License-Identifier: Apache-2.0
"""The handshake that turns a request into a WebSocket (RFC 6455 section 4.2)."""

from aiohttp import hdrs, web

from wsrc.net.handshake import SWITCHING, accept_of
from wsrc.protocol.conversation import SUBPROTOCOL


def accepted(request: web.Request) -> web.StreamResponse:
    """
    Return the answer to a request for a WebSocket: status 101, or what is wrong with it.

    No extension is agreed on, and our subprotocol where it is offered.
    """
    ready = web.WebSocketResponse(protocols=(SUBPROTOCOL,)).can_prepare(request)
    if not ready.ok:
        text = "Handshake error: Connection or Sec-WebSocket-Key is not as RFC 6455 has it.\n"
        return web.Response(status=400, text=text)
    headers = {
        hdrs.UPGRADE: "websocket",
        hdrs.CONNECTION: "Upgrade",
        hdrs.SEC_WEBSOCKET_ACCEPT: accept_of(request.headers[hdrs.SEC_WEBSOCKET_KEY]),
    }
    if ready.protocol is not None:
        headers[hdrs.SEC_WEBSOCKET_PROTOCOL] = ready.protocol
    answer = web.StreamResponse(status=SWITCHING, headers=headers)
    answer.force_close()  # what serves HTTP ends here; its next request never comes
    return answer
