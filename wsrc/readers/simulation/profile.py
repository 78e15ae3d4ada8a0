# SPDX-License-Identifier: Apache-2.0
"""The files and keys with which a simulated UICC is made (ETSI TS 102 221, 3GPP TS 31.102)."""

from dataclasses import dataclass

from wsrc.card import tlv
from wsrc.card.identity import iccid_to_ef
from wsrc.readers.simulation.filesystem import (
    CURRENT_ADF_ID,
    MF_ID,
    Access,
    Directory,
    FileSystem,
    Records,
    Transparent,
)
from wsrc.readers.simulation.milenage import Milenage
from wsrc.readers.simulation.pins import ADM1, PIN1, UNBLOCK_TRIES, Pin, Secret, padded_pin
from wsrc.readers.simulation.state import Profile
from wsrc.readers.simulation.usim import Usim

USIM_AID = bytes.fromhex("a0000000871002ffffffff8907090000")
"""AID of the USIM (3GPP TS 31.101 annex)."""

GSM_ID = 0x7F20
"""DF GSM (3GPP TS 51.011 clause 10.3)."""

_DIR_RECORD_OCTETS = 48
_ADN_RECORD_OCTETS = 28
_SMS_RECORD_OCTETS = 176
_SMSP_RECORD_OCTETS = 40
_ACM_RECORD_OCTETS = 3


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Subscription:
    """What differs from card to card; it has no text form, since it holds secrets."""

    iccid: str
    imsi: str
    pin1: str
    puk1: str
    adm: bytes
    k: bytes
    opc: bytes
    sqn: int = 0
    pin1_tries: int = 3
    pin1_enabled: bool = True
    authenticate_needs_pin: bool = False
    increase_file: int = 0x6F39


def make_profile(subscription: Subscription) -> Profile:
    """Make the files and keys of one subscription."""
    mf = _mf(subscription.iccid)
    mf.add(_telecom(), _gsm(subscription.imsi))
    files = FileSystem(mf=mf, adfs=[_usim(subscription)])
    usim = Usim(
        Milenage(subscription.k, subscription.opc),
        subscription.sqn,
        needs_pin=subscription.authenticate_needs_pin,
    )
    return Profile(files, _pins(subscription), usim)


def make_bare_profile(subscription: Subscription) -> Profile:
    """Make what an eUICC has without an enabled profile: an MF, and nothing in it."""
    files = FileSystem(mf=Directory(file_id=MF_ID), adfs=[])
    usim = Usim(Milenage(subscription.k, subscription.opc), 0)
    return Profile(files, _pins(subscription), usim)


def imsi_to_ef(imsi: str) -> bytes:
    """Return the content of EF.IMSI for up to 15 digits (3GPP TS 31.102 clause 4.2.2)."""
    parity = "9" if len(imsi) % 2 else "1"
    nibbles = parity + imsi
    nibbles += "f" * (len(nibbles) % 2)
    coded = bytes.fromhex("".join(nibbles[i + 1] + nibbles[i] for i in range(0, len(nibbles), 2)))
    return (bytes([len(coded)]) + coded).ljust(9, b"\xff")


def _pins(subscription: Subscription) -> dict[int, Pin]:
    unblock = Secret(padded_pin(subscription.puk1), UNBLOCK_TRIES)
    pin1 = Pin(
        padded_pin(subscription.pin1),
        subscription.pin1_tries,
        unblock,
        enabled=subscription.pin1_enabled,
    )
    return {PIN1: pin1, ADM1: Pin(subscription.adm, 3)}


def _mf(iccid: str) -> Directory:
    entry = tlv.encode(0x61, tlv.encode(0x4F, USIM_AID) + tlv.encode(0x50, b"USIM"))
    records = [entry.ljust(_DIR_RECORD_OCTETS, b"\xff"), b"\xff" * _DIR_RECORD_OCTETS]
    mf = Directory(file_id=MF_ID)
    mf.add(
        Transparent(
            file_id=0x2FE2,
            sfi=0x02,
            update=Access.NEVER,
            content=bytearray(iccid_to_ef(iccid)),
        ),
        Records(file_id=0x2F00, sfi=0x1E, records=records),
        Transparent(file_id=0x2F05, sfi=0x05, update=Access.PIN1, content=bytearray(b"en\xff\xff")),
    )
    return mf


def _usim(subscription: Subscription) -> Directory:
    adf = Directory(file_id=CURRENT_ADF_ID, aid=USIM_AID)
    adf.add(
        Transparent(
            file_id=0x6F07,
            sfi=0x07,
            read=Access.PIN1,
            content=bytearray(imsi_to_ef(subscription.imsi)),
        ),
        Transparent(
            file_id=0x6F7E,
            sfi=0x0B,
            read=Access.PIN1,
            update=Access.PIN1,
            content=bytearray(bytes.fromhex("ffffffff00f1100000ff01")),
        ),
        Transparent(file_id=0x6FAD, sfi=0x03, content=bytearray(b"\x00\x00\x00\x02")),
        Transparent(file_id=0x6F46, content=bytearray(b"\x01WSRC".ljust(17, b"\xff"))),
        Records(
            file_id=0x6F3C,
            read=Access.PIN1,
            update=Access.PIN1,
            records=[b"\x00".ljust(_SMS_RECORD_OCTETS, b"\xff")] * 10,
        ),
        _counter(subscription.increase_file),
    )
    return adf


def _counter(file_id: int) -> Records:
    """EF.ACM, unless the card is to have its cyclic file elsewhere."""
    return Records(
        file_id=file_id,
        sfi=0x1C,
        read=Access.PIN1,
        update=Access.PIN1,
        increase=Access.PIN1,
        cyclic=True,
        records=[bytes(_ACM_RECORD_OCTETS)] * 5,
    )


def _telecom() -> Directory:
    telecom = Directory(file_id=0x7F10)
    telecom.add(
        Records(
            file_id=0x6F3A,
            read=Access.PIN1,
            update=Access.PIN1,
            records=[b"\xff" * _ADN_RECORD_OCTETS] * 10,
        ),
        Records(
            file_id=0x6F42,
            read=Access.PIN1,
            update=Access.PIN1,
            records=[b"\xff" * _SMSP_RECORD_OCTETS] * 2,
        ),
    )
    return telecom


def _gsm(imsi: str) -> Directory:
    gsm = Directory(file_id=GSM_ID)
    gsm.add(
        Transparent(file_id=0x6F07, read=Access.PIN1, content=bytearray(imsi_to_ef(imsi))),
        Transparent(file_id=0x6F38, read=Access.PIN1, content=bytearray(b"\x0f\x00\xc0")),
        Transparent(file_id=0x6F78, read=Access.PIN1, content=bytearray(b"\x00\x01")),
        Transparent(file_id=0x6FAD, content=bytearray(b"\x00\x00\x00\x02")),
    )
    return gsm
