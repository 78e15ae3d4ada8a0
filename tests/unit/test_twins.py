# SPDX-License-Identifier: Apache-2.0
"""wsrc.aio and wsrc.blocking: the same names, and the same signatures but for waiting."""

import enum
import inspect
import re
import typing
from types import ModuleType
from typing import Any

import pytest

from wsrc import aio, blocking

TWINS = ("Admin", "Card", "Client")
ENTERED = {"__aenter__": "__enter__", "__aexit__": "__exit__"}


def methods(kind: type) -> dict[str, Any]:
    """Return what a class offers, that of its bases too, by the name that its twin has."""
    offered = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
    entered = {ENTERED.get(name, name): getattr(kind, name, None) for name in dir(kind)}
    return offered | {name: entered[name] for name in ENTERED.values() if name in entered}


def text(annotation: Any) -> str:
    """Return an annotation as it would be written in either module."""
    if annotation is inspect.Parameter.empty:
        return ""
    shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    shown = re.sub(r"\b(?:\w+\.)+(?=\w)", "", shown).strip("'\"")
    return re.sub(r"^AsyncGenerator\[(.*), None\]$", r"Generator[\1, None, None]", shown)


def signature(method: Any) -> tuple[object, ...]:
    """Return names, kinds, defaults and annotations of parameters, and what is given."""
    told = inspect.signature(method)
    parameters = [
        (each.name, each.kind, each.default, text(each.annotation))
        for each in told.parameters.values()
    ]
    return *parameters, text(told.return_annotation)


def test_both_have_the_same_names_and_each_has_what_it_names() -> None:
    assert aio.__all__ == blocking.__all__ == sorted(aio.__all__)
    for module in (aio, blocking):
        assert {name for name in vars(module) if not name.startswith("_")} == set(module.__all__)


def test_what_is_not_a_twin_is_the_same() -> None:
    apart = {n for n in aio.__all__ if getattr(aio, n) is not getattr(blocking, n)}
    assert apart == {*TWINS, "Selecting"}


@pytest.mark.parametrize("twin", TWINS)
def test_twins_offer_the_same(twin: str) -> None:
    ours, theirs = methods(getattr(aio, twin)), methods(getattr(blocking, twin))
    # `server`, `info`, `atr` and `sealed` are properties on one side and set on the other
    assert set(ours) - set(theirs) == set()
    assert set(theirs) - set(ours) <= {"server", "info", "atr", "sealed"}


@pytest.mark.parametrize(
    ("twin", "name"),
    [(t, n) for t in TWINS for n in methods(getattr(blocking, t)) if n in methods(getattr(aio, t))],
)
def test_twins_have_the_same_signature(twin: str, name: str) -> None:
    ours, theirs = (methods(getattr(module, twin))[name] for module in (aio, blocking))
    if isinstance(ours, property):
        assert signature(ours.fget)[-1] == signature(theirs.fget)[-1]
    else:
        assert signature(ours) == signature(theirs)


def test_clients_are_made_with_the_same() -> None:
    assert signature(aio.Client.__init__) == signature(blocking.Client.__init__)


@pytest.mark.parametrize("twin", TWINS)
def test_the_contract_of_a_blocking_method_is_that_of_its_twin(twin: str) -> None:
    theirs = methods(getattr(aio, twin))
    for name, method in methods(getattr(blocking, twin)).items():
        if name in theirs and not isinstance(method, property) and not name.startswith("__"):
            said = inspect.getdoc(method) or ""
            assert f"`aio.{twin}.{name}`" in said or said == inspect.getdoc(theirs[name]), name
            assert said, name


@pytest.mark.parametrize("module", [aio, blocking])
def test_every_type_of_a_public_signature_has_a_public_name(module: ModuleType) -> None:
    public = {id(getattr(module, name)) for name in module.__all__}
    unnamed: set[type] = set()
    made = methods(module.Client) | {"__init__": module.Client.__init__}
    for offered in (made, methods(module.Card), methods(module.Admin)):
        for method in offered.values():
            called = method.fget if isinstance(method, property) else inspect.unwrap(method)
            hints = typing.get_type_hints(called) if callable(called) else {}
            unnamed |= {
                kind
                for hint in hints.values()
                for kind in parts(hint)
                if kind.__module__.startswith("wsrc.") and id(kind) not in public
            }
    # what is raised is in wsrc.errors, settings are in wsrc.settings
    assert {kind.__name__ for kind in unnamed} <= {"WsrcError", "UserSettings", *NOTIFICATIONS}


NOTIFICATIONS = {kind.__name__ for kind in typing.get_args(aio.Notification)}


def parts(hint: Any) -> set[type]:
    """Return the classes that an annotation is made of."""
    inner: set[type] = set()
    for each in typing.get_args(hint):
        inner |= parts(each) if not isinstance(each, list) else set().union(*map(parts, each))
    return inner or ({hint} if isinstance(hint, type | enum.EnumMeta) else set())
