# SPDX-License-Identifier: Apache-2.0
"""What an ISD-R answers (SGP.22 clause 5.7): names of its data objects, and values as JSON."""

from typing import Any, Final

from wsrc.card import tlv
from wsrc.card.contents.texts import utf8
from wsrc.card.contents.tree import Known, Names
from wsrc.card.identity import EID_OCTETS, swap_nibbles

PROFILES, INFO1, INFO2, ADDRESSES, EID = 0xBF2D, 0xBF20, 0xBF22, 0xBF3C, 0xBF3E
_STATES: Final = {0: "disabled", 1: "enabled"}
_CLASSES: Final = {0: "test", 1: "provisioning", 2: "operational"}
_RESULTS: Final = {
    0: "ok",
    1: "no such profile",
    2: "the profile is not in the state for it",
    3: "disallowed by policy",
    4: "wrong profile to enable again",
    5: "the toolkit is busy",
    127: "undefined error",
}


def version(value: bytes) -> str | None:
    """Return a version of 3 octets, such as 2.5.0 (SGP.22 annex H, VersionType)."""
    return ".".join(map(str, value)) if len(value) == 3 else None


def _iccid(value: bytes) -> str:
    return swap_nibbles(value).rstrip("f")


def _state(value: bytes) -> str | None:
    return _STATES.get(int.from_bytes(value))


def _class(value: bytes) -> str | None:
    return _CLASSES.get(int.from_bytes(value))


def _result(value: bytes) -> str | None:
    return _RESULTS.get(int.from_bytes(value))


def _number(value: bytes) -> str:
    return str(int.from_bytes(value))


def _eid(value: bytes) -> str | None:
    return value.hex() if len(value) == EID_OCTETS else None


_KEY_IDS: Final[Names] = {0x04: Known("subject key identifier")}

_RESOURCES: Final[Names] = {
    0x81: Known("installed applications", _number),
    0x82: Known("free non-volatile memory", _number),
    0x83: Known("free volatile memory", _number),
}
"""SGP.22 clause 5.7.8, ETSI TS 102 226 clause 8.2.1.7.2."""


_PROFILE: Final[Names] = {
    0x5A: Known("iccid", _iccid),
    0x4F: Known("isdpAid"),
    0x9F70: Known("profileState", _state),
    0x90: Known("profileNickname", utf8),
    0x91: Known("serviceProviderName", utf8),
    0x92: Known("profileName", utf8),
    0x93: Known("iconType"),
    0x94: Known("icon"),
    0x95: Known("profileClass", _class),
    0xB6: Known("notificationConfigurationInfo"),
    0xB7: Known(
        "profileOwner", inside={0x80: Known("mccMnc"), 0x81: Known("gid1"), 0x82: Known("gid2")}
    ),
    0xB8: Known("dpProprietaryData"),
    0x99: Known("profilePolicyRules"),
}

_NOTIFICATION: Final[Names] = {
    0x80: Known("seqNumber", _number),
    0x81: Known("profileManagementOperation"),
    0x0C: Known("notificationAddress", utf8),
    0x5A: Known("iccid", _iccid),
}

_DONE: Final[Names] = {0x80: Known("result", _result)}

ES10: Final[Names] = {
    INFO1: Known(
        "EUICCInfo1",
        inside={
            0x82: Known("svn", version),
            0xA9: Known("euiccCiPKIdListForVerification", inside=_KEY_IDS),
            0xAA: Known("euiccCiPKIdListForSigning", inside=_KEY_IDS),
        },
    ),
    0xBF21: Known("PrepareDownload"),
    INFO2: Known(
        "EUICCInfo2",
        inside={
            0x81: Known("profileVersion", version),
            0x82: Known("svn", version),
            0x83: Known("euiccFirmwareVer", version),
            0x84: Known("extCardResource", inside=_RESOURCES),
            0x85: Known("uiccCapability"),
            0x86: Known("ts102241Version", version),
            0x87: Known("globalplatformVersion", version),
            0x88: Known("rspCapability"),
            0xA9: Known("euiccCiPKIdListForVerification", inside=_KEY_IDS),
            0xAA: Known("euiccCiPKIdListForSigning", inside=_KEY_IDS),
            0x8B: Known("euiccCategory", _number),
            0x99: Known("forbiddenProfilePolicyRules"),
            0x04: Known("ppVersion", version),
            0x0C: Known("sasAcreditationNumber", utf8),
            0xAC: Known("certificationDataObject"),
        },
    ),
    0xBF23: Known("InitialiseSecureChannel"),
    0xBF24: Known("ConfigureISDP"),
    0xBF25: Known("StoreMetadata", inside=_PROFILE),
    0xBF26: Known("ReplaceSessionKeys"),
    0xBF27: Known("ProfileInstallationResultData"),
    0xBF28: Known(
        "ListNotification",
        inside={
            0xA0: Known(
                "list", inside={0xBF2F: Known("NotificationMetadata", inside=_NOTIFICATION)}
            )
        },
    ),
    0xBF29: Known("SetNickname", inside=_DONE),
    0xBF2A: Known("UpdateMetadata"),
    0xBF2B: Known("RetrieveNotificationsList"),
    PROFILES: Known(
        "ProfileInfoList",
        inside={0xA0: Known("list", inside={0xE3: Known("ProfileInfo", inside=_PROFILE)})},
    ),
    0xBF2E: Known("GetEuiccChallenge", inside={0x80: Known("euiccChallenge")}),
    0xBF2F: Known("NotificationMetadata", inside=_NOTIFICATION),
    0xBF30: Known("RemoveNotificationFromList", inside={0x80: Known("result", _number)}),
    0xBF31: Known("EnableProfile", inside=_DONE),
    0xBF32: Known("DisableProfile", inside=_DONE),
    0xBF33: Known("DeleteProfile", inside=_DONE),
    0xBF34: Known("eUICCMemoryReset", inside={0x80: Known("result", _number)}),
    0xBF35: Known("LoadCRL"),
    0xBF36: Known("BoundProfilePackage"),
    0xBF37: Known("ProfileInstallationResult"),
    0xBF38: Known("AuthenticateServer"),
    ADDRESSES: Known(
        "EuiccConfiguredAddresses",
        inside={0x80: Known("defaultDpAddress", utf8), 0x81: Known("rootDsAddress", utf8)},
    ),
    EID: Known("GetEuiccData", inside={0x5A: Known("eid", _eid)}),
    0xBF3F: Known("SetDefaultDpAddress", inside={0x80: Known("result", _number)}),
    0xBF41: Known("CancelSession"),
    0xBF43: Known("GetRAT"),
}
"""Tags of the functions of ES10 (SGP.22 clause 5.7), for requests and answers alike."""


def profiles(data: bytes) -> list[dict[str, Any]]:
    """
    Return the answer to GetProfilesInfo (SGP.22 clause 5.7.15).

    Raises:
        ValueError: If it is an error, or not as the clause says.
    """
    listed = _inside(data, PROFILES, 0xA0)
    return [_profile(value) for tag, value in tlv.decode(listed) if tag == 0xE3]


def _profile(value: bytes) -> dict[str, Any]:
    found = dict(tlv.decode(value))

    def text(tag: int) -> str | None:
        return utf8(found[tag]) if tag in found else None

    return {
        "iccid": _iccid(found[0x5A]) if 0x5A in found else None,
        "aid": found[0x4F].hex() if 0x4F in found else None,
        "state": _state(found[0x9F70]) if 0x9F70 in found else None,
        "class": _class(found.get(0x95, b"\x02")),
        "nickname": text(0x90),
        "provider": text(0x91),
        "name": text(0x92),
    }


def info1(data: bytes) -> dict[str, Any]:
    """
    Return the answer to GetEuiccInfo1 (SGP.22 clause 5.7.8).

    Raises:
        ValueError: If it is not as the clause says.
    """
    found = dict(tlv.decode(_inside(data, INFO1)))
    return {
        "svn": version(found.get(0x82, b"")),
        "ci_for_verification": _keys(found.get(0xA9, b"")),
        "ci_for_signing": _keys(found.get(0xAA, b"")),
    }


def info2(data: bytes) -> dict[str, Any]:
    """
    Return the answer to GetEuiccInfo2 (SGP.22 clause 5.7.8).

    Raises:
        ValueError: If it is not as the clause says.
    """
    found = dict(tlv.decode(_inside(data, INFO2)))
    sas = found.get(0x0C)
    return {
        "profile_version": version(found.get(0x81, b"")),
        "svn": version(found.get(0x82, b"")),
        "firmware": version(found.get(0x83, b"")),
        **_resources_document(found.get(0x84, b"")),
        "globalplatform": version(found.get(0x87, b"")),
        "category": int.from_bytes(found[0x8B]) if 0x8B in found else None,
        "pp_version": version(found.get(0x04, b"")),
        "sas": utf8(sas) if sas is not None else None,
        "ci_for_verification": _keys(found.get(0xA9, b"")),
        "ci_for_signing": _keys(found.get(0xAA, b"")),
    }


def addresses(data: bytes) -> dict[str, Any]:
    """
    Return the answer to GetEuiccConfiguredAddresses (SGP.22 clause 5.7.3).

    Raises:
        ValueError: If it is not as the clause says.
    """
    found = dict(tlv.decode(_inside(data, ADDRESSES)))
    default, root = found.get(0x80), found.get(0x81)
    return {
        "default_smdp": utf8(default) if default else None,
        "root_smds": utf8(root) if root else None,
    }


def eid(data: bytes) -> str:
    """
    Return the answer to GetEuiccData for tag 5A (SGP.22 clause 5.7.20).

    Raises:
        ValueError: If it is not as the clause says.
    """
    digits = _eid(_inside(data, EID, 0x5A))
    if digits is None:
        raise ValueError("its EID has not 16 octets")
    return digits


def _inside(data: bytes, *path: int) -> bytes:
    value = tlv.find(data, *path)
    if value is None:
        error = tlv.find(data, path[0], 0x80) or tlv.find(data, path[0], 0x81)
        if error:
            raise ValueError(f"it answers with error {int.from_bytes(error)}")
        raise ValueError("it answers with something else")
    return value


def _keys(value: bytes) -> list[str]:
    return [each.hex() for tag, each in tlv.decode(value) if tag == 0x04]


def _resources_document(value: bytes) -> dict[str, int]:
    names = {0x81: "applications", 0x82: "free_nv_octets", 0x83: "free_ram_octets"}
    try:
        found = dict(tlv.decode(value))
    except ValueError:
        return {}
    return {name: int.from_bytes(found[tag]) for tag, name in names.items() if tag in found}
