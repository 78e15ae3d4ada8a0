# SPDX-License-Identifier: Apache-2.0
"""The TOML file that describes a simulated card; every field has a default except the kind."""

import re
import tomllib
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from wsrc.errors import ConfigError
from wsrc.readers.base import CardProtocol
from wsrc.readers.simulation.card import Faults
from wsrc.readers.simulation.filesystem import Access


def _hex(low: int, high: int) -> str:
    """Return the pattern of so many octets in hexadecimal."""
    return f"^([0-9A-Fa-f]{{2}}){{{low},{high}}}$"


Iccid = Annotated[str, Meta(pattern=r"^[0-9A-Ea-e]{18,20}$")]
Eid = Annotated[str, Meta(pattern=_hex(16, 16))]
Imsi = Annotated[str, Meta(pattern=r"^[0-9]{6,15}$")]
PinDigits = Annotated[str, Meta(pattern=r"^[0-9]{4,8}$")]
PukDigits = Annotated[str, Meta(pattern=r"^[0-9]{8}$")]
Aid = Annotated[str, Meta(pattern=_hex(5, 16))]
FileId = Annotated[str, Meta(pattern=_hex(2, 2))]
Octets8 = Annotated[str, Meta(pattern=_hex(8, 8))]
Octets16 = Annotated[str, Meta(pattern=_hex(16, 16))]
Octets20 = Annotated[str, Meta(pattern=_hex(20, 20))]
Sqn = Annotated[str, Meta(pattern=_hex(6, 6))]

_CONDITION = 'a condition is "always", "pin1", "adm" or "never"'

_EXPECTED = {
    "kind": 'a kind is "uicc" or "euicc"',
    "protocol": 'a protocol is "T0" or "T1"',
    "structure": 'a structure is "transparent", "linear_fixed" or "cyclic"',
    "read": _CONDITION,
    "update": _CONDITION,
    "increase": _CONDITION,
    "when": 'a fault strikes "before" or "after" the command',
    "iccid": "an ICCID is 18 to 20 digits, 0 to 9 and A to E, in quotes",
    "eid": "an EID is 32 digits in quotes",
    "imsi": "an IMSI is 6 to 15 decimal digits in quotes",
    "pin1": "a PIN is 4 to 8 decimal digits in quotes",
    "puk1": "an UNBLOCK PIN is 8 decimal digits in quotes",
    "adm": "an administrative key is 8 octets in hexadecimal, in quotes",
    "k": "K is 16 octets in hexadecimal, in quotes",
    "opc": "OPc is 16 octets in hexadecimal, in quotes",
    "sqn": "SQN is 6 octets in hexadecimal, in quotes",
    "atr": "an ATR is 2 to 33 octets in hexadecimal, in quotes",
    "aid": "an AID is 5 to 16 octets in hexadecimal, in quotes",
    "increase_file": "a file identifier is 2 octets in hexadecimal, in quotes",
    "path": "a path is file identifiers of 2 octets from the MF, the last one of the new file",
}
"""What to write in a field, for a person; it never repeats what stands there."""


class Kind(StrEnum):
    """What the card is."""

    UICC = "uicc"
    EUICC = "euicc"


class Structure(StrEnum):
    """Structure of an EF."""

    TRANSPARENT = "transparent"
    LINEAR_FIXED = "linear_fixed"
    CYCLIC = "cyclic"


class FileDescription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An EF beside those that every simulated card has; `path` 7fff6fe0 puts it in the USIM."""

    path: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{4}){1,4}$")]
    structure: Structure = Structure.TRANSPARENT
    sfi: Annotated[int, Meta(ge=0, le=30)] = 0
    size_octets: Annotated[int, Meta(ge=1, le=65_535)] = 1_000
    record_octets: Annotated[int, Meta(ge=1, le=255)] = 20
    record_count: Annotated[int, Meta(ge=1, le=254)] = 5
    content: Annotated[str, Meta(pattern=_hex(0, 65_535))] = ""
    read: Access = Access.ALWAYS
    update: Access = Access.ALWAYS
    increase: Access = Access.ALWAYS
    deactivated: bool = False


class ProfileDescription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile on an eUICC; its keys and PINs are those of the card."""

    iccid: Iccid
    name: str = "profile"
    imsi: Imsi = "001010000000001"
    enabled: bool = False


class IsdRDescription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application that answers GetEuiccData."""

    eid: Eid
    aid: Aid = "a0000005591010ffffffff8900000100"


class CardDescription(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True
):
    """
    A simulated card.

    K, OPc and the SQN that goes with them are those of test set 1 of 3GPP TS 35.208 unless given.
    """

    kind: Kind
    name: str = ""
    protocol: CardProtocol = CardProtocol.T0
    atr: Annotated[str, Meta(pattern=_hex(2, 33))] = ""
    iccid: Iccid = "8988211000000430010"
    imsi: Imsi = "001010000000001"
    pin1: PinDigits = "1234"
    puk1: PukDigits = "12345678"
    pin1_tries: Annotated[int, Meta(ge=1, le=15)] = 3
    pin1_enabled: bool = True
    adm: Octets8 = "3132333435363738"
    k: Octets16 = "465b5ce8b199b49faa5f0a2ee238a6bc"
    opc: Octets16 = "cd63cb71954a9f4e48a5994e37a02baf"
    sqn: Sqn = "000000000000"
    authenticate_needs_pin: bool = False
    increase_file: FileId = "6f39"
    logical_channels: Annotated[int, Meta(ge=0, le=3)] = 3
    gsm_access: bool = True
    """Whether it is a SIM as well, by class A0; under T=1 it never is."""

    gsm_only: bool = False
    eid: Eid = "89882119900000000000000000007280"
    ecasd: bool = False
    ci_pki_ids: tuple[Octets20, ...] = ("f54172bdf98a95d65cbeb88a38a1c11d800a85c3",)
    isd_r: tuple[IsdRDescription, ...] = ()
    profile: tuple[ProfileDescription, ...] = ()
    file: tuple[FileDescription, ...] = ()
    faults: Faults = Faults()

    def __repr__(self) -> str:
        return f"CardDescription(kind={self.kind!r}, iccid={self.iccid!r})"


def parse_description(text: str, where: str) -> CardDescription:
    """
    Read a description.

    Args:
        text: TOML.
        where: Name of the file, for errors.

    Raises:
        ConfigError: If it is not TOML, or a field is unknown, missing or wrong. The sentence
            names file and field, never the value.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(where, f"this is not TOML: {exc}") from exc
    try:
        description = msgspec.convert(table, CardDescription)
    except msgspec.ValidationError as exc:
        raise _explain(str(exc), where) from None
    _check(description, where)
    return description


def _explain(message: str, where: str) -> ConfigError:
    """Turn "Expected … - at `$.field`" into file, field and what is expected there."""
    sentence, _, at = message.partition(" - at `$")
    path = at.rstrip("`").removeprefix(".")
    field = re.sub(r"\W", "", path.rpartition(".")[2])
    setting = f"{where}: {path}" if path else where
    return ConfigError(setting, _EXPECTED.get(field, sentence))


def _check(card: CardDescription, where: str) -> None:
    """Refuse what each field allows but not all of them together."""
    rules = (
        ("protocol", not card.protocol.known, _EXPECTED["protocol"]),
        ("gsm_only", card.gsm_only and card.kind is Kind.EUICC, "an eUICC is never a GSM SIM only"),
        (
            "protocol",
            card.gsm_only and card.protocol is CardProtocol.T1,
            "a GSM SIM speaks T=0; leave protocol out",
        ),
        (
            "isd_r",
            card.kind is Kind.UICC and bool(card.isd_r or card.profile or card.ecasd),
            'isd_r, profile and ecasd belong to an eUICC; write kind = "euicc" for one',
        ),
        (
            "profile",
            sum(p.enabled for p in card.profile) > 1,
            "at most one profile can be enabled",
        ),
    )
    for field, broken, sentence in rules:
        if broken:
            raise ConfigError(f"{where}: {field}", sentence)
