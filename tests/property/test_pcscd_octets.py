# SPDX-License-Identifier: Apache-2.0
"""Octets from programs that use PC/SC, cut anywhere and of any kind."""

from hypothesis import given, strategies as st

from tests.support.pcscd_octets import REQUESTS
from wsrc.bridges.pcscd.requests import RequestError
from wsrc.bridges.pcscd.wire import Reading


@given(st.data())
def test_requests_are_the_same_however_they_are_cut(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(REQUESTS), max_size=8))
    octets = b"".join(each for each, _ in chosen)
    reading, found = Reading(), []
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        reading.feed(octets[:size])
        octets = octets[size:]
        while (request := reading.next()) is not None:
            found.append(request)
    assert found == [request for _, request in chosen]


@given(st.binary(max_size=400))
def test_any_octets_are_requests_or_refused(octets: bytes) -> None:
    reading = Reading()
    reading.feed(octets)
    try:
        while reading.next() is not None:
            pass
    except RequestError:
        return
    assert reading.unread <= len(octets)
