# SPDX-License-Identifier: Apache-2.0
"""What tests/vectors/sealing.json has of a session, as `wsrc.sealing` takes it."""

from typing import Any

from wsrc.sealing.handshake import Offer
from wsrc.sealing.keys import Keys
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import digest
from wsrc.sealing.terms import Ask, Asked, Card, Said, Terms

Json = dict[str, Any]


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def ask_of(v: Json) -> Ask:
    ask = v["ask"]
    return Ask(octets(ask["nonce"]), tuple(ask["suites"]), Mode(ask["mode"]))


def offer_of(v: Json) -> Offer:
    card, said = v["card"], v["said"]
    return Offer(
        Card(**card | {"atr": octets(card["atr"]), "eids": tuple(card["eids"])}),
        v["asked"]["user"],
        v["asked"]["principal"],
        Said(
            octets(said["nonce"]),
            tuple(said["suites"]),
            Mode(said["mode"]),
            said["suite"],
            octets(said["key"]),
            said["wants_user"],
        ),
        tuple(map(octets, v["certificates"])),
        octets(v["signature"]),
    )


def terms_of(v: Json) -> Terms:
    offer, asked = offer_of(v), v["asked"]
    return Terms(
        ask_of(v),
        Asked(**asked | {"ways": tuple(asked["ways"])}),
        offer.card,
        offer.said,
        digest(offer.certificates[0]),
    )


def keys_of(v: Json) -> Keys:
    keys = {name: octets(key) for name, key in v["keys"].items()}
    return Keys(v["asked"]["session"], **keys)
