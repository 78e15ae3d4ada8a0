# SPDX-License-Identifier: Apache-2.0
"""The machine of policies gives what the document says, for any file, peer and card."""

import json
from typing import Any

from hypothesis import given, strategies as st

from tests.support.models.policy_by_the_book import VERBS, Book, Card, Peer, with_check_digit
from tests.support.policies import BANK, CONTACTLESS, EID, EUICC, ICCID, UICC, facts
from wsrc.card.slot import CardProtocol
from wsrc.octets import Octets
from wsrc.policy.facts import Facts
from wsrc.policy.reading import read
from wsrc.policy.words import Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m

OTHER_EID = "89044045930000000000001491596203"

NAMES = ("ann", "Ann", "bob", "ci-1", "*", "group:lab", "idp:lab", "anyone", "lab", "a\u0301nn")
GROUPS = {
    "lab": ["ann", "group:robots"],
    "robots": ["ci-*", "idp:robots", "idp:x*"],
    "nobody": [],
    "public": ["anyone", "bob"],
}
MEMBERS = ("ann", "bob", "*", "c*", "*n*", "a*n", "anyone", "idp:lab", "idp:*", "idp:l*b")

TEXTS = {
    "iccid": [
        *(ICCID, ICCID[:-1], with_check_digit(ICCID), "8988 2110-0000 0430 010 F"),
        *("8988*", "*1*0", "*", ""),
    ],
    "eid": [EID, "8904 9032*", "*35", "*", "", OTHER_EID],
    "atr": [UICC, "3B 9F*", BANK, "*"],
    "label": ["Desk", "bench*", "*-3", "*", ""],
    "tag": ["rack=7", "rack=*", "*=*", ""],
    "host": ["farm-a", "farm-*", "*-A"],
    "reader": ["sn-1", "ARRAY*", "other", "*00"],
    "kind": ["uicc", "EUICC", "*uicc", "other", "contactless", "*"],
}

ATRS = (UICC, EUICC, BANK, CONTACTLESS, None)
ODD_ATRS = ("3b80800100", "3b9080011f00", "3b9f80", "3b", "3b9f96803fc7")


def one_or_more(values: Any, most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most)


patterns = st.just("*") | st.lists(
    st.sampled_from(sorted(TEXTS)), unique=True, min_size=1, max_size=2
).flatmap(
    lambda kinds: st.fixed_dictionaries(
        {kind: st.sampled_from(TEXTS[kind]) | one_or_more(TEXTS[kind]) for kind in kinds}
    )
)
members = one_or_more([*MEMBERS, *(f"group:{name}" for name in GROUPS)])
grants = st.fixed_dictionaries({"to": members, "cards": patterns, "may": one_or_more(VERBS, 3)})
hosts = st.fixed_dictionaries({"who": members, "announces": patterns})

peers = st.builds(
    Peer,
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(("lab", "Lab", "x1")), max_size=2).map(tuple),
) | st.just(Peer(None))

cards = st.builds(
    Card,
    state=st.sampled_from(("ready", "ready", *(state.value for state in m.ReaderState))),
    atr=st.sampled_from((*ATRS, *ODD_ATRS)),
    iccid=st.sampled_from((None, ICCID, ICCID[:-1], ICCID.upper() + "F", "8949a20000000000018")),
    eids=st.sampled_from(((), (EID,), (OTHER_EID, EID))),
    label=st.sampled_from((None, "desk", " Bench-3", "*")),
    protocol=st.booleans(),
    host=st.sampled_from(("farm-a", "farm-A", "(farm-a)")),
    tags=st.sampled_from(((), (("rack", "7"),), (("rack", "7"), ("row", "b=c")))),
)


def toml(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def written(tables: list[tuple[str, dict[str, Any]]]) -> str:
    parts = ["[groups]", *(f"{name} = {toml(members)}" for name, members in GROUPS.items())]
    for name, table in tables:
        parts += [f"[[{name}]]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    return "\n".join(parts)


def known(card: Card) -> Facts:
    """Return what the relay knows of a card."""
    there = card.state not in ("empty", "unavailable")
    info = m.ReaderInfo(
        reader=card.reader,
        name=card.reader_name,
        state=m.ReaderState(card.state),
        atr=Octets.fromhex(card.atr) if card.atr and there else None,
        iccid=card.iccid if there else None,
        eids=card.eids if there else (),
        label=card.label if there else None,
        protocol=CardProtocol.T0 if card.protocol else None,
    )
    return facts(info, card.host, dict(card.tags))


def principal(peer: Peer) -> Principal | None:
    return None if peer.name is None else Principal(peer.name, frozenset(peer.groups))


@given(st.lists(grants, max_size=4), peers, cards)
def test_13_rights_are_those_of_the_document(
    tables: list[dict[str, Any]], peer: Peer, card: Card
) -> None:
    text = written([("grant", table) for table in tables])
    rights = read(text, "policy.toml").policy.rights(principal(peer), known(card))
    assert {str(verb) for verb in rights} == Book(text).rights(peer, card)


@given(st.lists(hosts, max_size=4), peers, cards)
def test_13_hosts_announce_what_the_document_lets_them(
    tables: list[dict[str, Any]], peer: Peer, card: Card
) -> None:
    text = written([("host", table) for table in tables])
    policy = read(text, "policy.toml").policy
    assert policy.announces(principal(peer), known(card)) == Book(text).announces(peer, card)


def test_13_the_document_has_the_verbs_that_there_are() -> None:
    assert [verb.value for verb in Verb] == VERBS
