# SPDX-License-Identifier: Apache-2.0
"""What a response says beyond its octets, where its first tag tells which standard names it."""

from typing import Final

from wsrc.card.contents.es10 import ES10, version
from wsrc.card.contents.fcp import FCP
from wsrc.card.contents.texts import utf8
from wsrc.card.contents.tree import Known, Names, Node, tree

_APPLICATION: Final[Names] = {
    0x4F: Known("AID"),
    0x50: Known("label", utf8),
}

_FCI: Final[Names] = {
    0x84: Known("DF name (AID)"),
    0x4F: Known("AID"),
    0x50: Known("label", utf8),
    0xA5: Known("proprietary"),
    0xE0: Known("ISD-R", inside={0x82: Known("svn", version)}),
}

NAMES: Final[Names] = {
    0x61: Known("application template", inside=_APPLICATION),
    0x62: Known("FCP template", inside=FCP),
    0x64: Known("FMD template"),
    0x6F: Known("FCI template", inside={**FCP, **_FCI}),
    0xE0: Known("ISD-R application template", inside={0x82: Known("svn", version)}),
    **ES10,
}
"""First tags by which a response is known: ETSI TS 102 221, ISO/IEC 7816-4, SGP.22."""


def decoded(data: bytes) -> tuple[Node, ...] | None:
    """
    Return the objects of the data of a response, or of a request to an ISD-R.

    None where they are no objects, or their first tag is none that we know: other octets could be
    taken for objects by chance.
    """
    objects = tree(data, NAMES)
    return objects if objects is not None and objects[0].tag in NAMES else None
