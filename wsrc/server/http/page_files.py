# SPDX-License-Identifier: Apache-2.0
"""The page: files of the program, read once, which say what a browser may do with them."""

from collections.abc import Mapping
from hashlib import sha256
from importlib import resources
from typing import Final, NamedTuple

from aiohttp import web

POLICY: Final = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip
"""The Content-Security-Policy of the page: nothing from elsewhere, no text that becomes code."""

INDEX: Final = "index.html"

_TYPES: Final[Mapping[str, str]] = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


class _File(NamedTuple):
    octets: bytes
    kind: str
    tag: str


class PageFiles:
    """All files of the page, in memory."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        for each in resources.files("wsrc.server.http").joinpath("page").iterdir():
            kind = _TYPES.get(each.name.rpartition(".")[2])
            if kind is not None:
                octets = each.read_bytes()
                self._files[each.name] = _File(octets, kind, sha256(octets).hexdigest()[:32])

    @property
    def names(self) -> frozenset[str]:
        """Names of the files."""
        return frozenset(self._files)

    async def index(self, request: web.Request) -> web.Response:
        """Answer with the page itself."""
        return self._answer(request, INDEX)

    async def file(self, request: web.Request) -> web.Response:
        """Answer with one of its files."""
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            raise web.HTTPNotFound
        headers = {
            "Content-Security-Policy": POLICY,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
            "Cache-Control": "no-cache",
            "Vary": "Accept",
            "ETag": f'"{found.tag}"',
        }
        known = request.if_none_match or ()
        if any(each.value == found.tag for each in known):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=found.octets, content_type=found.kind, charset="utf-8", headers=headers
        )
