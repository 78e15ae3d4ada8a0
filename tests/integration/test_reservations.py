# SPDX-License-Identifier: Apache-2.0
"""Reservations by library and commands, at a server that is started again or cannot write."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.shared import TROUBLES, Kept, in_thread, is_up_to_date
from tests.support.tokens import now
from tests.support.world import World, running, uicc, until
from wsrc.card.slot import Pick
from wsrc.command_line.program import run
from wsrc.errors import ErrorCode, LocalProtocolError, RefusedError
from wsrc.protocol.messages import ReservationState
from wsrc.relay.effects import Book
from wsrc.relay.kept import Change
from wsrc.relay.reservations import Booking, digest_of, shown_of
from wsrc.server import state_keeper
from wsrc.server.state_store import FILE, StateStore

ONE, TWO = "8988211000000430010", "8988211000000430028"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("WSRC_", "XDG_"))]:
        monkeypatch.delenv(name)


def booking(number: int, **fields: object) -> Booking:
    given = {
        "digest": bytes([number]) * 32,
        "owner": "o",
        "holder": "ida",
        "identity": f"iccid {ONE}",
        "begins": 1.5,
        "ends": 2.5,
        **fields,
    }
    return Booking(number, **given)  # type: ignore[arg-type]  # fields by name


def test_what_is_kept_is_read_as_it_was_and_no_number_comes_again(kept: Kept) -> None:
    times = {"begins": now() + 60, "ends": now() + 120}
    first = booking(1, **times)
    second = booking(2, wish=(("tag", "kind=x"),), **times)
    store = kept.state()
    assert not store.book([Book(1, first), Book(0, first, drops=True), Book(2, second)])
    moved = booking(2, identity=f"iccid {TWO}", **times)
    assert not store.book([Book(0, moved)])
    assert store.bookings() == ((moved,), 2)
    assert not store.book([Book(0, moved, drops=True)])
    kept.close()
    assert kept.state().bookings() == ((), 2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_a_version_before_is_made_one_of_this(folder: Path, version: int) -> None:
    class Before(StateStore):
        VERSIONS = StateStore.VERSIONS[:version]

    with Before(folder) as store:
        kept = store.note({1: (f"iccid {ONE}", Change({"a": "1"}))})[1]
    known: tuple[Booking, ...] = ()
    if version == 2:
        row = (7, b"d", "o", "ida", f"iccid {ONE}", 1.5, 2.5, "null")
        with closing(sqlite3.connect(folder / FILE)) as database, database:
            database.execute("INSERT INTO reservation VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        known = (booking(7, digest=b"d"),)
    with StateStore(folder) as store:
        assert store.notes() == {f"iccid {ONE}": kept}
        assert store.bookings() == (known, 7 if known else 0)
        store.book([Book(1, booking(1, session=b"s"))])
        assert store.bookings()[0] == (booking(1, session=b"s"), *known)
    with closing(sqlite3.connect(folder / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(StateStore.VERSIONS),)


async def test_a_card_is_reserved_taken_by_its_token_and_given_up(
    certificates: Certificates, kept: Kept
) -> None:
    async with running(certificates, **kept.settings) as world:
        await world.host([uicc(ONE), uicc(TWO)])
        ida, bob = await world.user(), await world.user()
        made = await ida.reserve(3600, iccid=ONE)
        assert made.reservation.state is ReservationState.READY
        with pytest.raises(RefusedError, match="is reserved for another until") as refused:
            await bob.select(iccid=ONE)
        assert refused.value.code is ErrorCode.RESERVED
        async with ida.select(reservation=made.token) as card:
            assert card.info.identities.iccid == ONE
            assert (await card.transmit(bytes.fromhex("00A40004023F00"))).sw
            (shown,) = await bob.reservations()
            assert shown.state is ReservationState.TAKEN
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        other = await ida.reserve(60, begins=tomorrow, pick=Pick.ANY)
        assert other.reservation.any
        assert await ida.cancel_reservation(token=other.token) == other.reservation.number
        assert await bob.cancel_reservation(made.reservation.number)
        async with bob.select(iccid=ONE):
            assert await ida.reservations() == []
    files = [each for each in kept.folder.parent.rglob("*") if each.is_file()]
    assert all(made.token.encode() not in each.read_bytes() for each in files)


async def test_a_restart_keeps_the_card_for_the_token(
    certificates: Certificates, kept: Kept
) -> None:
    async with running(certificates, **kept.settings) as world:
        await world.host([uicc(ONE)])
        made = await (await world.user()).reserve(3600, iccid=ONE)
    async with running(certificates, **kept.settings) as world:
        user = await world.user()
        (away,) = await user.reservations()
        assert (away.number, away.state) == (made.reservation.number, ReservationState.AWAY)
        with pytest.raises(RefusedError, match="is not here now"):
            await user.select(reservation=made.token)
        await world.host([uicc(ONE)])
        with pytest.raises(RefusedError, match="reserved for another"):
            await user.select(iccid=ONE)
        async with user.select(reservation=made.token, wait_s=30) as card:
            assert card.info.identities.iccid == ONE


@pytest.mark.parametrize(("kept", "trouble"), TROUBLES, indirect=["kept"])
async def test_what_cannot_be_written_is_not_reserved_and_then_it_is(
    certificates: Certificates,
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Kept], AbstractContextManager[None]],
) -> None:
    monkeypatch.setattr(state_keeper, "LOCK_S", 0.1)
    async with running(certificates, **kept.settings) as world:
        await world.host([uicc(ONE)])
        user = await world.user()
        made = await user.reserve(60, iccid=ONE, begins=datetime.now(UTC) + timedelta(days=1))
        async with in_thread(trouble(kept)):
            with pytest.raises(RefusedError, match="could not write it") as refused:
                await user.reserve(60, iccid=ONE)
            assert refused.value.code is ErrorCode.NOT_KEPT
            with pytest.raises(RefusedError, match="could not write it"):
                await user.cancel_reservation(made.reservation.number)
        async with user.select(iccid=ONE):
            assert len(await user.reservations()) == 1
        await until(lambda: is_up_to_date(world.app))
        assert (await user.reserve(60, iccid=ONE)).token


async def test_wrong_arguments_are_said(certificates: Certificates, folder: Path) -> None:
    async with running(certificates, state_dir=folder) as world:
        user = await world.user()
        wrong = [
            user.reserve("2h", iccid=ONE),  # type: ignore[arg-type]
            user.reserve(1, begins=datetime(2026, 1, 1), iccid=ONE),  # noqa: DTZ001
            user.reserve(1, begins="now", iccid=ONE),  # type: ignore[arg-type]
            user.reserve(0, iccid=ONE),
            user.cancel_reservation(),
            user.cancel_reservation(1, token="x"),
            user.cancel_reservation("1"),  # type: ignore[arg-type]
        ]
        for each in wrong:
            with pytest.raises(LocalProtocolError):
                await each


async def wsrc(world: World, *arguments: str) -> int:
    options = ["--server-url", world.user_url, "--tls-ca", str(world.ca)]
    return await asyncio.to_thread(run, [*options, *arguments])


@pytest.mark.usefixtures("_home")
async def test_the_commands_reserve_reservations_and_cancel(
    certificates: Certificates,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apdu = "00A40004023F00"
    async with running(certificates, state_dir=folder) as world:
        await world.host([uicc(ONE)])
        assert await wsrc(world, "reservations") == 0
        assert "No card is reserved." in capsys.readouterr().err
        assert await wsrc(world, "reserve", "--iccid", ONE, "--for", "2h") == 0
        said = capsys.readouterr()
        token = said.out.strip()
        number = shown_of(digest_of(token))
        assert f"Reservation {number}: iccid" in said.err
        assert await wsrc(world, "apdu", "--iccid", ONE, apdu) == 3
        assert "is reserved for another until" in capsys.readouterr().err
        assert await wsrc(world, "apdu", "--reservation", token, apdu) == 0
        monkeypatch.setenv("WSRC_RESERVATION", token)
        assert await wsrc(world, "read", "iccid") == 0
        monkeypatch.delenv("WSRC_RESERVATION")
        assert ONE[:-1] in capsys.readouterr().out
        assert await wsrc(world, "reserve", "--any", "--for", "1m") == 3
        assert "All 1 cards" in capsys.readouterr().err
        assert await wsrc(world, "reserve", "--any", "--for", "1m", "--at", "2001-01-01") == 2
        assert "begins in the past" in capsys.readouterr().err
        assert await wsrc(world, "reservations", "--json") == 0
        (shown,) = json.loads(capsys.readouterr().out)["reservations"]
        assert (shown["number"], shown["state"], shown["host"]) == (number, "ready", "bench")
        assert await wsrc(world, "reservations") == 0
        assert "ready" in capsys.readouterr().out
        assert await wsrc(world, "cancel", "7") == 3
        assert await wsrc(world, "cancel", "--reservation", token, "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"cancelled": number}
        for wrong in (("cancel",), ("cancel", "1", "--reservation", "x"), ("reserve", "--any"),
                      ("reserve", "--any", "--for", "1m", "--at", "soon"),
                      ("reserve", "--for", "1m")):  # fmt: skip
            assert await wsrc(world, *wrong) == 2
