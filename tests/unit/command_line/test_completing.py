# SPDX-License-Identifier: Apache-2.0
"""Completion: which words are offered, from what was seen, without loading the program."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.processes import argv, environment
from wsrc.command_line import known
from wsrc.command_line.command_tree import tree
from wsrc.command_line.completing import found
from wsrc.command_line.completion import SCRIPTS
from wsrc.command_line.program import COMMANDS

NOW = 1_800_000_000.0
URL = "wss://cards.example:4220"
ICCID, EID = "8988211000000430010", "89049032000000000000000000000013"
BLUE = {"iccid": [ICCID], "eid": [EID], "label": ["blue bench: 1"], "reader": ["R 1"], "atr": [],
        "tag": ["kind=sgp22", "card=euicc"]}  # fmt: skip
RED = {"iccid": [], "eid": [], "label": ["red"], "reader": [], "atr": [], "tag": ["kind=plain"]}
TREE = tree()

NEVER = {"asyncio", "click", "logging", "msgspec", "socket", "ssl", "tomllib"}
"""What takes long to load, and no completion needs."""


def cache(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder)}


def seen(folder: Path, url: str = URL, age_s: float = 0.0) -> dict[str, str]:
    """Put a file of two cards into a cache; give the environment that has it."""
    at = {"at": NOW - age_s}
    path = folder / "wsrc" / "cards.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({url: {ICCID: {**BLUE, **at}, "red": {**RED, **at}}}))
    return cache(folder)


def offered(line: str, environ: dict[str, str]) -> list[str]:
    *before, last = line.split(" ")
    return [word for word, _ in found(TREE, before, last, environ, NOW)]


def test_commands_and_their_commands_are_offered() -> None:
    assert offered("", {}) == sorted(COMMANDS)
    assert offered("rea", {}) == ["read", "readers"]
    assert offered("--json pcsc ", {}) == ["run", "serve"]
    assert offered("help ap", {}) == ["apdu"]


def test_options_are_those_of_the_command_and_of_all() -> None:
    assert offered("apdu --expect 9000 --ke", {}) == ["--keep-going", "--keep-s"]
    assert offered("list --keep-g", {}) == []
    assert {"-h", "-q"} <= set(offered("list -", {}))


def test_values_of_options_are_words_that_are_known() -> None:
    assert offered("shell --share ", {}) == ["exclusive", "shared", "direct"]
    assert offered("shell --share=sh", {}) == ["--share=shared"]
    assert offered("read im", {}) == ["imsi"]
    assert offered("read --verify pin", {}) == ["pin1", "pin2"]
    assert offered("apdu --expect ", {}) == []


def test_cards_that_were_seen_are_offered_by_each_of_their_names(tmp_path: Path) -> None:
    environ = seen(tmp_path)
    assert offered("info --iccid 8988", environ) == [ICCID]
    assert offered("info --eid ", environ) == [EID]
    assert offered("list --label ", environ) == ["blue bench: 1", "red"]
    assert offered("list --label=r", environ) == ["--label=red"]
    assert offered("shell --card r", environ) == ["red"]
    assert offered("revoke r", environ) == offered("tag r", environ) == ["red"]
    assert offered("shell --any --tag kind", environ) == ["kind=plain", "kind=sgp22"]
    assert offered("shell --tag=card", environ) == ["--tag=card=euicc"]
    assert offered("shell --card ki", environ) == []


def test_cards_of_the_server_that_is_asked_are_offered(tmp_path: Path) -> None:
    environ = seen(tmp_path)
    path = tmp_path / "wsrc" / "cards.json"
    other = {"wss://other:1": {"x": {**RED, "label": ["other"], "at": NOW}}}
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    assert offered("--server-url wss://other:1 info --label ", environ) == ["other"]
    assert offered("info --server-url=wss://other:1 --label ", environ) == ["other"]
    assert offered("info --label ", environ | {"WSRC_SERVER_URL": URL}) == ["blue bench: 1", "red"]
    assert offered("info --label ", environ) == ["blue bench: 1", "other", "red"]


def test_cards_that_were_seen_long_ago_are_not_offered(tmp_path: Path) -> None:
    assert offered("info --label ", seen(tmp_path, age_s=known.KEPT_S + 1)) == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": []}', '{"x": {"y": {"at": "z"}}}', "\xff"])
def test_a_cache_that_is_damaged_offers_nothing(text: str, tmp_path: Path) -> None:
    environ = seen(tmp_path)
    (tmp_path / "wsrc" / "cards.json").write_text(text, "latin-1")
    assert offered("info --label ", environ) == []
    known.remember(environ, URL, [RED])
    assert known.load(f"{tmp_path}/wsrc/cards.json")[URL]["red"]["label"] == ["red"]


def test_what_was_seen_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    environ = cache(tmp_path / "new")
    known.remember(environ, URL, [BLUE, RED])
    path = tmp_path / "new" / "wsrc" / "cards.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["cards.json"]
    before = path.stat().st_ino
    known.remember(environ, URL, [BLUE])
    assert path.stat().st_ino == before, "nothing is new, and nothing is written"
    known.remember(environ, URL, [{**RED, "tag": ["kind=red"]}])
    assert path.stat().st_ino != before


def test_of_too_many_cards_those_that_were_seen_last_are_kept(tmp_path: Path) -> None:
    environ = seen(tmp_path)
    many = [{**RED, "label": [f"card {number}"]} for number in range(known.MOST_CARDS + 5)]
    known.remember(environ, URL, many)
    assert len(known.load(f"{tmp_path}/wsrc/cards.json")[URL]) == known.MOST_CARDS


@pytest.mark.parametrize("environ", [{}, {"HOME": "/nonexistent"}, {"XDG_CACHE_HOME": "/dev/null"}])
def test_a_cache_that_cannot_be_written_is_no_error(environ: dict[str, str]) -> None:
    known.remember(environ, URL, [RED])
    assert known.cards_of(environ, URL, NOW) == []


def test_names_that_a_terminal_would_obey_are_not_offered(tmp_path: Path) -> None:
    environ = seen(tmp_path)
    known.remember(environ, URL, [{**RED, "label": ["\x1b[2J"]}])
    assert "\x1b[2J" not in offered("info --label ", environ)


def test_files_are_offered_where_a_file_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.wsrc").write_text("")
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "folder").mkdir()
    assert offered(f"script {tmp_path}/", {}) == [f"{tmp_path}/a.wsrc", f"{tmp_path}/folder/"]
    assert offered(f"script {tmp_path}/.", {}) == [f"{tmp_path}/.hidden"]
    assert offered(f"script {tmp_path}/none/", {}) == []


def completes(shell: str, words: Sequence[str], env: dict[str, str], watched: str = "") -> str:
    [python, *flags, code, _] = argv("wsrc", "")
    done = subprocess.run(
        [python, *flags, watched + code, *words],
        env=environment(_WSRC_COMPLETE=shell, **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr


def test_start_up_a_completion_loads_neither_the_program_nor_what_takes_long(
    tmp_path: Path,
) -> None:
    env = seen(tmp_path)
    completes("zsh", [""], env)
    watched = (
        "import atexit, sys; before = set(sys.modules); "
        "atexit.register(lambda: print('LOADED', *(set(sys.modules) - before), file=sys.stderr)); "
    )
    said = completes("zsh", ["info", "--l"], env, watched)
    assert said.splitlines()[0] == "--label"
    loaded = set(said.split("LOADED")[1].split())
    assert {name for name in loaded if name.startswith("wsrc.")} == {
        "wsrc.command_line",
        "wsrc.command_line.completing",
        "wsrc.command_line.entry",
        "wsrc.command_line.known",
        "wsrc.process",
        "wsrc.process.descriptors",
    }
    assert loaded & NEVER == set()


def test_the_file_of_commands_is_made_anew_where_it_does_not_fit(tmp_path: Path) -> None:
    env = cache(tmp_path)
    path = tmp_path / "wsrc" / "commands.json"
    assert "list\t" in completes("fish", ["li"], env)
    made = path.read_text()
    path.write_text(json.dumps(json.loads(made) | {"key": "another", "tree": {}}))
    assert "list\t" in completes("fish", ["li"], env)
    assert path.read_text() == made


def test_bash_completes_words_that_it_breaks_and_must_quote(tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    program = bin_ / "wsrc"
    [python, *flags, code, _] = argv("wsrc", "")
    quoted = code.replace('"', '\\"')
    program.write_text(f'#!/bin/sh\nexec {python} {" ".join(flags[:-1])} -c "{quoted}" "$@"\n')
    program.chmod(0o755)
    (tmp_path / "c").mkdir()
    known.remember(cache(tmp_path / "c"), URL, [BLUE, RED])
    env = environment(PATH=f"{bin_}:{os.environ['PATH']}", **cache(tmp_path / "c"))

    def reply(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in ("wsrc", *words))
        script = (
            f"{SCRIPTS['bash']}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; "
            '_wsrc wsrc; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.split("\n")[:-1]

    assert reply("info", "--label", "bl") == ["blue\\ bench:\\ 1"]
    assert reply("info", "--label", "=", "r") == ["red"]
    assert reply("info", "--tag", "ki") == ["kind=plain", "kind=sgp22"]
    assert reply("info", "--tag", "kind", "=", "s") == ["sgp22"]
    assert reply("--server-url", "wss", ":", "//cards.example", ":", "4220", "rea") == [
        "read",
        "readers",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no shell for it")
@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_has_its_script(shell: str) -> None:
    assert f"_WSRC_COMPLETE={shell}" in SCRIPTS[shell]
