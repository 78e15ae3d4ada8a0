# SPDX-License-Identifier: Apache-2.0
"""Policies made without a file, and cards to ask them about."""

from collections.abc import Mapping, Sequence

from wsrc.card.slot import CardProtocol
from wsrc.octets import Octets
from wsrc.policy.facts import Facts, in_reader
from wsrc.policy.machine import Policy, Rule
from wsrc.policy.patterns import Cards, pattern_of
from wsrc.policy.words import Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.selection import names_of, reader_names

ICCID = "8988211000000430010"
EID = "89049032123451234512345678901235"
UICC = "3b9f96801fc78031a073be21136743200718000001a5"
EUICC = "3b9f97c00a3fc6828031e073fe211f65d002341512810f51"
CONTACTLESS = "3b8f8001804f0ca0000003060300030000000068"
BANK = "3b6500002063cb6a00"

SOMEBODY = Principal("somebody")

Texts = str | Sequence[str]


def texts(given: Texts) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def cards(**patterns: Texts) -> Cards:
    return Cards(tuple(pattern_of(kind, texts(given)) for kind, given in patterns.items()))


def rule(to: Texts, may: Sequence[Verb] = (), *, line: int = 1, **patterns: Texts) -> Rule:
    return Rule(line, texts(to), cards(**patterns), frozenset(may))


def granting(
    *rules: Rule, groups: Mapping[str, Sequence[str]] | None = None, hosts: Sequence[Rule] = ()
) -> Policy:
    return Policy(rules, hosts, groups)


def reader_info(
    state: m.ReaderState = m.ReaderState.READY,
    *,
    atr: str | None = UICC,
    iccid: str | None = None,
    eids: tuple[str, ...] = (),
    label: str | None = None,
    protocol: CardProtocol | None = None,
) -> m.ReaderInfo:
    return m.ReaderInfo(
        reader="SN-1",
        name="Array A 00 00",
        state=state,
        atr=None if atr is None else Octets.fromhex(atr),
        iccid=iccid,
        eids=eids,
        label=label,
        protocol=protocol,
    )


def facts(
    info: m.ReaderInfo, host: str = "bench-1", tags: Mapping[str, str] | None = None
) -> Facts:
    """Return the facts of a card in a reader, as a relay knows them."""
    if info.state in {m.ReaderState.EMPTY, m.ReaderState.UNAVAILABLE}:
        return in_reader(info, reader_names(info.reader, info.name), host, tags)
    return in_reader(info, names_of(info), host, tags)


def card(
    *,
    iccid: str | None = ICCID,
    eids: tuple[str, ...] = (),
    label: str | None = None,
    atr: str = UICC,
    host: str = "bench-1",
    tags: Mapping[str, str] | None = None,
) -> Facts:
    return facts(reader_info(atr=atr, iccid=iccid, eids=eids, label=label), host, tags)
