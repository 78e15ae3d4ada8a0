# SPDX-License-Identifier: Apache-2.0
"""
Cards for tests: what pytest loads in every run, wherever WSRC is installed.

Options, fixtures and hooks. It imports pytest alone; what takes cards is imported when a test
first asks for one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

import pytest

if TYPE_CHECKING:
    from wsrc.pytest_plugin.lab import Lab
    from wsrc.user_client.blocking import Card, Client

__all__ = [
    "MARK",
    "OPTIONS",
    "card",
    "cards",
    "pytest_addoption",
    "pytest_configure",
    "pytest_report_header",
    "pytest_terminal_summary",
    "wsrc_client",
]

MARK: Final = "wsrc"
_LAB: Final = "wsrc-lab"


class Option(NamedTuple):
    """An option `--wsrc-NAME` and the ini setting `wsrc_NAME`; the option wins."""

    name: str
    metavar: str
    help: str
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name as an ini setting."""
        return f"wsrc_{self.name.replace('-', '_')}"


OPTIONS: Final = (
    Option("tag", "KEY=VALUE", "Tag of the cards that tests may take; with several, all match."),
    Option("iccid", "TEXT", "ICCID of the card that tests may take."),
    Option("eid", "TEXT", "EID of the card that tests may take."),
    Option("atr", "TEXT", "ATR of the cards that tests may take."),
    Option("reader", "TEXT", "Id or name of the reader of the card that tests may take."),
    Option("label", "TEXT", "Label of the card that tests may take."),
    Option("card", "TEXT", "Any of these."),
    Option("wait", "S", "Seconds to wait for cards that are busy or absent.  [default: 60]"),
    Option(
        "scope",
        "",
        "For how long `card` is one card; it is fresh from reset at the beginning.  "
        "[default: function]",
        ("function", "class", "module", "session"),
    ),
    Option(
        "no-server",
        "",
        "What becomes of tests that want a card where no server is.  [default: skip]",
        ("skip", "fail"),
    ),
    Option(
        "no-card",
        "",
        "What becomes of tests for which no card is there, or none free in time.  [default: fail]",
        ("skip", "fail"),
    ),
    Option("apdus", "N", "Commands that the report of a failed test has.  [default: 100]"),
    Option("server-url", "URL", "URL of the server, else as the command `wsrc` finds it."),
    Option("config", "FILE", "Settings file, else that of the command `wsrc`."),
)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options and settings."""
    _leave_assertions_alone(pluginmanager)
    group = parser.getgroup("wsrc", "cards of WSRC")
    for option in OPTIONS:
        many = option.name == "tag"
        given: dict[str, Any] = {"choices": option.choices} if option.choices else {}
        if not option.choices:
            given["metavar"] = option.metavar
        group.addoption(
            f"--wsrc-{option.name}",
            dest=option.key,
            action="append" if many else "store",
            default=None,
            help=option.help,
            **given,
        )
        kind: Literal["linelist", "string"] = "linelist" if many else "string"
        parser.addini(option.key, option.help, kind, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and refuse options that cannot work."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(tag=None, iccid=None, eid=None, atr=None, reader=None, label=None, card=None, "
        "share='exclusive', scope=None, wait=None): what the card of a test must be (WSRC)",
    )
    if _is_used(config):
        from wsrc.pytest_plugin.wanted import run_of  # noqa: PLC0415 - few runs need it

        run_of(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which cards tests may take, and of whom, where that was said."""
    if not _is_used(config):
        return None
    from wsrc.pytest_plugin.wanted import header  # noqa: PLC0415 - few runs need it

    return header(config)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which card each test had, and for how long it waited."""
    reports = (each for some in terminalreporter.stats.values() for each in some)
    had = [each for each in reports if getattr(each, "user_properties", None)]
    if had:
        from wsrc.pytest_plugin.telling import summary  # noqa: PLC0415 - few runs need it

        summary(terminalreporter, config, had)


@pytest.fixture(scope="session")
def wsrc_client(pytestconfig: pytest.Config) -> "Client":
    """Return the client of this run, a `wsrc.blocking.Client` that is open."""
    return _of(pytestconfig).client()


@pytest.fixture
def card(request: pytest.FixtureRequest) -> "Card":
    """Take a free card as options and the marker `wsrc` want it, fresh from reset."""
    return _of(request.config).card(request)


@pytest.fixture
def cards(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., "list[Card]"]]:
    """
    Take several cards at once, until the end of the test: `cards(2)`.

    Each argument is a number of cards as options and marker want them, or a mapping with the
    words of the marker, for one card.
    """
    lab = _of(request.config)

    def take(*wants: int | Mapping[str, Any]) -> "list[Card]":
        return lab.cards(request, wants)

    yield take
    lab.give_back_all(request.node.nodeid)


def _leave_assertions_alone(pluginmanager: pytest.PytestPluginManager) -> None:
    """
    Have WSRC imported as in any program.

    pytest rewrites the assertions of each package that has a plugin in it: to import one takes
    twice as long then, and a failure shows all values, which may be secrets of ours.
    """
    hook = pluginmanager.rewrite_hook
    marked = getattr(hook, "_must_rewrite", None)
    if isinstance(marked, set):
        cast("set[str]", marked).discard("wsrc")
        hook.mark_rewrite()  # which forgets what it found to be marked


def _of(config: pytest.Config) -> "Lab":
    from wsrc.pytest_plugin import lab  # noqa: PLC0415 - few runs need it

    known: Lab | None = config.pluginmanager.get_plugin(_LAB)
    if known is None:
        known = lab.Lab(config)
        config.pluginmanager.register(known, _LAB)
    return known


def _is_used(config: pytest.Config) -> bool:
    """Return whether anything of ours was said on the command line or in the ini file."""
    keys: Iterable[str] = (option.key for option in OPTIONS)
    return any(config.getoption(key) or config.getini(key) for key in keys)
