# SPDX-License-Identifier: Apache-2.0
"""The ISD-R and the ECASD of an eUICC, and the profiles on it (SGP.22 clause 5.7, SGP.02)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wsrc.card import tlv
from wsrc.card.apdu import Command
from wsrc.card.identity import iccid_to_ef
from wsrc.readers.simulation.state import Profile
from wsrc.readers.simulation.status import SW, StatusWordError

_STORE_DATA, _GET_DATA = 0xE2, 0xCA
_LAST_BLOCK, _MORE_BLOCKS = 0x91, 0x11
_MAX_REQUEST_OCTETS = 4_096

_OK, _NOT_FOUND, _WRONG_STATE, _UNDEFINED = 0, 1, 2, 127
_VERSION = bytes((2, 5, 0))
_FREE_NV_OCTETS, _FREE_RAM_OCTETS = 0x0004_0000, 0x1000
_ROOT_SM_DS = b"lpa.ds.example"
_ISD_P_AID = bytes.fromhex("a0000005591010ffffffff89000010")


@dataclass(slots=True)
class Installed:
    """One profile of an eUICC; `profile` is what a reset puts in force while it is enabled."""

    iccid: str
    name: str
    profile: Profile
    enabled: bool = False


class Profiles:
    """
    The profiles of an eUICC, of which at most one is enabled.

    A switch is remembered at once and takes effect at the next reset.
    """

    def __init__(self, installed: Sequence[Installed], bare: Profile) -> None:
        self.installed = installed
        self._bare = bare

    def in_force(self) -> Profile:
        """Return the enabled profile, or a file system without one."""
        return next((p.profile for p in self.installed if p.enabled), self._bare)

    def enable(self, index: int) -> int:
        """Enable one profile and disable the others; return an EnableProfileResult."""
        if self.installed[index].enabled:
            return _WRONG_STATE
        for i, installed in enumerate(self.installed):
            installed.enabled = i == index
        return _OK

    def disable(self, index: int) -> int:
        """Disable one profile; return a DisableProfileResult."""
        if not self.installed[index].enabled:
            return _WRONG_STATE
        self.installed[index].enabled = False
        return _OK

    def named(self, identifier: bytes) -> int | None:
        """Find the profile that tag 5A (ICCID) or tag 4F (AID of the ISD-P) names."""
        iccid, aid = tlv.find(identifier, 0x5A), tlv.find(identifier, 0x4F)
        for i, installed in enumerate(self.installed):
            if iccid == iccid_to_ef(installed.iccid) or aid == isd_p_aid(i):
                return i
        return None


class IsdR:
    """An ISD-R with its EID; several may stand on one card and share the profiles."""

    def __init__(
        self, aid: bytes, eid: str, profiles: Profiles, ci_pki_ids: Sequence[bytes]
    ) -> None:
        self.aid = aid
        self._eid = bytes.fromhex(eid)
        self._profiles = profiles
        self._ci_pki_ids = ci_pki_ids
        self._request = b""

    def selected(self) -> bytes:
        """Return the FCI template and the ISD-R application template (SGP.22 clause 5.7.1)."""
        self._request = b""
        template = tlv.encode(0xE0, tlv.encode(0x82, _VERSION))
        return tlv.encode(0x6F, tlv.encode(0x84, self.aid) + tlv.encode(0xA5, b"")) + template

    def process(self, command: Command) -> bytes:
        """
        Take one block of STORE DATA; answer the last one (SGP.22 clause 5.7.2).

        Raises:
            StatusWordError: If the command is another one, or the request is unknown.
        """
        if command.ins != _STORE_DATA:
            raise StatusWordError(SW.REFERENCE_NOT_FOUND)
        if command.p1 not in {_LAST_BLOCK, _MORE_BLOCKS}:
            raise StatusWordError(SW.WRONG_P1_P2)
        request = b"" if not command.p2 else self._request
        self._request = request + command.data
        if len(self._request) > _MAX_REQUEST_OCTETS:
            self._request = b""
            raise StatusWordError(SW.WRONG_LENGTH)
        if command.p1 == _MORE_BLOCKS:
            return b""
        request, self._request = self._request, b""
        return self._answer(request)

    def _answer(self, request: bytes) -> bytes:
        try:
            objects = list(tlv.decode(request))
        except ValueError as exc:
            raise StatusWordError(SW.WRONG_DATA) from exc
        if len(objects) != 1:
            raise StatusWordError(SW.WRONG_DATA)
        tag, value = objects[0]
        functions: dict[int, Callable[[bytes], bytes]] = {
            0xBF20: self._euicc_info1,
            0xBF22: self._euicc_info2,
            0xBF2D: self._profiles_info,
            0xBF31: self._enable,
            0xBF32: self._disable,
            0xBF3C: self._addresses,
            0xBF3E: self._euicc_data,
        }
        if tag not in functions:
            raise StatusWordError(SW.REFERENCE_NOT_FOUND)
        return tlv.encode(tag, functions[tag](value))

    def _euicc_data(self, value: bytes) -> bytes:
        """ES10c.GetEID (SGP.22 clause 5.7.20)."""
        if tlv.find(value, 0x5C) != b"\x5a":
            raise StatusWordError(SW.WRONG_DATA)
        return tlv.encode(0x5A, self._eid)

    def _euicc_info1(self, _value: bytes) -> bytes:
        """EUICCInfo1: version, and the CI keys for verification and for signing."""
        return tlv.encode(0x82, _VERSION) + self._key_ids()

    def _euicc_info2(self, _value: bytes) -> bytes:
        """EUICCInfo2: versions, memory, the CI keys (SGP.22 clause 5.7.8)."""
        resources = (
            tlv.encode(0x81, bytes([len(self._profiles.installed)]))
            + tlv.encode(0x82, _FREE_NV_OCTETS.to_bytes(4))
            + tlv.encode(0x83, _FREE_RAM_OCTETS.to_bytes(2))
        )
        return (
            b"".join(tlv.encode(tag, _VERSION) for tag in (0x81, 0x82, 0x83))
            + tlv.encode(0x84, resources)
            + self._key_ids()
            + tlv.encode(0x04, bytes((1, 0, 0)))
            + tlv.encode(0x0C, b"WSRC-SIMULATED")
        )

    def _key_ids(self) -> bytes:
        ids = b"".join(tlv.encode(0x04, key_id) for key_id in self._ci_pki_ids)
        return tlv.encode(0xA9, ids) + tlv.encode(0xAA, ids)

    def _addresses(self, _value: bytes) -> bytes:
        """ES10a.GetEuiccConfiguredAddresses (SGP.22 clause 5.7.3); no default SM-DP+ is set."""
        return tlv.encode(0x81, _ROOT_SM_DS)

    def _profiles_info(self, _value: bytes) -> bytes:
        """ES10c.GetProfilesInfo: every profile with AID, state, nickname."""
        entries = b"".join(
            tlv.encode(
                0xE3,
                tlv.encode(0x5A, iccid_to_ef(installed.iccid))
                + tlv.encode(0x4F, isd_p_aid(i))
                + tlv.encode(0x9F70, bytes([installed.enabled]))
                + tlv.encode(0x91, b"WSRC")
                + tlv.encode(0x92, installed.name.encode()),
            )
            for i, installed in enumerate(self._profiles.installed)
        )
        return tlv.encode(0xA0, entries)

    def _enable(self, value: bytes) -> bytes:
        return self._switch(value, self._profiles.enable)

    def _disable(self, value: bytes) -> bytes:
        return self._switch(value, self._profiles.disable)

    def _switch(self, value: bytes, switch: Callable[[int], int]) -> bytes:
        identifier = tlv.find(value, 0xA0)
        if identifier is None:
            return tlv.encode(0x80, bytes([_UNDEFINED]))
        index = self._profiles.named(identifier)
        return tlv.encode(0x80, bytes([_NOT_FOUND if index is None else switch(index)]))


class Ecasd:
    """The ECASD of SGP.02: GET DATA for tag 5A gives the EID."""

    aid = bytes.fromhex("a0000005591010ffffffff8900000200")

    def __init__(self, eid: str) -> None:
        self._eid = bytes.fromhex(eid)

    def selected(self) -> bytes:
        """Return the FCI template."""
        return tlv.encode(0x6F, tlv.encode(0x84, self.aid) + tlv.encode(0xA5, b""))

    def process(self, command: Command) -> bytes:
        """
        Return the EID.

        Raises:
            StatusWordError: If anything else is asked.
        """
        if command.ins != _GET_DATA or (command.p1, command.p2) != (0x00, 0x5A):
            raise StatusWordError(SW.REFERENCE_NOT_FOUND)
        return tlv.encode(0x5A, self._eid)


def isd_p_aid(index: int) -> bytes:
    """Return the AID of the ISD-P of the n-th profile."""
    return _ISD_P_AID + bytes([index])
