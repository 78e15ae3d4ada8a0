# SPDX-License-Identifier: Apache-2.0
"""Policy files: read to the last word or refused with a line; what they allow, and why."""

import random
import re

from tests.fuzz.engine import mutate
from tests.support.policies import BANK, EID, EUICC, ICCID, card
from wsrc.errors import ConfigError
from wsrc.policy.facts import FACTS, described
from wsrc.policy.reading import facts, principal, read
from wsrc.policy.words import ALL, Verb
from wsrc.principal import Principal

_WHOLE = """\
[groups]
lab = ["tester@example.org", "ci-*", "group:robots"]
robots = ["idp:robots", "anyone"]
[[grant]]
to = ["group:lab"]
cards = { label = "bench*", kind = "uicc" }
may = ["list", "use", "share", "reset"]
[[grant]]
to = ["ann", "*"]
cards = "*"
may = "*"
[[host]]
who = ["bench-*"]
announces = { iccid = "8988211*", host = ["farm-a", "farm-*"] }
[[expect]]
who = "tester@example.org"
groups = ["x"]
card = { label = "bench-3" }
may = ["use"]
may_not = ["control"]
"""
SEEDS = [
    b"\0" + _WHOLE.encode(),
    b"\0",
    *(b"\0" + part.encode() for part in re.split(r"(?=\n\[\[)", _WHOLE)),
    b'\0[[grant]]\nto = ["anyone"]\ncards = { tag = "rack=7", atr = "3b*" }\nmay = ["events"]\n',
    b"\1label\0bench-3\0ann\0x",
    b"\1iccid\0" + ICCID.encode() + b"\0anyone",
]
WORDS = [
    *(f'"{verb}"'.encode() for verb in Verb),
    *(f"{kind} = ".encode() for kind in FACTS),
    *(
        word.encode()
        for word in ("group:", "idp:", "anyone", '"*"', "*", "[[grant]]\n", "[[host]]\n")
    ),
    *(
        word.encode()
        for word in ("[[expect]]\n", "[groups]\n", "to = ", "who = ", "may = ", "cards = ")
    ),
    b'"""',
    b"'''",
    b"\\u0000",
    b"8988211*",
    b"89",
    b"#",
    b"[",
    b"{ ",
    b"\xff",
    b"1979-05-27",
]
SHARE = 6

_PEOPLE = (None, Principal("ann"), Principal("ci-1", frozenset({"robots"})), Principal("bench-3"))
_CARDS = (
    card(label="bench-3"),
    card(iccid=None, eids=(EID,), atr=EUICC, host="farm-a", tags={"rack": "7"}),
    card(iccid=None, atr=BANK),
    described([("label", "bench-3")]),
)


def one(data: bytes) -> None:
    """A policy is refused in a sentence, or says of each card the same with and without reasons."""
    what, text = data[:1] == b"\1", data[1:].decode("utf-8", "replace")
    if what:
        _asked(*[*text.split("\0"), "", "", "", ""][:4])
        return
    try:
        policy = read(text, "policy.toml").policy
    except ConfigError as exc:
        assert len(str(exc)) < 2_000
        return
    for who in _PEOPLE:
        for each in _CARDS:
            rights = policy.rights(who, each)
            assert rights <= ALL
            assert not rights or Verb.LIST in rights
            assert rights == {
                v for v, ruling in policy.explain(who, each).items() if ruling.allowed
            }
            assert policy.announces(who, each) == policy.explain_host(who, each).allowed


def _asked(kind: str, text: str, name: str, group: str) -> None:
    """Take what `policy explain` is asked."""
    try:
        facts([(kind, text)] * 2)
        principal(name, (group,))
    except ValueError as exc:
        assert len(str(exc)) < 500


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change a few octets, or put another table there."""
    if rng.randrange(4) == 0:
        data += rng.choice(SEEDS)[1:]
    return mutate(data, rng, WORDS)
