# SPDX-License-Identifier: Apache-2.0
"""Exclusive use and transactions whose card is taken out, on pcscd and on our socket."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.pcsc import sides
from tests.support.pcsc.bench import require
from tests.support.pcsc.programs.wire_client import SUCCESS, Line
from tests.support.pcsc.sides import Side
from wsrc.readers.simulation import default_cards

pytestmark = pytest.mark.pcscd

EXCLUSIVE, SHARED, DIRECT = 1, 2, 3
LEAVE, RESET = 0, 1

Part = Callable[[Side, Line, Line], list[int]]


@pytest.fixture(scope="module")
def real() -> Iterator[Side]:
    require()
    with sides.real(default_cards()[:1]) as side:
        yield side


@pytest.fixture(scope="module")
def ours() -> Iterator[Side]:
    with sides.local(default_cards()[:1]) as side:
        yield side


def connect(line: Line, share: int = SHARED) -> tuple[int, int]:
    """Return code and handle."""
    protocols = 0 if share == DIRECT else 3
    code, card, _ = line.connect(line.readers()[0].name, share, protocols)
    return code, card


def reconnect(line: Line, card: int, share: int = SHARED, how: int = LEAVE) -> int:
    return line.ask(0x05, "=iIIIII", card, share, 3, how, 0, 0)[5]


def out_and_in(side: Side) -> None:
    side.remove()
    side.insert()


def given_up_when_the_card_is_back(side: Side, one: Line, two: Line) -> list[int]:
    code, card = connect(one, EXCLUSIVE)
    out_and_in(side)
    codes = [code, one.status(card), reconnect(one, card), one.status(card), one.end(card)]
    code, other = connect(two)
    return [*codes, code, two.begin(other), two.end(other), one.status(card)]


def given_up_for_direct_use(side: Side, one: Line, two: Line) -> list[int]:
    code, card = connect(one, EXCLUSIVE)
    begun = one.begin(card)
    out_and_in(side)
    codes = [code, begun, one.begin(card), one.end(card), reconnect(one, card, DIRECT)]
    code, other = connect(two)
    return [*codes, code, two.begin(other), one.status(card), two.end(other), one.status(card)]


def kept_when_the_card_is_back(side: Side, one: Line, two: Line) -> list[int]:
    _, card = connect(one, EXCLUSIVE)
    side.remove()
    codes = [connect(two, share)[0] for share in (EXCLUSIVE, DIRECT)]
    side.insert()
    codes += [reconnect(one, card, EXCLUSIVE), one.status(card), one.end(card), one.begin(card)]
    codes += [connect(two)[0], connect(one)[0], connect(one, EXCLUSIVE)[0]]
    codes += [one.disconnect(card)]
    return [*codes, connect(two, EXCLUSIVE)[0]]


def transaction_after_it_was_given_up(side: Side, one: Line, two: Line) -> list[int]:
    _, card = connect(one, EXCLUSIVE)
    out_and_in(side)
    codes = [reconnect(one, card, EXCLUSIVE), one.begin(card), reconnect(one, card), one.end(card)]
    code, other = connect(two)
    return [*codes, one.end(card), code, two.begin(other), one.status(card), two.end(other)]


def ended_while_the_card_was_out(side: Side, one: Line, two: Line) -> list[int]:
    _, card = connect(one, EXCLUSIVE)
    side.remove()
    ended = one.disconnect(card, RESET)
    side.insert()
    return [ended, connect(two, EXCLUSIVE)[0]]


def transactions_of_shared_use(side: Side, one: Line, two: Line) -> list[int]:
    (_, mine), (_, other) = connect(one), connect(two)
    codes = [one.begin(mine), one.begin(mine), two.status(other)]
    out_and_in(side)
    codes += [two.status(other), one.end(mine), reconnect(two, other), two.begin(other)]
    codes += [one.end(mine), two.end(other), one.end(mine), reconnect(one, mine), one.end(mine)]
    return [*codes, one.begin(mine), two.status(other), one.end(mine), two.status(other)]


def reset_within_its_own_transaction(side: Side, one: Line, two: Line) -> list[int]:
    del side
    (_, mine), (_, other) = connect(one), connect(two)
    codes = [one.begin(mine), one.begin(mine), one.end(mine, RESET), one.end(mine)]
    codes += [reconnect(one, mine), two.status(other), one.end(mine), one.end(mine)]
    return [*codes, two.status(other)]


@pytest.mark.parametrize(
    "part",
    [
        given_up_when_the_card_is_back,
        given_up_for_direct_use,
        kept_when_the_card_is_back,
        transaction_after_it_was_given_up,
        ended_while_the_card_was_out,
        transactions_of_shared_use,
        reset_within_its_own_transaction,
    ],
    ids=lambda part: part.__name__,
)
def test_codes_are_those_of_pcscd(real: Side, ours: Side, part: Part) -> None:
    codes: list[list[str]] = []
    for side in (real, ours):
        with Line(side.socket_path).establish() as one, Line(side.socket_path).establish() as two:
            codes.append([f"{code:#x}" for code in part(side, one, two)])
            assert one.release() == two.release() == SUCCESS
    assert codes[1] == codes[0]
