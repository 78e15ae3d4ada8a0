# SPDX-License-Identifier: Apache-2.0
"""Which cards a rule is for: patterns of facts, all of which must fit."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from wsrc.card.identity import is_iccid
from wsrc.policy.facts import compared
from wsrc.policy.words import Kind
from wsrc.selection import Key, forms, matching

_DIGITS: Final = frozenset("0123456789abcdef*")

_INDEXED: Final = ("iccid", "eid", "reader", "label", "atr", "host", "tag")
"""Kinds by which a rule is looked up, the one that fewest cards share first."""

_MISSING: Final = ("iccid", "eid", "label", "tag")
"""Kinds that a card can be without."""

_WHOLE: Final = frozenset({"eid", "tag"})
"""Kinds of which a card has several values, each of which says something else."""


class Pattern(NamedTuple):
    """
    Texts for one kind of fact, of which one must fit.

    `exact` are forms in which a value is compared, `wild` what tells whether one fits a text with
    `*`; that is never an empty one.
    """

    kind: str
    exact: frozenset[str]
    wild: tuple[Callable[[str], bool], ...]

    def fits(self, value: str) -> bool:
        """Return whether a value fits one of the texts."""
        return value in self.exact or (value != "" and any(test(value) for test in self.wild))


class Cards(NamedTuple):
    """The cards that a rule is for: those that fit all patterns, every card without any."""

    patterns: tuple[Pattern, ...] = ()

    def fits(self, values: Mapping[str, Sequence[str]], unknown: Collection[str]) -> bool:
        """Return whether one value of each kind fits, or nothing is known of that kind."""
        return all(
            pattern.kind in unknown or any(map(pattern.fits, values.get(pattern.kind, ())))
            for pattern in self.patterns
        )

    def covers(self, values: Mapping[str, Sequence[str]], unknown: Collection[str]) -> bool:
        """
        Return whether that holds, and every EID and every tag fits.

        A reader goes by its id and by its name, of which one is enough.
        """
        return not self.misfits(values, unknown, whole=True)

    def misfits(
        self, values: Mapping[str, Sequence[str]], unknown: Collection[str], *, whole: bool
    ) -> tuple[str, ...]:
        """Return the kinds of facts by which a card is none of these; `whole` is as in `covers`."""
        found: list[str] = []
        for pattern in self.patterns:
            if pattern.kind not in unknown:
                every = all if whole and pattern.kind in _WHOLE else any
                fitting = [pattern.fits(value) for value in values.get(pattern.kind, ())]
                if not fitting or not every(fitting):
                    found.append(pattern.kind)
        return tuple(found)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Of which a card must have one to fit; none where it can fit with others."""
        exact = {p.kind: p.exact for p in self.patterns if p.exact and not p.wild}
        for kind in _INDEXED:
            if kind in exact:
                return tuple((kind, form) for form in exact[kind])
        return ()


def pattern_of(kind: str, texts: Sequence[str]) -> Pattern:
    """
    Return the pattern of a kind of fact; an empty text is that of cards that have none.

    Raises:
        ValueError: If a text could never fit, or there is none.
    """
    if not texts:
        raise ValueError("the list is empty, so that no card fits; give a text")
    exact: set[str] = set()
    wild: list[Callable[[str], bool]] = []
    for text in texts:
        form = compared(kind, text)
        _check(kind, text, form)
        if "*" in text:
            wild.append(matching(form))
        else:
            exact.update(forms(kind, text) if kind in {"iccid", "eid", "atr"} else (form,))
    return Pattern(kind, frozenset(exact), tuple(wild))


def _check(kind: str, text: str, form: str) -> None:
    """Refuse a text that fits no card, so that a slip of the pen is seen."""
    if not text:
        if kind not in _MISSING:
            raise ValueError(f"only {', '.join(_MISSING)} can be empty, where there is none")
        return
    if kind in {"iccid", "eid", "atr"}:
        _check_digits(kind, text, form)
    elif kind == "kind" and not any(map(matching(form), Kind)):
        raise ValueError(f"there is no kind {text[:40]!r}; the kinds are {', '.join(Kind)}")
    elif kind == "tag" and not {"=", "*"} & set(text):
        raise ValueError(f"a tag is compared as NAME=VALUE, and {text[:40]!r} has no =")
    elif text != text.strip():
        raise ValueError(f"{text[:40]!r} has space around it, and so fits nothing")


def _check_digits(kind: str, text: str, form: str) -> None:
    if not form or not set(form) <= _DIGITS:
        raise ValueError(f"{text[:40]!r} is not hexadecimal digits, or * for any")
    if "*" in form:
        return
    size = len(form)
    if kind == "iccid" and not is_iccid(form):
        raise ValueError(
            f"{text[:40]!r} has {size} digits, and an ICCID 18 to 20; put * where some are left out"
        )
    if kind == "eid" and size != 32:
        raise ValueError(
            f"{text[:40]!r} has {size} digits, and an EID 32; put * where some are left out"
        )
    if kind == "atr" and (size % 2 or not 4 <= size <= 66):
        raise ValueError(
            f"{text[:40]!r} has {size} digits, and an ATR 4 to 66, in pairs; put * where some are "
            "left out"
        )
