# SPDX-License-Identifier: Apache-2.0
"""What tests want: the options of a run of pytest, and what the marker of a test adds to them."""

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import pytest

from wsrc import tags
from wsrc.card.slot import Share
from wsrc.errors import ConfigError
from wsrc.pytest_plugin import MARK, OPTIONS
from wsrc.settings.load import UserSettings, load
from wsrc.user_client.naming import Filters

_KINDS: Final = {
    "iccid": "iccid",
    "eid": "eid",
    "atr": "atr",
    "reader": "reader",
    "label": "label",
    "card": "any",
}
"""Filters by what options and the marker call them."""

_WORDS: Final = ("tag", *_KINDS, "share", "scope", "wait")


class WrongWantError(Exception):
    """A marker that cannot be; the sentence says why."""


class NoSuchWantError(Exception):
    """A marker that wants what the run may not take; the sentence says what."""


class Run(NamedTuple):
    """Options and ini settings of a run."""

    which: Filters
    wait_s: float
    scope: str
    skips_without_server: bool
    skips_without_card: bool
    most_apdus: int


class Want(NamedTuple):
    """One card that a test wants, for how long, and how long it waits for it."""

    which: Filters
    share: Share
    scope: str
    wait_s: float

    @property
    def text(self) -> str:
        """Which cards are meant, for a person."""
        return describe(self.which)


def run_of(config: pytest.Config) -> Run:
    """
    Return what was said of a run.

    Raises:
        pytest.UsageError: If that cannot work.
    """

    def given(name: str, default: str = "") -> Any:
        key = f"wsrc_{name}"
        return config.getoption(key) or config.getini(key) or default

    try:
        which = _filters(
            {name: given(name) for name in _KINDS if given(name)}, tags.asked(given("tag") or ())
        )
        return Run(
            which,
            _number("wait", given("wait", "60")),
            _choice("scope", given("scope", "function")),
            _choice("no-server", given("no_server", "skip")) == "skip",
            _choice("no-card", given("no_card", "fail")) == "skip",
            int(_number("apdus", given("apdus", "100"))),
        )
    except ValueError as exc:
        raise pytest.UsageError(f"wsrc: {exc}") from exc


def settings_of(config: pytest.Config) -> UserSettings:
    """
    Return the settings of a user: options, then the environment, then ini settings, then a file.

    Raises:
        ConfigError: If they cannot work.
    """
    flags: dict[str, object] = {}
    if url := config.getoption("wsrc_server_url"):
        flags["server_url"] = url
    environ = dict(os.environ)
    if url := config.getini("wsrc_server_url"):
        environ["WSRC_SERVER_URL"] = environ.get("WSRC_SERVER_URL") or url
    if file := config.getini("wsrc_config"):
        environ["WSRC_CONFIG"] = environ.get("WSRC_CONFIG") or str(config.rootpath / file)
    file = config.getoption("wsrc_config")
    return load(UserSettings, environ, flags, Path(file) if file else None)


def header(config: pytest.Config) -> str:
    """
    Return the line that the report of a run begins with.

    Raises:
        pytest.UsageError: If the settings cannot work.
    """
    run = run_of(config)
    try:
        url = settings_of(config).server_url
    except ConfigError as exc:
        raise pytest.UsageError(f"wsrc: {exc}") from exc
    return f"wsrc: {describe(run.which)} of {url}, for each {run.scope}, wait {run.wait_s:g} s"


def wanted(run: Run, node: pytest.Item, words: Mapping[str, Any] | None = None) -> Want:
    """
    Return what a test wants, of what the run may take.

    Args:
        run: Options.
        node: The test; of its markers the closest has the word, for each word.
        words: Those of one card of several, which come before the markers.

    Raises:
        WrongWantError: If words or values are none of the marker's.
        NoSuchWantError: If the run may not take such a card.
    """
    said: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers(MARK))):
        if mark.args:
            raise WrongWantError(f"The marker {MARK} takes words alone: {', '.join(_WORDS)}.")
        said |= mark.kwargs
    said = _known({**said, **(words or {})})
    named = _tags(said.get("tag", {}))
    try:
        tags.asked([tags.text_of(*each) for each in named.items()])
        own = _filters({kind: str(said[kind]) for kind in _KINDS if kind in said}, named)
        return Want(
            _both(run.which, own),
            _share(said.get("share", Share.EXCLUSIVE)),
            _choice("scope", said.get("scope", run.scope)),
            _number("wait", said.get("wait", run.wait_s)),
        )
    except ValueError as exc:
        raise WrongWantError(f"The marker {MARK} of {node.nodeid} cannot be: {exc}.") from exc


def describe(which: Filters) -> str:
    """Return a selection as a person writes it."""
    chosen = [
        f"{name} {value}" for name, kind in _KINDS.items() if (value := which.get(kind)) is not None
    ]
    chosen += [f"tag {tags.text_of(*each)}" for each in (which.get("tags") or {}).items()]
    return f"cards with {', '.join(chosen)}" if chosen else "any card"


def _tags(asked: object) -> dict[str, str]:
    if not isinstance(asked, Mapping):
        raise WrongWantError('The word tag of a marker is a table, such as {"kind": "sgp22"}.')
    pairs = cast("Mapping[object, object]", asked).items()
    return {str(key): str(value) for key, value in pairs}


def _known(said: dict[str, Any]) -> dict[str, Any]:
    for word in said:
        if word not in _WORDS:
            raise WrongWantError(
                f"The marker {MARK} has no word {word!r}; it has {', '.join(_WORDS)}."
            )
    return {word: value for word, value in said.items() if value is not None}


def _filters(names: Mapping[str, str], asked: Mapping[str, str]) -> Filters:
    which: dict[str, Any] = {_KINDS[name]: value for name, value in names.items()}
    if asked:
        which["tags"] = dict(asked)
    return cast("Filters", which)


def _both(run: Filters, own: Filters) -> Filters:
    """Return what both selections want."""
    ours, theirs = cast("dict[str, Any]", run), cast("dict[str, Any]", own)
    pairs = [(ours, theirs), (ours.get("tags", {}), theirs.get("tags", {}))]
    for wide, narrow in pairs:
        for key in wide.keys() & narrow.keys() - {"tags"}:
            if wide[key] != narrow[key]:
                raise NoSuchWantError(
                    f"The test wants {describe(own)}, and this run takes {describe(run)}."
                )
    which = ours | theirs
    if together := {**pairs[1][0], **pairs[1][1]}:
        which["tags"] = together
    return cast("Filters", which)


def _share(value: object) -> Share:
    share = Share(str(value))
    if share not in list(Share):
        raise ValueError(f"share must be {' or '.join(Share)}, not {value!r}")
    return share


def _number(name: str, value: object) -> float:
    number = math.nan
    with suppress(TypeError, ValueError):
        number = float(cast("str", value))
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a number from 0, not {value!r}")
    return number


def _choice(name: str, value: object) -> str:
    choices = next(option.choices for option in OPTIONS if option.name == name)
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(choices)}, not {value!r}")
    return str(value)
