# SPDX-License-Identifier: Apache-2.0
"""From a description to a card: files on disk, the two default cards, and the parts together."""

from importlib import resources
from pathlib import Path

import msgspec

from wsrc.card.slot import CardProtocol
from wsrc.errors import ConfigError
from wsrc.process.texts import read_text
from wsrc.readers.simulation.atr import gsm_atr, uicc_atr
from wsrc.readers.simulation.card import Card
from wsrc.readers.simulation.description import (
    CardDescription,
    FileDescription,
    IsdRDescription,
    Kind,
    ProfileDescription,
    Structure,
    parse_description,
)
from wsrc.readers.simulation.engine import Engine
from wsrc.readers.simulation.euicc import Ecasd, Installed, IsdR, Profiles
from wsrc.readers.simulation.filesystem import CURRENT_ADF_ID, Directory, Ef, Records, Transparent
from wsrc.readers.simulation.gsm import GsmSim
from wsrc.readers.simulation.profile import Subscription, make_bare_profile, make_profile
from wsrc.readers.simulation.state import Profile, SecurityDomain
from wsrc.readers.simulation.uicc import Uicc

_DEFAULTS = ("uicc.toml", "euicc.toml")


def load_card(path: Path | str) -> Card:
    """
    Make the card that a TOML file describes.

    Raises:
        ConfigError: If the file cannot be read or describes no card.
    """
    try:
        text = read_text(Path(path))
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ConfigError(str(path), f"cannot read this description: {reason}") from exc
    return make_card(parse_description(text, str(path)), str(path))


def default_cards() -> list[Card]:
    """Make a UICC and an eUICC as the descriptions in this package have them."""
    data = resources.files("wsrc.readers.simulation") / "data"
    return [
        make_card(parse_description((data / name).read_text(encoding="utf-8"), name), name)
        for name in _DEFAULTS
    ]


def make_card(description: CardDescription, where: str = "card") -> Card:
    """
    Make a card.

    Raises:
        ConfigError: If a file of its own lies in a directory that the card does not have.
    """
    euicc = description.kind is Kind.EUICC
    atr = uicc_atr(description.protocol, description.logical_channels + 1, euicc=euicc)
    if description.gsm_only:
        atr = gsm_atr()
    return Card(
        _euicc(description, where) if euicc else _uicc(description, where),
        bytes.fromhex(description.atr) or atr,
        description.protocol,
        name=description.name or ("Simulated eUICC" if euicc else "Simulated UICC"),
        faults=description.faults,
    )


def _uicc(description: CardDescription, where: str) -> Engine:
    profile = _profile(description, description.iccid, description.imsi, where)
    if description.gsm_only:
        return GsmSim(lambda: profile)
    return Uicc(lambda: profile, description.logical_channels, gsm=_gsm(description))


def _euicc(description: CardDescription, where: str) -> Engine:
    described = description.profile or (
        ProfileDescription(iccid=description.iccid, imsi=description.imsi, enabled=True),
    )
    installed = [
        Installed(p.iccid, p.name, _profile(description, p.iccid, p.imsi, where), p.enabled)
        for p in described
    ]
    profiles = Profiles(installed, make_bare_profile(_subscription(description)))
    ci_pki_ids = [bytes.fromhex(key_id) for key_id in description.ci_pki_ids]
    domains: list[SecurityDomain] = [
        IsdR(bytes.fromhex(i.aid), i.eid, profiles, ci_pki_ids)
        for i in description.isd_r or (IsdRDescription(eid=description.eid),)
    ]
    if description.ecasd:
        domains.append(Ecasd(description.eid))
    gsm = _gsm(description)
    return Uicc(profiles.in_force, description.logical_channels, domains, gsm=gsm)


def _gsm(description: CardDescription) -> bool:
    """Return whether a card is a SIM as well, which speaks T=0 alone."""
    return description.gsm_access and description.protocol is CardProtocol.T0


def _subscription(description: CardDescription) -> Subscription:
    return Subscription(
        iccid=description.iccid,
        imsi=description.imsi,
        pin1=description.pin1,
        puk1=description.puk1,
        pin1_tries=description.pin1_tries,
        pin1_enabled=description.pin1_enabled,
        adm=bytes.fromhex(description.adm),
        k=bytes.fromhex(description.k),
        opc=bytes.fromhex(description.opc),
        sqn=int(description.sqn, 16),
        authenticate_needs_pin=description.authenticate_needs_pin,
        increase_file=int(description.increase_file, 16),
    )


def _profile(description: CardDescription, iccid: str, imsi: str, where: str) -> Profile:
    changed = msgspec.structs.replace(description, iccid=iccid, imsi=imsi)
    profile = make_profile(_subscription(changed))
    for file in description.file:
        _directory(profile, bytes.fromhex(file.path)[:-2], where).add(_elementary_file(file))
    return profile


def _directory(profile: Profile, path: bytes, where: str) -> Directory:
    at = profile.files.mf
    ids = [int.from_bytes(path[i : i + 2]) for i in range(0, len(path), 2)]
    if ids and ids[0] == CURRENT_ADF_ID:
        at = profile.files.adfs[0]
        ids.pop(0)
    for file_id in ids:
        child = at.children.get(file_id)
        if not isinstance(child, Directory):
            raise ConfigError(
                f"{where}: file.path",
                f"there is no directory {file_id:04X}; a new file can lie in the MF, in 7FFF "
                "(the USIM), 7F10 or 7F20",
            )
        at = child
    return at


def _elementary_file(file: FileDescription) -> Ef:
    file_id = int(file.path[-4:], 16)
    content = bytes.fromhex(file.content)
    if file.structure is Structure.TRANSPARENT:
        octets = content or bytes(file.size_octets)
        return Transparent(
            file_id=file_id,
            sfi=file.sfi,
            read=file.read,
            update=file.update,
            deactivated=file.deactivated,
            content=bytearray(octets),
        )
    record = content[: file.record_octets].ljust(file.record_octets, b"\0")
    return Records(
        file_id=file_id,
        sfi=file.sfi,
        read=file.read,
        update=file.update,
        increase=file.increase,
        deactivated=file.deactivated,
        cyclic=file.structure is Structure.CYCLIC,
        records=[record] * file.record_count,
    )
