# SPDX-License-Identifier: Apache-2.0
"""The sizes of a run: the full ones, unless the environment or a test says otherwise."""

import os
import random
from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def sizes_of(kind: type[S], own: str, otherwise: dict[str, float | str]) -> S:
    """
    Take what the environment has, then `otherwise`, then the full sizes.

    Args:
        kind: The sizes; `seed` and `logs` have the variables `WSRC_SOAK_…` too.
        own: How the names of variables of this kind begin.
        otherwise: What a test wants.
    """
    names = {f"WSRC_SOAK_{name.upper()}": name for name in ("seed", "logs")}
    names |= {f"{own}_{name.upper()}": name for name in kind.__struct_fields__}
    environment = {names[k]: v for k, v in os.environ.items() if k in names}
    seed = {"seed": f"{random.SystemRandom().randrange(1 << 32):08x}"}
    return msgspec.convert(seed | otherwise | environment, kind, strict=False)
