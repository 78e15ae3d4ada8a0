# SPDX-License-Identifier: Apache-2.0
"""
What is installed: units, man pages, completion, samples, Debian packages, the image.

`make deb deb-test` builds the packages and tries them in a new Debian, which takes minutes; here is
what can be seen without.
"""

import asyncio
import configparser
import importlib
import importlib.metadata
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.certificates import Certificates
from tests.support.commands import within
from tests.support.paths import ROOT
from tests.support.processes import Program, argv, environment
from tests.support.world import running
from wsrc.protocol.messages import ClientType
from wsrc.server.listening import HTTP
from wsrc.settings.load import ServerSettings, settings_of

# Longer than the aim: all that is shipped, in whatever form.

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SCRIPTS = sorted(PROJECT["scripts"])
CONTRIB = ROOT / "contrib"
DEBIAN = CONTRIB / "debian"
CONTAINER = CONTRIB / "container"
UNITS = sorted((CONTRIB / "systemd").iterdir())
PACKAGES = ("wsrc-common", "wsrc-server", "wsrc-card-client", "wsrc")


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(CONTRIB / "tools"))
        names = ("man_pages", "installed_files", "settle")
        patch.syspath_prepend(str(DEBIAN))
        yield {name: importlib.import_module(name) for name in names}


def run_in(folder: Path, *command: str) -> str:
    """Return what a command that succeeds has to say."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# Units


def unit(name: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign] # systemd minds the case
    read.read(CONTRIB / "systemd" / name, encoding="utf-8")
    return read


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_has_nothing_to_say_of_the_units(tmp_path: Path) -> None:
    """But that they may do little; the programs are those of this environment."""
    for each in UNITS:
        text = each.read_text("utf-8").replace("/opt/wsrc/bin", str(Path(sys.executable).parent))
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    verify = ["systemd-analyze", "verify", "--man=no", *(f"./{each.name}" for each in UNITS)]
    assert run_in(tmp_path, *verify) == ""
    for each in UNITS:
        if each.suffix == ".service":
            exposed = ["security", "--offline=true", "--threshold=20", f"./{each.name}"]
            assert "OK" in run_in(tmp_path, "systemd-analyze", *exposed).splitlines()[-1]


def test_each_socket_has_the_default_port_and_the_name_that_the_server_looks_for() -> None:
    ports = {s.name: s.default for s in settings_of(ServerSettings)}
    server = unit("wsrc-server.service")
    for role in ClientType:
        name = f"wsrc-server-{role}.socket"
        assert unit(name)["Socket"]["FileDescriptorName"] == role
        assert int(unit(name)["Socket"]["ListenStream"]) == ports[f"{role}_port"]
        assert name in server["Service"]["Sockets"].split()
        # dh_installsystemd would restart, and so close for a moment, what is named there.
        assert "Also" not in server["Install"]
    http = unit("wsrc-server-http.socket")["Socket"]
    assert http["FileDescriptorName"] == HTTP
    assert http["ListenStream"] == f"127.0.0.1:{ServerSettings(no_tls=True).http_at}"
    assert "wsrc-server-http.socket" in server["Service"]["Sockets"].split()


@pytest.mark.parametrize("name", ["wsrc-server", "wsrc-card-client"])
def test_units_run_programs_that_there_are(name: str, tools: dict[str, ModuleType]) -> None:
    service = unit(f"{name}.service")
    program, *arguments = service["Service"]["ExecStart"].split()
    command, _, settings = tools["man_pages"].PROGRAMS[name]
    assert (Path(program).name, name in SCRIPTS) == (name, True)
    known = {opt for param in command.params for opt in param.opts}
    assert {a for a in arguments if a.startswith("--")} <= known
    assert arguments[-1] in settings.FILES
    assert service["Unit"]["ConditionPathExists"] == arguments[-1]
    drain_s = next(s.default for s in settings_of(ServerSettings) if s.name == "drain_s")
    assert int(service["Service"]["TimeoutStopSec"]) > float(str(drain_s))


# Man pages, completion, samples


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Context]]:
    """Yield every command of a program, as a person names it."""
    with click.Context(command, info_name=name) as context:
        yield from _commands(context)


def _commands(context: click.Context) -> Iterator[tuple[str, click.Context]]:
    yield context.command_path, context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            inner = within(context.command, name)
            assert inner is not None
            with click.Context(inner, parent=context, info_name=name) as within_it:
                yield from _commands(within_it)


def words(text: str) -> str:
    return re.sub(r"\s+", "", text)


def shown(page: str) -> str:
    """Return the text that troff makes of a page, without its spaces."""
    for escape, character in (("\\(aq", "'"), ("\\(ga", "`"), ("\\(ha", "^"), ("\\(ti", "~")):
        page = page.replace(escape, character)
    page = page.replace("\\(dq", '"').replace("\\:", "").replace("\\&", "").replace("\\-", "-")
    lines = [re.sub(r"^\.(?:B|SH) ", "", line) for line in page.replace("\\e", "\\").splitlines()]
    return words(" ".join(line for line in lines if not line.startswith(".")))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_man_page_says_all_that_help_says(name: str, tools: dict[str, ModuleType]) -> None:
    page = shown(tools["man_pages"].page(name))
    found = 0
    for path, context in commands(name, tools["man_pages"].PROGRAMS[name][0]):
        assert words(path) in page
        for text in (context.command.help, context.command.epilog):
            assert words((text or "").replace("\b", "")) in page, path
        for param in context.command.get_params(context):
            record = param.get_help_record(context)
            if record is not None:
                found += 1
                assert words(record[0]) in page, path
                assert words(record[1]) in page, path
    assert found > 5


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("name", SCRIPTS)
def test_troff_has_nothing_to_say_of_a_man_page(
    name: str, tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    (tmp_path / "page.1").write_text(tools["man_pages"].page(name), encoding="utf-8")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-rLL=78n", "page.1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    assert f"{name.upper()}(1)" in done.stdout


def test_the_same_files_are_made_wherever_they_are_made(
    tools: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dict(tools["installed_files"].files())
    monkeypatch.setenv("HOME", "/elsewhere")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(os, "getcwd", lambda: "/")
    assert dict(tools["installed_files"].files()) == first
    host = socket.gethostname()
    assert [name for name, text in first.items() if host in text and len(host) > 4] == []


def test_every_program_has_a_page_and_completion(tools: dict[str, ModuleType]) -> None:
    made = dict(tools["installed_files"].files())
    for name in SCRIPTS:
        assert {f"man/{name}.1", f"completions/bash/{name}"} <= made.keys()
        assert {f"completions/zsh/_{name}", f"completions/fish/{name}.fish"} <= made.keys()
        subprocess.run(
            ["bash", "-n"],
            input=made[f"completions/bash/{name}"],
            text=True,
            timeout=60,
            check=True,
        )


@pytest.mark.parametrize(
    ("name", "typed", "offered"),
    [("wsrc-server", "po", "policy"), ("wsrc-certs", "re", "renew")],
)
def test_completion_asks_the_program_that_is_there(name: str, typed: str, offered: str) -> None:
    """What the shell runs is what the completion of it names."""
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    asked = {"COMP_WORDS": f"{name} {typed}", "COMP_CWORD": "1", variable: "bash_complete"}
    done = subprocess.run(
        argv(name), env=environment(**asked), capture_output=True, text=True, timeout=60, check=True
    )
    assert f"plain,{offered}" in done.stdout.splitlines()


# Debian packages


def stanzas() -> dict[str, dict[str, str]]:
    """Return the packages of the control file, each with its fields."""
    text = (DEBIAN / "control").read_text("utf-8")
    found: dict[str, dict[str, str]] = {}
    for stanza in text.strip().split("\n\n")[1:]:
        fields = dict(re.findall(r"^([\w-]+): (.*(?:\n .*)*)", stanza, re.MULTILINE))
        found[fields["Package"]] = fields
    return found


def test_the_packages_are_those_that_are_documented() -> None:
    assert tuple(stanzas()) == PACKAGES
    text = (ROOT / "docs" / "installing.md").read_text("utf-8")
    assert [name for name in PACKAGES if f"| `{name}` | " not in text] == []
    for name, fields in stanzas().items():
        if name != "wsrc-common":
            assert "wsrc-common (= ${binary:Version})" in fields["Depends"]


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_installs_is_made(name: str, tools: dict[str, ModuleType]) -> None:
    made = {f".files/{each}" for each, _ in tools["installed_files"].files()}
    made |= {f".files/etc/{each}.toml.sample" for each in ("server", "policy", "card-client")}
    for kind in ("install", "manpages", "examples"):
        file = DEBIAN / f"{name}.{kind}"
        for line in file.read_text("utf-8").splitlines() if file.exists() else []:
            source = line.split()[0]
            assert source in made or (ROOT / source).exists(), line


def test_every_program_is_in_one_package() -> None:
    linked = [
        Path(line.split()[1]).name
        for path in sorted(DEBIAN.glob("*.links"))
        for line in path.read_text("utf-8").splitlines()
    ]
    assert sorted(linked) == SCRIPTS
    pages = [path.read_text("utf-8").strip() for path in DEBIAN.glob("*.manpages")]
    assert set(pages) == {f".files/man/{name}.1" for name in SCRIPTS}


@pytest.mark.parametrize("path", sorted(DEBIAN.glob("*.p[or][se]*")), ids=lambda path: path.name)
def test_a_script_of_a_maintainer_fails_where_a_step_fails(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("#!/bin/sh\nset -e\n")
    assert text.count("#DEBHELPER#") == 1
    run_in(DEBIAN, "sh", "-n", str(path))


@pytest.mark.parametrize("name", ["build", "try"])
def test_scripts_are_read_by_a_shell(name: str) -> None:
    assert os.access(DEBIAN / name, os.X_OK)
    run_in(DEBIAN, "sh", "-n", name)
    assert "set -eu\n" in (DEBIAN / name).read_text("utf-8")


def test_an_environment_is_settled_where_it_is_installed(
    tools: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    run_in(tmp_path, sys.executable, "-m", "venv", "--without-pip", "made")
    (made / "bin" / "wsrc-x").write_text("#!/build/bin/python3\nprint('here')\n")
    (made / "bin" / "wsrc-x").chmod(0o755)
    (made / "bin" / "idna").write_text("#!/build/bin/python3\n")
    cached = made / "lib" / "__pycache__"
    cached.mkdir()
    monkeypatch.setattr(tools["settle"], "PYTHON", Path(os.path.realpath(sys.executable)))
    monkeypatch.setattr(sys, "argv", ["settle.py", str(made), str(tmp_path / "made"), "wsrc"])
    tools["settle"].main()
    assert sorted(path.name for path in (made / "bin").iterdir()) == ["python3", "wsrc-x"]
    assert not cached.exists()
    assert run_in(tmp_path, str(made / "bin" / "wsrc-x")) == "here\n"
    assert str(ROOT) not in (made / "pyvenv.cfg").read_text()


def test_what_is_shipped_is_what_the_project_asks_for() -> None:
    """Each requirement has one version, which fits, with sums."""
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["cluster"], *extras["fast"]]
    asked += [*extras["oidc"], *extras["pcsc"]]
    for name, wanted in (
        ("requirements.txt", asked),
        ("requirements-build.txt", ["hatchling>=1.25", "setuptools>=70"]),
    ):
        text = (CONTRIB / name).read_text("utf-8")
        locked = dict(
            re.findall(
                r"^([\w-]+)==([\w.]+)[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE
            )
        )
        assert len(locked) == len(re.findall(r"^[\w-]+==", text, re.MULTILINE))
        for requirement in map(Requirement, wanted):
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), (
                requirement
            )


# The image


def test_hadolint_has_nothing_to_say_of_the_containerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    assert run_in(CONTAINER, str(hadolint), "Containerfile") == ""


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Containerfile."""
    text = (CONTAINER / "Containerfile").read_text("utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found = lines.replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in found if line)]


def test_the_image_is_built_in_stages_and_runs_without_rights() -> None:
    names = [word for word, _ in instructions()]
    last = len(names) - 1 - names[::-1].index("FROM")
    assert names.count("FROM") == 2
    final = dict(instructions()[last:])
    assert re.fullmatch(r"\d+:\d+", final["USER"])
    assert int(final["USER"].split(":")[0]) != 0
    assert {"HEALTHCHECK", "CMD", "EXPOSE", "STOPSIGNAL"} <= final.keys()
    assert "gcc" not in final["RUN"]
    ports = {s.name: s.default for s in settings_of(ServerSettings)}
    assert final["EXPOSE"].split() == [str(ports["user_port"]), str(ports["card_port"])]
    assert f'"{ServerSettings(no_tls=True).http_at}"' in final["HEALTHCHECK"]


def test_what_the_image_copies_is_there_and_is_not_kept_from_it() -> None:
    kept = (CONTAINER / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    allowed = [line[1:] for line in kept if line.startswith("!")]
    assert "*" in kept
    for word, rest in instructions():
        if word != "COPY" or "--from" in rest:
            continue
        for source in shlex.split(rest)[:-1]:
            assert (ROOT / source).exists(), source
            assert any(source == each or source.startswith(f"{each}/") for each in allowed), source
    samples = {path.readlink().as_posix() for path in (ROOT / "wsrc" / "samples").iterdir()}
    for link in samples:  # the package is built of what they point to
        assert any(link.removeprefix("../../").startswith(each) for each in allowed), link


@pytest.mark.parametrize("with_tls", [True, False])
async def test_the_health_check_tells_a_server_that_answers(
    certificates: Certificates, with_tls: bool
) -> None:
    async with running(certificates, http_tls=with_tls) as world:
        port = world.app.http_port
        assert await asyncio.to_thread(run_in, ROOT, *check(port)) == ""
        done = await asyncio.to_thread(
            subprocess.run, check(world.app.user_port), capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, "is no answer of a WSRC server" in done.stdout) == (1, True)


def check(port: int) -> list[str]:
    return [sys.executable, str(CONTAINER / "healthy.py"), str(port)]


def test_the_health_check_tells_what_does_not_answer_and_what_is_another() -> None:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    done = subprocess.run(check(port), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "refused" in done.stdout) == (1, True)
    other = [sys.executable, "-u", "-m", "http.server", "--bind", "localhost", "0"]
    program = Program(other, environment())
    try:
        port = int(program.wait_for(r"port (\d+)")[1])
        done = subprocess.run(check(port), capture_output=True, text=True, timeout=60, check=False)
    finally:
        program.close()
    assert (done.returncode, "is no answer of a WSRC server" in done.stdout) == (1, True)
