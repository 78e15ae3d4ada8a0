# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.token_store: what is kept of tokens, and what keeps it from being kept (issue 13)."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.processes import LIMIT_S, environment
from tests.support.shared import Kept
from wsrc.errors import ConfigError
from wsrc.net.state_dir import OF_SYSTEM, state_dir
from wsrc.protocol.messages import ClientType
from wsrc.server import shared_state, token_store
from wsrc.server.sqlite_file import sentence_of
from wsrc.server.state import Tokens
from wsrc.server.token_store import FILE, TokenStore, hash_of
from wsrc.tokens import is_token

NOW = 1_800_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


@pytest.fixture
def store(folder: Path) -> Iterator[TokenStore]:
    with TokenStore(folder, 0.1) as store:
        yield store


def add(store: Tokens, name: str = "tester@example.org") -> str:
    return store.add(name, ClientType.USER, NOW, NOW + 60)


def raw(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / FILE, isolation_level=None)


def test_13_a_token_is_kept_as_a_hash_with_name_role_expiry_and_last_use(
    store: TokenStore, folder: Path
) -> None:
    token = add(store)
    assert is_token(token)
    store.used({1: NOW + 7})
    [kept] = store.all()
    assert kept == (1, hash_of(token), "tester@example.org", "user", NOW, NOW + 60, NOW + 7)
    octets = b"".join(each.read_bytes() for each in folder.iterdir())
    assert hash_of(token) in octets
    assert token.encode() not in octets
    assert token[5:48].encode() not in octets


def test_13_nobody_else_can_read_what_is_kept(store: TokenStore, folder: Path) -> None:
    add(store)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [each.stat().st_mode & 0o777 for each in folder.iterdir()] == [0o600]


def test_13_a_folder_to_which_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match=f"chmod go-w {tmp_path}"):
        TokenStore(tmp_path)


def test_13_what_root_makes_is_of_whom_the_folder_is(tmp_path: Path) -> None:
    whose = (4321, 1234) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(tmp_path, *whose)
    with TokenStore(tmp_path) as store:
        add(store)
    found = (tmp_path / FILE).stat()
    assert (found.st_uid, found.st_gid) == whose


def test_13_a_token_is_kept_as_a_hash_wherever_it_is(kept: Kept) -> None:
    store = kept.tokens()
    token = add(store)
    assert is_token(token)
    store.used({1: NOW + 7})
    [found] = store.all()
    assert found == (1, hash_of(token), "tester@example.org", "user", NOW, NOW + 60, NOW + 7)
    files = [each for each in kept.folder.parent.rglob("*") if each.is_file()]
    assert files
    assert all(token[5:48].encode() not in each.read_bytes() for each in files)


def test_13_tokens_are_revoked_by_number_or_name_all_or_none(kept: Kept) -> None:
    store = kept.tokens()
    for name in ("a", "b", "a", "c"):
        add(store, name)
    with pytest.raises(ConfigError, match="none with the number or name 'x'"):
        store.revoke(["a", "x"])
    assert [each.number for each in store.all()] == [1, 2, 3, 4]
    assert [each.number for each in store.revoke(["a", "4", "4"])] == [1, 3, 4]
    add(store, "d")
    assert [(each.number, each.name) for each in store.all()] == [(2, "b"), (5, "d")]


def test_13_there_is_a_most_of_tokens(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (token_store, shared_state):
        monkeypatch.setattr(module, "MOST", 2)
    store = kept.tokens()
    add(store)
    add(store)
    with pytest.raises(ConfigError, match="there are 2 tokens, the most"):
        add(store)
    assert len(store.all()) == 2


def test_13_changes_of_another_program_are_seen_and_uses_are_not(kept: Kept) -> None:
    store, other = kept.tokens(), kept.tokens("b")
    assert store.changed()
    add(other)
    assert store.changed()
    store.used({1: NOW})
    assert not store.changed()
    assert len(store.all()) == 1
    other.revoke(["1"])
    assert store.changed()
    assert not store.changed()
    assert store.all() == []


def test_13_a_file_that_was_put_in_its_place_is_read(store: TokenStore, tmp_path: Path) -> None:
    add(store, "old")
    store.changed()
    with TokenStore(tmp_path / "other") as other:
        add(other, "new")
    (tmp_path / "other" / FILE).rename(store.path)
    assert store.changed()
    assert [each.name for each in store.all()] == ["new"]


def test_13_a_file_that_is_gone_is_named_and_nothing_is_made(store: TokenStore) -> None:
    store.changed()
    store.path.unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*tokens\.sqlite3: No such file"):
        store.changed()
    assert not store.path.exists()


def test_13_a_locked_file_is_waited_for_and_then_named(store: TokenStore, folder: Path) -> None:
    add(store)
    other = raw(folder)
    try:
        other.execute("BEGIN EXCLUSIVE")
        tries: list[Callable[[], object]] = [
            lambda: add(store),
            lambda: store.revoke(["1"]),
            lambda: store.used({1: NOW}),
            store.all,
            lambda: TokenStore(folder, 0.1),
        ]
        for each in tries:
            with pytest.raises(ConfigError, match=r"state_dir: another program keeps .* locked"):
                each()
        other.execute("COMMIT")
    finally:
        other.close()
    assert len(store.all()) == 1


def test_13_the_file_of_a_later_version_is_refused_and_left_alone(
    store: TokenStore, folder: Path
) -> None:
    store.close()
    with raw(folder) as other:
        other.execute(f"PRAGMA user_version = {len(TokenStore.VERSIONS) + 1}")
    other.close()
    before = {each: each.read_bytes() for each in folder.iterdir()}
    with pytest.raises(ConfigError, match="made by a later version of wsrc-server"):
        TokenStore(folder)
    assert {each: each.read_bytes() for each in folder.iterdir()} == before


def damage(path: Path) -> None:
    """Break the page of the table, and leave the first, which names it."""
    octets = bytearray(path.read_bytes())
    octets[4096:] = b"\xa5" * (len(octets) - 4096)
    path.write_bytes(octets)


def changed_by(statement: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        other = raw(path.parent)
        try:
            other.execute(statement)
        finally:
            other.close()

    return spoil


SPOILT: dict[str, Callable[[Path], object]] = {
    "a text": lambda path: path.write_bytes(b"# a text\n" * 1000),
    "a damaged page": damage,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "a wrong value": changed_by("UPDATE token SET role = 'x'"),
    "of another program": changed_by("PRAGMA application_id = 1"),
    "without its table": changed_by("ALTER TABLE token RENAME TO other"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_13_a_damaged_file_is_named(store: TokenStore, folder: Path, how: str) -> None:
    add(store)
    store.close()
    SPOILT[how](folder / FILE)
    with pytest.raises(ConfigError, match="is damaged, or is no file of tokens"):
        open_and_read(folder)


def open_and_read(folder: Path) -> None:
    with TokenStore(folder) as found:
        found.all()


CHILD = """
import os, resource, sys
from pathlib import Path
from wsrc.errors import ConfigError
from wsrc.protocol.messages import ClientType
from wsrc.server.token_store import TokenStore

{0}
with TokenStore(Path(sys.argv[1])) as store:
    {1}
    try:
        print(store.add("x" * 200, ClientType.USER, 0.0, None))
    except ConfigError as exc:
        print(exc)
    print(len(store.all()))
"""


def in_child(folder: Path, before: str = "", then: str = "pass") -> list[str]:
    command = [sys.executable, "-W", "error", "-c", CHILD.format(before, then), str(folder)]
    ended = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    return ended.stdout.splitlines()


def test_13_a_disk_that_takes_nothing_more_changes_nothing(store: TokenStore, folder: Path) -> None:
    add(store)
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))"
    said, count = in_child(folder, then=limit)
    assert "cannot be read or written" in said
    assert count == "1"
    assert len(store.all()) == 1


def test_13_a_full_disk_is_named(tmp_path: Path) -> None:
    full = sqlite3.connect(tmp_path / "full")
    try:
        full.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            full.execute("CREATE TABLE a (b)")
    finally:
        full.close()
    assert sentence_of(caught.value, Path("t")) == "the disk of t is full; nothing was changed"


def test_13_a_state_that_may_only_be_read_is_read(store: TokenStore, folder: Path) -> None:
    add(store)
    store.close()
    read_only = TokenStore(folder)
    try:
        database = read_only._database
        assert database is not None
        database.execute("PRAGMA query_only = 1")
        assert len(read_only.all()) == 1
        for change in (lambda: add(read_only), lambda: read_only.used({1: NOW})):
            with pytest.raises(ConfigError, match="may only be read by this user"):
                change()
    finally:
        read_only.close()


def test_13_a_folder_of_somebody_else_is_named() -> None:
    """As that of the service is, for a person."""
    with TemporaryDirectory() as place:
        folder = Path(place, "state")
        with TokenStore(folder) as store:
            add(store)
        Path(place).chmod(0o755)
        folder.chmod(0o555)
        (folder / FILE).chmod(0o444)
        said, count = in_child(folder, "os.geteuid() or os.setuid(4321)")
        folder.chmod(0o700)
    assert "may only be read by this user" in said
    assert count == "1"


def test_13_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="state_dir: cannot keep tokens in"):
        TokenStore(tmp_path / "file" / "state")


def test_13_the_state_of_a_unit_goes_before_that_of_the_system_and_of_a_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unit = {"STATE_DIRECTORY": "/srv/a:/srv/b", "XDG_STATE_HOME": "/srv/x"}
    assert state_dir(Path("/srv/given"), unit) == Path("/srv/given")
    assert state_dir(None, unit) == Path("/srv/a")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_dir(None, {}) == OF_SYSTEM
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert state_dir(None, {"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "wsrc"
    assert state_dir(None, {"XDG_STATE_HOME": "x"}) == Path.home() / ".local/state/wsrc"


def test_13_two_programs_begin_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD.format("", "pass"), str(tmp_path / "new")]
    both = [
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for each in both:
        token, _ = each.communicate(timeout=LIMIT_S)[0].splitlines()
        assert is_token(token)
    with TokenStore(tmp_path / "new") as store:
        assert len(store.all()) == 2
