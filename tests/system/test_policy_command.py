# SPDX-License-Identifier: Apache-2.0
"""The commands `wsrc-server policy`, and a server with a policy, as processes (issue 13, 2)."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make
from tests.support.processes import LIMIT_S, Programs, argv, environment, running

POLICY = """\
[groups]
lab = ["tester@example.org", "ci-*", "idp:sim"]

[[grant]]
to = ["group:lab"]
cards = { label = "bench*", kind = "uicc" }
may = ["list", "use"]

[[host]]
who = ["bench-*"]
announces = { iccid = "8988211*" }

[[expect]]
who = "tester@example.org"
card = { label = "bench-3" }
may = ["use"]
may_not = ["control"]
"""

READ = "The policy was read anew"
REFUSED = "A new file is not taken, and what was there stays in force: policy: "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, "utf-8")
    return path


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    with running(make(tmp_path / "certs")) as programs:
        yield programs


def command(*args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        argv("wsrc-server", *args),
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def rows(output: str) -> dict[str, list[str]]:
    """Return the words and reasons of `explain` by verb."""
    return {line.split()[0]: line.split(maxsplit=2)[1:] for line in output.splitlines()}


def test_13_a_good_policy_is_counted(path: Path) -> None:
    done = command("policy", "check", str(path))
    said = f"{path} is good: 1 group, 1 grant, 1 rule for hosts, 1 expectation.\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_13_what_may_not_be_meant_is_noted(path: Path) -> None:
    path.write_text("[groups]\nlab = []\n", "utf-8")
    done = command("policy", "check", str(path))
    assert done.returncode == 0
    assert "1 group, 0 grants, 0 rules for hosts, 0 expectations." in done.stdout
    assert done.stderr.splitlines() == [
        "Note: it has no [[host]], so that no card host may announce a card.",
        "Note: it has no [[grant]], so that no user may do anything.",
        "Note: nothing is given to group:lab.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"use"]\nmay_not', '"us"]\nmay_not', "line 16, may: there is no verb 'us'; did you mean"),
        ('may_not = ["control"]', 'may_not = ["use"]', "line 17, may_not: the policy fails this: "),
        ("group:lab", "group:labs", "line 5, to: there is no 'group:labs'; the groups are: lab"),
        ("[[host]]", "[[host", "is not TOML: "),
        ("bench-3", "bench\x80", "is not TOML: "),
    ],
)
def test_13_a_policy_that_cannot_work_is_one_line_and_status_2(
    path: Path, old: str, new: str, said: str
) -> None:
    assert old in POLICY
    path.write_bytes(POLICY.replace(old, new).encode("latin-1"))
    for args in (("policy", "check", str(path)), ("--no-tls", "--policy", str(path))):
        done = command(*args)
        assert done.returncode == 2, done
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"wsrc-server: policy: {path}")
        assert said in line


def test_13_a_policy_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "a directory")):
        for args in (("policy", "check", str(path)), ("--no-tls", "--policy", str(path))):
            done = command(*args)
            assert done.returncode == 2
            assert why in done.stderr
            assert "Traceback" not in done.stderr


def test_13_check_and_explain_look_at_the_policy_of_the_server(path: Path, tmp_path: Path) -> None:
    settings = tmp_path / "server.toml"
    settings.write_text('no_tls = true\npolicy = "policy.toml"\n', "utf-8")
    for args in (("check",), ("explain", "ann")):
        assert command("--config", str(settings), "policy", *args).returncode == 0
        assert command("policy", *args, WSRC_CONFIG=str(settings)).returncode == 0
        assert command("policy", *args, WSRC_NO_TLS="1", WSRC_POLICY=str(path)).returncode == 0
        none = command("--no-tls", "policy", *args)
        assert (none.returncode, none.stderr) == (
            2,
            "wsrc-server: policy: the server has none; give it one, or name the file of a policy\n",
        )
        settings_that_fail = command("policy", *args)
        assert settings_that_fail.returncode == 2
        assert settings_that_fail.stderr.endswith("; or name the file of a policy\n")


def explained(path: Path, *args: str) -> dict[str, list[str]]:
    done = command("policy", "explain", *args, "--policy", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    return rows(done.stdout)


def test_13_explain_says_by_which_line(path: Path) -> None:
    said = explained(path, "tester@example.org", "label=Bench-3", "kind=uicc")
    way = "line 4 for group:lab > tester@example.org"
    assert said["use"] == said["list"] == ["yes", way]
    assert said["control"] == ["no", "no line gives it"]
    assert said["announce"] == ["no", "line 9 is for others"]
    said = explained(path, "ci-7", "label=bench-3")
    assert said["use"] == ["if", "line 4 for group:lab > ci-*, if kind fits"]
    said = explained(path, "ann", "label=bench-3", "kind=uicc", "--group", "sim")
    assert said["use"] == ["yes", "line 4 for group:lab > idp:sim"]
    said = explained(path, "ann", "label=bench-3", "kind=uicc")
    assert said["use"] == ["no", "line 4 is for others"]
    said = explained(path, "ci-7", "label=desk", "kind=euicc")
    assert said["use"] == ["no", "line 4 is for cards with another label or kind"]
    said = explained(path, "bench-1", "iccid=8988 2110 0000 0430 010")
    assert said["announce"] == ["yes", "line 9 for bench-*"]
    said = explained(path, "bench-1", "iccid=")
    assert said["announce"] == ["no", "line 9 is for cards with another iccid"]
    said = explained(path, "anyone")
    assert said["list"] == ["no", "line 4 is for others"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("group:lab",), "Invalid value for WHO: 'group:lab' is not the name of one user or host"),
        (("",), "Invalid value for WHO: ''"),
        (("ann", "bench-3"), "Invalid value for CARD: 'bench-3' is not FACT=VALUE; the facts are"),
        (
            ("ann", "lable=a"),
            "Invalid value for CARD: there is no fact 'lable'; did you mean",
        ),
        (("ann", "label=a*"), "Invalid value for CARD: 'a*' is a pattern, and this is about one"),
        (("ann", "iccid=12"), "Invalid value for CARD: '12' has 2 digits, and an ICCID 18 to 20"),
    ],
)
def test_13_explain_refuses_what_it_cannot_explain(
    path: Path, args: tuple[str, ...], said: str
) -> None:
    done = command("policy", "explain", *args, "--policy", str(path))
    assert done.returncode == 2
    assert said in done.stderr


def test_13_a_changed_policy_is_read_by_itself_and_at_a_hang_up(
    programs: Programs, path: Path
) -> None:
    server = programs.server("--policy", str(path))
    path.write_text(POLICY + "\n[[grant]]\nto = ['ann']\ncards = '*'\nmay = ['use']\n", "utf-8")
    server.wait_for(READ)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(READ, 2)
    assert server.end() == 0
    assert REFUSED not in server.output


def test_13_a_broken_policy_is_refused_in_one_line_and_the_old_stays(
    programs: Programs, path: Path, tmp_path: Path
) -> None:
    server = programs.server("--policy", str(path))
    new = tmp_path / "new"
    new.write_text(POLICY.replace('may_not = ["control"]', 'may_not = ["list"]'), "utf-8")
    new.replace(path)
    server.wait_for(f"{REFUSED}{path}, line 17, may_not: the policy fails this: ")
    path.unlink()
    server.wait_for(f"{REFUSED}cannot read {path}: No such file or directory")
    path.write_text(POLICY, "utf-8")
    server.wait_for(READ)
    assert server.output.count(REFUSED) == 2
    path.write_text("[[", "utf-8")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(f"{REFUSED}{path} is not TOML: ")
    assert server.process.poll() is None
    assert server.end() == 0
    assert "Traceback" not in server.output


def test_13_a_policy_that_lets_nobody_do_anything_is_warned_of(
    programs: Programs, path: Path
) -> None:
    path.write_text("", "utf-8")
    server = programs.server("--policy", str(path))
    server.wait_for(
        f"WARNING.*{path}: it has no \\[\\[host\\]\\], so that no card host may announce"
    )
    server.wait_for(
        f"WARNING.*{path}: it has no \\[\\[grant\\]\\], so that no user may do anything"
    )
