# SPDX-License-Identifier: Apache-2.0
"""A card of a server that is ours, as the programs in front of it speak to it: in TPDUs."""

import asyncio
from collections.abc import Callable

from wsrc.bridges.remote.shelf import Place
from wsrc.card.atr import read_atr
from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST
from wsrc.card.slot import CardProtocol, ResetKind
from wsrc.errors import WsrcError
from wsrc.user_client.aio import Card
from wsrc.user_client.core.look_ahead import GET_RESPONSE, LookAhead


class RemoteSession:
    """
    A card of a server that is ours.

    Args:
        card: The card.
        place: Where it is.
        over: Told why it is not ours any more.
        whole_only: Whether TPDUs are asked for, of a host that has whole commands only.
    """

    def __init__(
        self,
        card: Card,
        place: Place,
        over: Callable[[WsrcError], None],
        *,
        whole_only: bool = False,
    ) -> None:
        self._card = card
        self.place = place
        """The reader that it is in."""
        self._over = over
        self._whole_only = whole_only
        self._fetched = LookAhead()
        self._corrected: tuple[bytes, bytes] | None = None
        """A command with the Le that a card of T=0 has for it, and the answer to that."""

    @property
    def atr(self) -> bytes:
        """ATR of the latest reset."""
        return self._card.atr

    @property
    def protocol(self) -> CardProtocol | None:
        """Protocol in force."""
        return self._card.protocol

    async def transmit(self, octets: bytes) -> bytes:
        """
        Send a TPDU (T=0) or an APDU (T=1) and return what the card answers.

        A host that has whole commands only may have fetched a response that was not asked for yet:
        it is announced by 61xx, and given to the GET RESPONSE that follows. It may have corrected
        Le: 6Cxx says so, and the command with that Le is given what came.
        """
        if not self._whole_only:
            return (await self._card.transmit(octets)).encode()
        corrected, self._corrected = self._corrected, None
        if corrected is not None and corrected[0] == octets:
            return corrected[1]
        known = self._fetched.answer(octets)
        if known is not None:
            return known
        answer = await self._card.transmit(octets)
        right = len(answer.data)
        if self._is_t0 and right and right < _asked_for(octets):
            self._corrected = (octets[:4] + bytes((right,)), answer.encode())
            return bytes((0x6C, right))
        asks_for_none = len(octets) > 5 and len(octets) == 5 + octets[4]
        if not answer.data or not asks_for_none:
            return answer.encode()
        self._fetched.put(octets[0], answer.data, answer.sw)
        return bytes((0x61, min(len(answer.data), 256) & 0xFF))

    async def reset(self, kind: ResetKind) -> bytes:
        """Reset the card and return its ATR."""
        self._fetched.drop()
        self._corrected = None
        return await self._card.reset(kind)

    @property
    def _is_t0(self) -> bool:
        """Whether an answer has as many octets as P3 says (ISO/IEC 7816-3 clause 10.3.2)."""
        if self.protocol is not None:
            return self.protocol is CardProtocol.T0
        facts = read_atr(self.atr)
        return facts is not None and "T=1" not in facts.protocols

    async def control(self, number: int, octets: bytes) -> bytes:
        """Send a control code to the reader itself; what is known of it is not asked for."""
        if number == GET_FEATURE_REQUEST and not octets and self._card.features is not None:
            return self._card.features
        return await self._card.control(number, octets)

    async def get_attribute(self, name: str) -> bytes:
        """Return an attribute of the reader."""
        return await self._card.get_attribute(name)

    async def set_attribute(self, name: str, value: bytes) -> None:
        """Set an attribute of the reader."""
        await self._card.set_attribute(name, value)

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Call `tell` when the card stops being ours."""

        def over(why: WsrcError) -> None:
            self._over(why)
            tell(why)

        self._card.when_over(over)

    async def close(self) -> None:
        """Give the card back; whatever is asked next comes after that."""
        try:
            await self._card.detach(wait=False)
        except WsrcError:
            return  # it is not ours in any case
        finally:
            self.place.release(self._card)
            self.place.given_back = asyncio.get_running_loop().time()


def _asked_for(tpdu: bytes) -> int:
    """Return how many octets a TPDU asks for; 0 for GET RESPONSE with P3 00: those announced."""
    if len(tpdu) != 5 or (tpdu[1] == GET_RESPONSE and not tpdu[4]):
        return 0
    return tpdu[4] or 256
