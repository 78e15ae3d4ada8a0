# SPDX-License-Identifier: Apache-2.0
"""wsrc.hold.folder: the private folder of a card that is held."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from wsrc.errors import ConfigError, SessionLostError
from wsrc.hold.folder import MOST_FOUND, MOST_OCTETS_ABOVE, SESSION, Folder, base_of, found
from wsrc.settings.held import HeldFile, read_held


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """A folder with a short name, as a socket in it needs."""
    with tempfile.TemporaryDirectory(prefix="hold-", dir="/tmp") as folder:
        yield {"XDG_RUNTIME_DIR": folder}


def held(card: str) -> HeldFile:
    return HeldFile(server_url="ws://a", token_file="t", control="c", reader="r", card=card)


def test_all_is_for_its_owner_alone_and_goes(environ: dict[str, str]) -> None:
    with Folder(environ) as folder:
        folder.tell(held("blue"))
        folder.keep("token", "secret")
        modes = [stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()]
        assert modes == [0o600, 0o600]
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.path.parent.stat().st_mode) == 0o700
    assert not folder.path.exists()


def test_what_is_held_is_found_also_after_it_said_more(environ: dict[str, str]) -> None:
    with Folder(environ) as one, Folder(environ) as two:
        one.tell(held("blue"))
        two.tell(held("green"))
        assert {each.card for each in found(environ)} == {"blue", "green"}
        one.tell(msgspec.structs.replace(held("blue"), over="Revoked."))
        assert [each.card for each in found(environ)] == ["green"]
        with pytest.raises(SessionLostError, match="Revoked"):
            read_held(one.session)


def test_what_the_killed_have_left_is_removed_and_nothing_else(environ: dict[str, str]) -> None:
    left = base_of(environ) / "card-left"
    left.mkdir(mode=0o700)
    (left / SESSION).write_bytes(b"{}")
    beginning = base_of(environ) / "card-beginning"
    beginning.mkdir(mode=0o700)
    with Folder(environ) as one:
        one.tell(held("blue"))
        with Folder(environ):
            assert one.session.exists()
    assert not left.exists()
    assert beginning.exists()


@pytest.mark.parametrize("how", ["mode", "link", "file"])
def test_a_base_that_others_could_have_made_is_refused(environ: dict[str, str], how: str) -> None:
    base = Path(environ["XDG_RUNTIME_DIR"]) / f"wsrc-take-{os.geteuid()}"
    if how == "file":
        base.write_text("")
    elif how == "link":
        base.symlink_to(environ["XDG_RUNTIME_DIR"])
    else:
        base.mkdir()
        base.chmod(0o755)
    with pytest.raises(ConfigError, match="not a folder of yours alone"):
        Folder(environ)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a folder another user's")
def test_the_folder_of_another_user_is_refused(environ: dict[str, str]) -> None:
    base = Path(environ["XDG_RUNTIME_DIR"]) / f"wsrc-take-{os.geteuid()}"
    base.mkdir(mode=0o700)
    os.chown(base, os.geteuid() + 1, -1)
    with pytest.raises(ConfigError, match="not a folder of yours alone"):
        Folder(environ)


def test_so_many_folders_are_looked_at_and_no_more(environ: dict[str, str]) -> None:
    with ExitStack() as stack:
        for number in range(MOST_FOUND + 3):
            stack.enter_context(Folder(environ)).tell(held(str(number)))
        assert len(found(environ)) == MOST_FOUND


def test_a_runtime_folder_with_a_long_name_leaves_no_room_for_a_socket(
    environ: dict[str, str],
) -> None:
    for octets, parent in ((MOST_OCTETS_ABOVE, None), (MOST_OCTETS_ABOVE + 1, Path("/tmp"))):
        above = environ["XDG_RUNTIME_DIR"]
        long = Path(above, "x" * (octets - len(above) - 1))
        long.mkdir()
        assert base_of({"XDG_RUNTIME_DIR": str(long)}).parent == (parent or long)
