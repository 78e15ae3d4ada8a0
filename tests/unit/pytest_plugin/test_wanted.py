# SPDX-License-Identifier: Apache-2.0
"""wsrc.pytest_plugin.wanted: options, ini settings and markers, and what they make together."""

import pytest

from wsrc.card.slot import Share
from wsrc.errors import ConfigError
from wsrc.pytest_plugin.wanted import (
    NoSuchWantError,
    Want,
    WrongWantError,
    describe,
    run_of,
    settings_of,
    wanted,
)

pytest_plugins = ("pytester",)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of these tests have the plugin, and no settings of whoever runs them."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "wsrc.pytest_plugin")
    for name in ("WSRC_SERVER_URL", "WSRC_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def item(pytester: pytest.Pytester, marks: str, *args: str) -> pytest.Item:
    source = f"import pytest\n{marks}\ndef test(card): ...\n"
    items, _ = pytester.inline_genitems(pytester.makepyfile(source), *args)
    return items[0]


def want(pytester: pytest.Pytester, marks: str, *args: str) -> Want:
    node = item(pytester, marks, *args)
    return wanted(run_of(node.config), node)


def test_a_test_wants_what_the_run_may_take_and_what_its_marker_says(
    pytester: pytest.Pytester,
) -> None:
    found = want(
        pytester,
        "pytestmark = pytest.mark.wsrc(tag={'host': 'bench'}, scope='module')\n"
        "@pytest.mark.wsrc(label='blue', share='shared', wait=1.5)",
        "--wsrc-tag=kind=sgp22",
        "--wsrc-reader=left",
    )
    which = {"reader": "left", "label": "blue", "tags": {"kind": "sgp22"}}
    assert found.which == which | {"tags": {"kind": "sgp22", "host": "bench"}}
    assert found[1:] == (Share.SHARED, "module", 1.5)
    assert found.text == "cards with reader left, label blue, tag kind=sgp22, tag host=bench"


def test_the_closest_marker_has_the_word(pytester: pytest.Pytester) -> None:
    marks = "pytestmark = pytest.mark.wsrc(card='far')\n@pytest.mark.wsrc(card='close')"
    assert want(pytester, marks).which == {"any": "close"}


def test_several_cards_have_words_of_their_own(pytester: pytest.Pytester) -> None:
    node = item(pytester, "@pytest.mark.wsrc(label='blue', tag={'kind': 'a'})")
    found = wanted(run_of(node.config), node, {"tag": {"kind": "b"}, "label": None})
    assert found.which == {"tags": {"kind": "b"}}


def test_nothing_that_is_said_means_any_card(pytester: pytest.Pytester) -> None:
    found = want(pytester, "")
    assert found == ({}, Share.EXCLUSIVE, "function", 60.0)
    assert found.text == "any card"


@pytest.mark.parametrize(
    ("option", "mark"),
    [("--wsrc-tag=kind=a", "tag={'kind': 'b'}"), ("--wsrc-iccid=1", "iccid='2'")],
)
def test_no_test_has_a_card_that_the_run_may_not_take(
    pytester: pytest.Pytester, option: str, mark: str
) -> None:
    with pytest.raises(NoSuchWantError, match="this run takes cards with"):
        want(pytester, f"@pytest.mark.wsrc({mark})", option)


@pytest.mark.parametrize(
    ("mark", "why"),
    [
        ("'sgp22'", "takes words alone"),
        ("kind='sgp22'", "no word 'kind'"),
        ("tag='kind=sgp22'", "is a table"),
        ("tag={'KIND': 'x'}", "no key of a tag"),
        ("share='mine'", "share must be exclusive or"),
        ("scope='package'", "scope must be function or class"),
        ("wait=-1", "wait must be a number from 0"),
        ("wait='nan'", "wait must be a number from 0"),
        ("wait=[]", "wait must be a number from 0"),
    ],
)
def test_a_marker_that_cannot_be_is_told(pytester: pytest.Pytester, mark: str, why: str) -> None:
    with pytest.raises(WrongWantError, match=why):
        want(pytester, f"@pytest.mark.wsrc({mark})")


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--wsrc-tag=kind", "'kind' is not KEY=VALUE"),
        ("--wsrc-wait=soon", "wait must be a number from 0, not 'soon'"),
        ("--wsrc-apdus=inf", "apdus must be a number from 0"),
    ],
)
def test_an_option_that_cannot_be_ends_the_run(
    pytester: pytest.Pytester, option: str, why: str
) -> None:
    with pytest.raises(pytest.UsageError, match=why):
        pytester.parseconfigure(option)


def test_ini_settings_are_what_options_and_the_environment_do_not_say(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini(
        "[pytest]\nwsrc_tag =\n    kind=a\n    host=b\nwsrc_scope = module\nwsrc_no_card = skip\n"
        "wsrc_server_url = wss://ini:1\nwsrc_config = own.toml\n"
    )
    (pytester.path / "own.toml").write_text("name = 'night'\nserver_url = 'wss://file:1'\n")
    config = pytester.parseconfig()
    run = run_of(config)
    assert run.which == {"tags": {"kind": "a", "host": "b"}}
    assert (run.scope, run.skips_without_card, run.skips_without_server) == ("module", True, True)
    assert (settings_of(config).server_url, settings_of(config).name) == ("wss://ini:1", "night")
    monkeypatch.setenv("WSRC_SERVER_URL", "wss://environment:1")
    assert settings_of(config).server_url == "wss://environment:1"
    config = pytester.parseconfig("--wsrc-server-url=wss://option:1", "--wsrc-tag=kind=c")
    assert settings_of(config).server_url == "wss://option:1"
    assert run_of(config).which == {"tags": {"kind": "c"}}


def test_no_password_is_taken_from_a_command_line(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("--wsrc-server-url=wss://tester:x@option:1")
    with pytest.raises(ConfigError, match="environment"):
        settings_of(config)


def test_a_selection_is_described_as_it_is_written() -> None:
    assert describe({}) == "any card"
    assert describe({"any": "blue", "eid": "89"}) == "cards with eid 89, card blue"
