# SPDX-License-Identifier: Apache-2.0
"""Which commands carry a secret, and which are answered with one (issue 13, 4)."""

import pytest

from wsrc.guard.commands import read
from wsrc.guard.secrets import in_command, in_response

PIN = "0831323334ffffffff"


def seen(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


@pytest.mark.parametrize(
    "command",
    [
        *(f"{cla} {ins} 00 01 {PIN}" for cla in ("00", "01", "4a", "80", "a0", "0c", "10")
          for ins in ("20", "21", "24", "26", "28", "2c", "82", "86")),
        "00 20 00 01 00 0008 31323334ffffffff",
        "00 20 00 01 31 32 33 34",
        "ff 82 00 00 06 ffffffffffff",
        "ff 00 00 00 0d 0020000108 31323334ffffffff",
        "80 d8 01 81 05 0102030405",
        "00 da 3f ff 03 010203",
        "00 db 3f ff 03 010203",
        f"00 c2 00 00 0d 00200001{PIN}",
        f"80 c2 00 00 0d 00200001{PIN}",
        "80 e2 80 00 05 8003112233",
        "80 e2 91 00 05 bf2102a000",
        "00 d6 85 00 09 0102030405060708 09",
    ],
)  # fmt: skip
def test_13_what_may_be_a_pin_or_a_key_is_known(command: str) -> None:
    assert in_command(read(seen(command)))


@pytest.mark.parametrize(
    "command",
    [
        "00 20 00 01", "00 20 00 01 00", "00 a4 00 04 02 3f00", "00 b0 00 00 00",
        "80 e2 91 00 03 bf2d00", "80 c2 00 00 04 d1028201", "ff ca 00 00 00", "00 88 00 81 01 00",
    ],
)  # fmt: skip
def test_13_what_carries_nothing_secret_is_shown(command: str) -> None:
    assert not in_command(read(seen(command)))


@pytest.mark.parametrize(
    "command",
    ["00 88 00 81 22 00", "00 89 00 81 22 00", "a0 88 00 00 10 00", "02 88 00 80 10 00",
     "00 2a 80 86 02 0102", "00 b0 88 00 21", "ff 00 00 00 05 00b0000000"],
)  # fmt: skip
def test_13_what_is_answered_with_a_key_is_known(command: str) -> None:
    assert in_response(read(seen(command)))


@pytest.mark.parametrize("ins", ["b0", "b2", "d6", "dc"])
def test_13_files_of_keys_are_known_by_what_was_selected(ins: str) -> None:
    command = read(seen(f"00 {ins} 00 00 02 0102"))
    file = bytes.fromhex("6f08")
    assert in_command(command, file=file) or in_response(command, file=file)
    assert not in_command(command, file=b"\x2f\xe2")
    assert not in_response(command, file=b"\x2f\xe2")
