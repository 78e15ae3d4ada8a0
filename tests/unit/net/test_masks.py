# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.masks: a reader of aiohttp is not fed a frame that is masked wrongly, or more."""

from tests.support.raw_peer import framed
from wsrc.net.masks import Checked


class Reader:
    """Notes what it is fed."""

    def __init__(self, *, broken: bool = False) -> None:
        self.fed = b""
        self.ended = False
        self.wrong: list[BaseException] = []
        self._broken = broken

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.fed += data
        return self._broken, b""

    def feed_eof(self) -> None:
        self.ended = True

    def set_exception(self, exc: BaseException) -> None:
        self.wrong.append(exc)


def test_e32_what_comes_before_a_wrong_frame_is_read_and_nothing_after_it() -> None:
    reader = Reader()
    checked = Checked(reader, reader)
    good, wrong = framed(5, masked=False), framed(5, masked=True)
    assert checked.feed_data(good) == (False, b"")
    assert checked.feed_data(good + wrong) == (True, b"")
    assert reader.fed == good * 2
    assert [str(exc) for exc in reader.wrong] == ["A server does not mask its frames."]
    assert checked.feed_data(good) == (True, good)
    checked.feed_eof()
    assert reader.ended
    assert reader.fed == good * 2


def test_e32_what_is_wrong_before_is_what_is_told() -> None:
    reader = Reader(broken=True)
    checked = Checked(reader, reader)
    assert checked.feed_data(framed(5, masked=True)) == (True, b"")
    assert reader.wrong == []
