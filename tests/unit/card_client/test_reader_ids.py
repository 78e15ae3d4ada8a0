# SPDX-License-Identifier: Apache-2.0
"""Ids of readers are a function of what is plugged in where, not of who answers first."""

import itertools

import pytest

from tests.support.card_bench import attach, benched
from wsrc.card_client.reader_ids import ReaderIds
from wsrc.protocol import messages as m

A, B, C = (0, "Model 00 00"), (0, "Model 01 00"), (0, "Other 02 00")


def ids(*readers: tuple[tuple[int, str], str, str]) -> dict[str, str]:
    known = ReaderIds("bench")
    for key, stable, position in readers:
        known.enter(key, key[1], stable, position)
    return {key[1]: reader for key, reader in known.all()}


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        ([(A, "S1", "usb 1-1"), (B, "S2", "usb 1-2")], {A: "S1", B: "S2"}),
        (
            [(A, "usb 1-1", "usb 1-1"), (B, "usb 1-1 slot 1", "usb 1-1")],
            {A: "usb 1-1@bench", B: "usb 1-1 slot 1@bench"},
        ),
        ([(A, A[1], ""), (B, B[1], "")], {A: "Model 00 00@bench", B: "Model 01 00@bench"}),
        (
            [(A, "S", "usb 1-1"), (B, "S", "usb 1-2"), (C, "S3", "")],
            {A: "S/usb 1-1@bench", B: "S/usb 1-2@bench", C: "S3"},
        ),
        ([(A, "S", ""), (B, "S", "")], {A: "S/Model 00 00@bench", B: "S/Model 01 00@bench"}),
        ([(A, "S", "usb 1-1"), (B, "S", "")], {A: "S/usb 1-1@bench", B: "S/Model 01 00@bench"}),
        (
            [(A, "S", "usb 1-1"), (B, "S", "usb 1-1")],
            {A: "S/Model 00 00@bench", B: "S/Model 01 00@bench"},
        ),
    ],
)
def test_a1_ids_are_the_same_in_whatever_order_readers_answer(
    readers: list[tuple[tuple[int, str], str, str]], expected: dict[tuple[int, str], str]
) -> None:
    for order in itertools.permutations(readers):
        assert ids(*order) == {key[1]: reader for key, reader in expected.items()}


def test_a1_a_number_that_two_had_is_the_id_of_neither_when_one_is_unplugged() -> None:
    known = ReaderIds("bench")
    known.enter(A, A[1], "S", "usb 1-1")
    assert known.id_of(A) == "S"
    known.enter(B, B[1], "S", "usb 1-2")
    known.strike(A)
    assert known.id_of(B) == "S/usb 1-2@bench"
    known.enter(A, A[1], "S", "usb 1-1")
    assert known.id_of(A) == "S/usb 1-1@bench"


def test_a1_readers_of_two_sources_that_have_one_name_are_told_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = "Model 00 00"
    for order in itertools.permutations([(0, name), (1, name)]):
        caplog.clear()
        known = ReaderIds("bench")
        for key in order:
            known.enter(key, name, name, "")
        assert dict(known.all()) == {(n, name): f"Model 00 00/{n}@bench" for n in (0, 1)}
        known.strike((0, name))
        assert known.id_of((1, name)) == "Model 00 00/1@bench"
        assert caplog.messages == [
            "Two readers are called Model 00 00: by name they are Model 00 00/0 and Model 00 00/1"
        ]


def test_a1_one_name_and_one_number_in_two_sources_are_two_ids() -> None:
    known = ReaderIds("bench")
    for number in (0, 1):
        known.enter((number, "Model 00 00"), "Model 00 00", "S", "")
    assert [each for _, each in known.all()] == [
        "S/Model 00 00/0@bench",
        "S/Model 00 00/1@bench",
    ]


def test_a1_the_operator_is_told_once_and_what_is_not_sure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids((A, "S", "usb 1-1"), (B, "S", "usb 1-2"), (C, "S", "usb 1-3"))
    assert len(caplog.messages) == 1
    assert "neither is S: they are called S/usb 1-1@bench and S/usb 1-2@bench" in caplog.text
    assert "can change" not in caplog.text
    caplog.clear()
    ids((A, "S", ""), (B, "S", ""))
    assert "which is which can change" in caplog.text


def test_a1_a_reader_that_could_not_be_asked_at_first_gets_its_number_later() -> None:
    known = ReaderIds("bench")
    known.enter(A, A[1], A[1], "")
    assert known.id_of(A) == "Model 00 00@bench"
    known.enter(A, A[1], "S", "")
    assert known.id_of(A) == "S"


async def test_a1_a_reader_keeps_its_id_for_as_long_as_a_session_knows_it_by_that() -> None:
    async with benched() as bench:
        await bench.ask(attach("s1"), m.AttachAck)
        bench.agent.rename("other")
        await bench.settled()
        assert bench.agent.info.reader == "id"
        bench.agent.request(m.Detach(session="s1"))
        await bench.hear(m.DetachAck)
        assert (await bench.hear(m.ReaderGone)).reader == "id"
        assert (await bench.hear(m.ReaderReport)).reader.reader == "other"
