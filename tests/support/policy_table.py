# SPDX-License-Identifier: Apache-2.0
"""Policies, peers and cards drawn by number: the same number draws the same."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.models.authorisation import VERBS, Thing, Who
from tests.support.policies import BANK, CONTACTLESS, EID, EUICC, ICCID, UICC

OTHER_EID = "89044045930000000000001491596203"
ATRS = (UICC, UICC, EUICC, BANK, CONTACTLESS)
ODD_ATRS = ("3b80800100", "3b9080011f00", "3b9f80", "3b", "3b9f96803fc7", "3b00")
"""ATRs that are contactless by a hair, end too early, or say nothing."""

ICCIDS = (ICCID, ICCID[:-1], "8949020000000000018", "8949a20000000000018", "89490200000000000273")
LABELS = ("bench-3", "Bench-3", "desk", "vault-1", "*")

USERS = (
    Who("ann"),
    Who("Ann"),
    Who("bob@example.org"),
    Who("ci-7", frozenset(("robots", "x1"))),
    Who("eve", frozenset(("lab", "Sim-Team"))),
    Who("group:lab"),
    Who("idp:lab", frozenset(("group:lab",))),
    Who("first-form@10.1.2.3"),
    Who("*"),
    Who("anyone"),
    Who("a\u0301nn", frozenset(("robots", "deeper"))),
    Who(None),
)
HOSTS = (
    (Who("farm-a"), "bench"),
    (Who("bench-1", frozenset(("lab",))), "bench"),
    (Who("(loose)"), "x"),
    (Who(None), "loose"),
)
"""Who card hosts are, and what they call themselves."""

OLD_HOST = Who("old-1"), "first-form card client"
"""A card host of the first form."""

LOOKER = Who("looker")
"""A user who may do everything with whatever is there: the last grant of each policy."""

MEMBERS = (
    "ann", "bob@example.org", "first-form@10.*", "*", "c*", "*n*", "a*n", "*@example.org",
    "anyone", "idp:lab", "idp:*", "idp:*-*", "group:lab", "group:robots", "group:nobody",
    "group:public", "group:deep",
)  # fmt: skip
HOST_MEMBERS = ("*", "anyone", "farm-*", "bench-1", "old-*", "group:hosts", "idp:lab", "(*")
GROUPS: Mapping[str, Sequence[str]] = {
    "lab": ("ann", "group:robots"),
    "robots": ("ci-*", "idp:robots"),
    "nobody": (),
    "public": ("anyone",),
    "hosts": ("farm-a", "group:old"),
    "old": ("old-1", "(loose)"),
    "deep": ("group:deeper", "group:lab"),
    "deeper": ("group:robots", "idp:Sim*"),
}

TEXTS: Mapping[str, Sequence[str]] = {
    "iccid": (ICCID, ICCID[:-1], "8988 2110-0000 0430 010 F", "8988*", "*18", "*", ""),
    "eid": (EID, "8904 9032*", "*03", "*", ""),
    "atr": (UICC, "3B 9F*", BANK, "*"),
    "label": ("Desk", "bench*", "*-3", "*", ""),
    "tag": ("", "rack=*"),
    "host": ("farm-a", "farm-*", "(loose)", "*-1", "old-1"),
    "reader": ("sn-1", "ARRAY*", "*00", "SN-2@*", "*farm-a (bench)"),
    "kind": ("uicc", "EUICC", "*uicc", "other", "contactless", "*"),
}

STATES = ("ready", "ready", "ready", "ready", "empty", "identifying", "mute", "in_use",
          "unavailable")  # fmt: skip


def drawn(what: str, number: int) -> random.Random:
    """Return what draws for one number of a kind."""
    return random.Random(f"{what} {number}")


def policy(draw: random.Random) -> dict[str, Any]:
    """Draw a policy that a server takes, as `tomllib` reads it."""
    grants = [_grant(draw) for _ in range(draw.randint(2, 8))]
    grants.append({"to": ["looker"], "cards": "*", "may": list(VERBS)})
    hosts = [
        {"who": _some(draw, HOST_MEMBERS), "announces": _cards(draw, 0.3)}
        for _ in range(draw.randint(1, 3))
    ]
    if draw.random() < 0.85:
        hosts.append({"who": ["anyone"], "announces": "*"})
    groups = {name: list(members) for name, members in GROUPS.items()}
    return {"groups": groups, "grant": grants, "host": hosts}


def _grant(draw: random.Random) -> dict[str, Any]:
    to = _some(draw, MEMBERS)
    return {"to": to, "cards": _cards(draw, 0.4), "may": draw.sample(VERBS, draw.randint(1, 9))}


def _cards(draw: random.Random, every: float) -> str | dict[str, Any]:
    if draw.random() < every:
        return "*"
    kinds = draw.sample(sorted(TEXTS), draw.choice((1, 1, 2)))
    return {
        kind: draw.choice(TEXTS[kind]) if draw.random() < 0.5 else _some(draw, TEXTS[kind])
        for kind in kinds
    }


def _some(draw: random.Random, texts: Sequence[str]) -> list[str]:
    return draw.sample(texts, draw.choice((1, 1, 2)))


def thing(
    draw: random.Random, host: tuple[Who, str], number: int, atrs: Sequence[str] = ATRS
) -> Thing:
    """Draw a reader of a host, which has the number among its readers."""
    who, called = host
    state = draw.choice(STATES)
    full = state not in {"empty", "unavailable"}
    known = full and (state == "ready" or draw.random() < 0.5)
    return Thing(
        host=who,
        called=called,
        reader=f"SN-{number}",
        name=draw.choice(("Array A 00 00", "Desk reader", "Array A 00 01")),
        state=state,
        atr=draw.choice((UICC, UICC, EUICC, BANK, CONTACTLESS))
        if full and state != "mute"
        else None,
        iccid=draw.choice((*ICCIDS, None)) if known else None,
        eids=draw.choice(((), (), (EID,), (OTHER_EID, EID))) if known else (),
        label=draw.choice((*LABELS, None)) if full else None,
        protocol=draw.choice(("T0", None)) if known else None,
    )


def toml(value: object) -> str:
    """Return a value as TOML has it within a line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def written(policy: Mapping[str, Any]) -> str:
    """Return the text of a policy."""
    groups = policy.get("groups", {})
    lines = ["[groups]", *(f"{name} = {toml(members)}" for name, members in groups.items())]
    for name in ("grant", "host", "expect"):
        for table in policy.get(name, ()):
            lines += [f"[[{name}]]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    return "\n".join(lines)
