# SPDX-License-Identifier: Apache-2.0
"""
Card hosts whose keys were seen before, where there is no CA: trust on first use, as ssh has it.

The file has a line for each: server, name of the card host, fingerprint, with a space between them;
`%20` stands for a space within, `%25` for a percent sign. A line that is empty or begins with `#`
says nothing. The last line of a card host counts.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from urllib.parse import quote, unquote

from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.signing import fingerprint
from wsrc.sealing.trust import Signer, certificates


class KnownHosts:
    """
    Believes a key that was seen before, and one of a card host that was never seen.

    Args:
        text: What the file has.
        server: Address of the server; what hosts of other servers are called does not count.
        path: What sentences call the file.

    Raises:
        ValueError: If a line is none.
    """

    def __init__(self, text: str, server: str, path: str) -> None:
        self._server = server
        self._path = path
        self._known: dict[str, tuple[int, str]] = {}
        lines = text.splitlines()
        self._lines = len(lines)
        for at, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                self._read(at, line)

    def _read(self, at: int, line: str) -> None:
        try:
            server, host, key = line.split()
        except ValueError:
            raise ValueError(
                f"line {at} of {self._path} is not a server, a card host and a fingerprint"
            ) from None
        if not key.startswith("SHA256:"):
            raise ValueError(f"line {at} of {self._path} has no fingerprint SHA256:…")
        if unquote(server) == self._server:
            self._known[unquote(host)] = at, key

    def __iter__(self) -> Iterator[str]:
        """Yield the names of card hosts that have sealed before, so that they are to seal again."""
        yield from self._known

    def check(self, host: str, chain: Sequence[bytes], now: datetime) -> Signer:
        """
        Return whose signature it would be; what a certificate says is not looked at.

        Raises:
            SealError: If the card host had another key before.
        """
        try:
            leaf = certificates(chain)[0]
            found = fingerprint(leaf)
        except ValueError as exc:
            raise SealError(
                Fault.HOST, f"The certificate of card host {host} is not good: {exc}."
            ) from exc
        at, known = self._known.get(host, (0, found))
        if known != found:
            why = (
                f"Card host {host} has the key {found}, and had {known} when it was first used: "
                "somebody may be posing as it, or another card host has its name. If its key was "
                f"changed on purpose, delete line {at} of {self._path}."
            )
            raise SealError(Fault.HOST_CHANGED, why)
        return Signer("", found, leaf, first_use=at == 0)

    def line(self, host: str, signer: Signer) -> str:
        """Remember the key of a card host; return the line to append to the file."""
        self._lines += 1
        self._known[host] = self._lines, signer.fingerprint
        return f"{_word(self._server)} {_word(host)} {signer.fingerprint}\n"


def _word(text: str) -> str:
    return quote(text, safe=_SAFE)


_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%#")
