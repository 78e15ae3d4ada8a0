# SPDX-License-Identifier: Apache-2.0
"""Completion in the shells themselves: a line is typed, Tab is pressed, and the shell goes on."""

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import LIMIT_S, argv, environment


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose PATH has `wsrc`."""
    program = tmp_path / "bin" / "wsrc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(argv("wsrc"))} "$@"\n', "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{program.parent}:{os.environ['PATH']}"
    return environment(PATH=path, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), TERM="dumb")


def run(env: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=2 * LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr == ""
    return done.stdout


BASH = """
eval "$(wsrc completion bash)"
complete -p wsrc >/dev/null || exit 1
COMP_WORDS=(%s) COMP_CWORD=%d
_wsrc wsrc
printf '%%s\\n' "${COMPREPLY[@]}"
"""

ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
typed() { zpty -w shell "$1"; }
until_said() {
    local said all=
    for _ in {1..500}; do
        if zpty -r -t shell said; then all+=${said//$'\\a'/}; else sleep 0.1; fi
        [[ $all == *$1* ]] && return 0
    done
    print -r -- "$all"
    return 1
}
typed "PS1=; unsetopt prompt_cr prompt_sp; autoload -Uz compinit; compinit -u -D; $1"
typed 'print -r -- begin''s'
until_said begins || exit 1
zpty -w -n shell "$2"
until_said "$3" || exit 2
zpty -d shell
"""

LOAD = 'eval "$(wsrc completion zsh)"'


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_a_line(env: dict[str, str]) -> None:
    assert run(env, "bash", "-c", BASH % ("wsrc lis", 1)).split() == ["list"]
    assert run(env, "bash", "-c", BASH % ("wsrc shell --share dir", 3)).split() == ["direct"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("wsrc lis\t", "list "),
        ("wsrc rea\t\t", "readers"),
        ("wsrc shell --share dir\t", "direct "),
    ],
)
def test_zsh_completes_a_line(env: dict[str, str], line: str, becomes: str) -> None:
    run(env, "zsh", "-f", "-c", ZSH, "zsh", LOAD, line, becomes)


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes_by_the_file_that_is_installed(env: dict[str, str], tmp_path: Path) -> None:
    """As packages do: a file `_wsrc` in a folder of functions."""
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "_wsrc").write_text(run(env, "wsrc", "completion", "zsh"), "utf-8")
    load = f"fpath=({shlex.quote(str(folder))} $fpath); compinit -u -D"
    run(env, "zsh", "-f", "-c", ZSH, "zsh", load, "wsrc lis\t", "list ")


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_a_line(env: dict[str, str]) -> None:
    ask = "wsrc completion fish | source; complete --do-complete {}"
    for line, offered in (("wsrc lis", ["list"]), ("wsrc rea", ["read", "readers"])):
        said = run(env, "fish", "--no-config", "-c", ask.format(shlex.quote(line)))
        assert [each.partition("\t")[0] for each in said.splitlines()] == offered
    said = run(env, "fish", "--no-config", "-c", ask.format("'wsrc shell --share dir'"))
    assert said.split() == ["direct"]
