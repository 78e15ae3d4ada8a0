# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.state_*: what users noted is there after a restart, and what keeps it from that."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.shared import TROUBLES, Kept as Keeper, in_thread, is_up_to_date
from tests.support.state_file import raw
from tests.support.world import World, running, uicc, until
from wsrc.card.slot import Pick
from wsrc.command_line.program import run
from wsrc.errors import ConfigError, ErrorCode, LocalProtocolError, RefusedError, WsrcError
from wsrc.relay.kept import Change, Kept
from wsrc.server import state_keeper
from wsrc.server.state_store import FILE, StateStore
from wsrc.settings.clients import TagTable
from wsrc.user_client.aio import Client, Selecting

ONE, TWO = "8988211000000430010", "8988211000000430028"
NAME = f"iccid {ONE}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_changes_are_made_in_their_order_and_all_at_once(kept: Keeper) -> None:
    store = kept.state()
    many = {f"k{n}": "v" for n in range(32)}
    done = store.note(
        {
            1: (NAME, Change({"a": "1"}, comment="x")),
            2: (NAME, Change({"b": "2"}, ("a",))),
            3: ("other", Change(many)),
            4: ("other", Change({"more": "1"})),
            5: ("gone", Change({"a": "1"})),
            6: ("gone", Change(unset=("a",))),
        }
    )
    assert done[2] == Kept({"b": "2"}, "x")
    assert done[4] == "A card has at most 32 tags from users, not 33."
    noted = {NAME: Kept({"b": "2"}, "x"), "other": Kept(many)}
    assert store.notes() == noted
    kept.close()
    assert kept.state("b").notes() == noted


def test_nobody_else_can_read_the_file(folder: Path) -> None:
    with StateStore(folder):
        pass
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600


def test_a_file_of_a_later_version_is_refused_at_the_start_and_left_alone(
    folder: Path, certificates: Certificates
) -> None:
    with StateStore(folder) as store:
        store.note({1: (NAME, Change({"a": "1"}))})
    with raw(folder) as database:
        database.execute(f"PRAGMA user_version = {len(StateStore.VERSIONS) + 1}")
    before = (folder / FILE).read_bytes()

    async def start() -> None:
        async with running(certificates, state_dir=folder):
            pytest.fail("It started.")

    with pytest.raises(ConfigError, match="made by a later version of wsrc-server"):
        asyncio.run(start())
    assert (folder / FILE).read_bytes() == before


@pytest.mark.parametrize("octets", [b"# a text\n" * 1000, b""])
def test_a_file_that_is_none_of_ours_is_refused(folder: Path, octets: bytes) -> None:
    folder.mkdir(mode=0o700)
    (folder / FILE).write_bytes(octets)
    if octets:
        with pytest.raises(ConfigError, match="is damaged, or is no file of what a server keeps"):
            StateStore(folder)
    else:
        with StateStore(folder) as store:
            assert store.notes() == {}


@pytest.mark.parametrize(("kept", "trouble"), TROUBLES, indirect=["kept"])
async def test_what_cannot_be_written_is_said_and_changes_nothing_and_then_it_can(
    certificates: Certificates,
    kept: Keeper,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Keeper], AbstractContextManager[None]],
) -> None:
    monkeypatch.setattr(state_keeper, "LOCK_S", 0.1)
    async with running(certificates, **kept.settings) as world:
        await world.host([uicc(ONE)])
        user = await world.user()
        await user.set_tags({"kind": "before"}, iccid=ONE)
        async with in_thread(trouble(kept)):
            with pytest.raises(RefusedError, match="could not write it") as refused:
                await user.set_tags({"kind": "after"}, iccid=ONE)
            assert str(kept.folder) not in str(refused.value)
            assert refused.value.code is ErrorCode.NOT_KEPT
            (card,) = await user.list_cards(tags={"kind": "before"})
            assert card.identities.iccid == ONE
            async with user.select(iccid=ONE) as taken:
                response = await taken.transmit(bytes.fromhex("00A40004023F00"))
                assert response.sw >> 8 in {0x90, 0x61}
        await until(lambda: is_up_to_date(world.app))
        view = await user.set_tags({"kind": "after"}, iccid=ONE)
        assert (view.tags or {})["kind"] == "after"


async def test_a_state_that_may_only_be_read_is_read(
    certificates: Certificates, folder: Path
) -> None:
    with StateStore(folder) as store:
        store.note({1: (NAME, Change({"kind": "kept"}))})
    async with running(certificates, state_dir=folder) as world:
        await world.host([uicc(ONE)])
        keeper = world.app._state
        assert keeper is not None
        await keeper._do(lambda: keeper._opened()._database.execute("PRAGMA query_only = 1"))  # type: ignore[union-attr]
        user = await world.user()
        assert len(await user.list_cards(tags={"kind": "kept"})) == 1
        with pytest.raises(RefusedError, match="could not write it"):
            await user.set_comment("x", iccid=ONE)


async def test_what_was_noted_is_there_after_a_restart(
    certificates: Certificates, kept: Keeper
) -> None:
    async with running(certificates, **kept.settings) as world:
        assert not (kept.folder / FILE).exists()
        await world.host([uicc(ONE), uicc(TWO)])
        user = await world.user()
        async with asyncio.TaskGroup() as tasks:
            for n in range(20):
                tasks.create_task(user.set_tags({f"k{n}": str(n)}, iccid=ONE))
            tasks.create_task(user.set_comment("in the drawer", iccid=TWO))
    async with running(certificates, **kept.settings) as world:
        await world.host([uicc(ONE), uicc(TWO)], name="elsewhere")
        user = await world.user()
        (card,) = await user.list_cards(tags={f"k{n}": str(n) for n in range(8)})
        assert card.identities.iccid == ONE
        assert {f"k{n}": str(n) for n in range(20)}.items() <= (card.tags or {}).items()
        (other,) = await user.list_cards(iccid=TWO)
        assert other.comment == "in the drawer"


async def test_what_is_asked_for_at_the_end_is_kept(
    certificates: Certificates, kept: Keeper
) -> None:
    async with asyncio.TaskGroup() as tasks, running(certificates, **kept.settings) as world:
        await world.host([uicc(ONE)])
        user = await world.user(keep_s=0)
        for n in range(10):
            tasks.create_task(_set(user, {"k": str(n)}))
        await until(lambda: world.app._peers.relay._state.last_change > 0)
    assert set(kept.state().notes()) == {NAME}


async def _set(user: Client, tags: dict[str, str]) -> None:
    with suppress(WsrcError):
        await user.set_tags(tags, iccid=ONE)


TAGGED = TagTable(cards=ONE, set={"kind": "sgp22"}), TagTable(cards=TWO, set={"kind": "sgp22"})


async def test_any_free_card_is_taken_and_waited_for(certificates: Certificates) -> None:
    async with running(certificates) as world:
        await world.host([uicc(ONE), uicc(TWO)], tags=TAGGED)
        first, second = await world.user("first"), await world.user("second")
        kind = {"kind": "sgp22"}
        cards = [await first.select(pick=Pick.ANY, tags=kind) for _ in range(2)]
        assert {card.info.identities.iccid for card in cards} == {ONE, TWO}
        places: list[int] = []
        waits = second.select(
            pick=Pick("any"),
            tags=kind,
            wait_s=30.0,
            on_waiting=lambda said: places.append(said.position),
        )
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(_of(waits))
            await until(lambda: bool(places))
            await cards[1].detach()
        assert task.result() == cards[1].info.identities.iccid
        assert places[0] == 1
        await cards[0].detach()


async def _of(selecting: Selecting) -> str | None:
    async with selecting as card:
        return card.info.identities.iccid


async def test_the_arguments_of_the_library_are_checked(certificates: Certificates) -> None:
    async with running(certificates) as world:
        user = await world.user()
        wrong = [
            user.list_cards(tags="kind=x"),  # type: ignore[arg-type]
            user.list_cards(tags={"Kind": "x"}),
            user.list_cards(tags={"kind": 1}),  # type: ignore[dict-item]
            user.set_tags({"kind": 1}, any="x"),  # type: ignore[dict-item]
            user.set_tags({"kind": "x"}, unset="kind", any="x"),
            user.set_comment(1, any="x"),  # type: ignore[arg-type]
        ]
        for each in wrong:
            with pytest.raises(LocalProtocolError):
                await each
        with pytest.raises(LocalProtocolError, match="pick must be one of one, any"):
            user.select(pick="some")  # type: ignore[arg-type]


@pytest.fixture
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("WSRC_", "XDG_"))]:
        monkeypatch.delenv(name)


async def wsrc(world: World, *arguments: str) -> int:
    options = ["--server-url", world.user_url, "--tls-ca", str(world.ca)]
    return await asyncio.to_thread(run, [*options, *arguments])


@pytest.mark.usefixtures("_home")
async def test_the_commands_tag_and_comment_and_any(
    certificates: Certificates, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(certificates, state_dir=folder) as world:
        await world.host([uicc(ONE), uicc(TWO)], tags=TAGGED[:1])
        assert await wsrc(world, "tag", TWO, "kind=gsma", "bench=3") == 0
        assert "  kind=gsma\n" in capsys.readouterr().out
        assert await wsrc(world, "tag", TWO, "bench=", "--json") == 0
        (said,) = capsys.readouterr().out.splitlines()
        assert json.loads(said)["reader"]["tags"]["kind"] == "gsma"
        assert "bench" not in json.loads(said)["reader"]["tags"]
        assert await wsrc(world, "comment", TWO, "PIN is 0000") == 0
        capsys.readouterr()
        assert await wsrc(world, "list", "--tag", "kind=gs*", "--json") == 0
        (card,) = json.loads(capsys.readouterr().out)["cards"]
        assert (card["iccid"], card["comment"]) == (TWO, "PIN is 0000")
        columns = "iccid,tags,comment"
        assert await wsrc(world, "list", "--tag", "kind=gsma", "--columns", columns) == 0
        assert f"{TWO}\tatr_family=" in (shown := capsys.readouterr().out)
        assert ",kind=gsma,protocol=T0\tPIN is 0000\n" in shown
        assert await wsrc(world, "info", "--tag", "kind=gsma") == 0
        shown = capsys.readouterr().out
        assert "Tag          kind=gsma" in shown
        assert "Comment      PIN is 0000" in shown
        for arguments in (("--any",), ("--any", "--tag", "kind=sgp22"), ("--tag", "kind=sgp22")):
            assert await wsrc(world, "apdu", *arguments, "00A40004023F00") == 0
            assert capsys.readouterr().out
        assert await wsrc(world, "apdu", "--any", "--tag", "kind=none", "00A40004023F00") == 3
        assert (
            "No card that has tag kind=none is here that you may take." in capsys.readouterr().err
        )


@pytest.mark.usefixtures("_home")
@pytest.mark.parametrize(
    "arguments",
    [
        ("tag", "x"),
        ("tag", "x", "kind"),
        ("tag", "x", "Kind=x"),
        ("tag", "x", "host=x"),
        ("tag", "x", "kind=a\x1b"),
        ("list", "--tag", "kind"),
        ("list", "--tag", "K=x"),
        ("list", "--tag", "k=x", "--tag", "k=y"),
        ("apdu", "--tag", "k=x*", "00A40004023F00"),
        ("apdu", "--any", "--share", "direct", "00A40004023F00"),
        ("shell", "--any", "--share", "direct"),
    ],
)
async def test_a_wrong_command_line_is_said(
    certificates: Certificates, folder: Path, arguments: tuple[str, ...]
) -> None:
    async with running(certificates, state_dir=folder) as world:
        assert await wsrc(world, *arguments) == 2
    assert not (folder / FILE).exists()
