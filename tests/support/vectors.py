# SPDX-License-Identifier: Apache-2.0
"""How the messages of vectors are compared: the fields that are given, and what is in them."""

from typing import Any


def differs(given: Any, expected: Any) -> str | None:
    """
    Return where a value is not as expected; None where it is.

    Of an object the fields that are expected are compared, null is for one that must be absent;
    a list has as many items.
    """
    match expected:
        case dict():
            if not isinstance(given, dict):
                return f"{given!r} is no object"
            found = ((name, differs(given.get(name), each)) for name, each in expected.items())
            return next((f"{name}: {why}" for name, why in found if why is not None), None)
        case list():
            if not isinstance(given, list) or len(given) != len(expected):
                return f"{given!r} does not have {len(expected)} items"
            whys = (differs(*both) for both in zip(given, expected, strict=True))
            return next((why for why in whys if why is not None), None)
        case _:
            return None if given == expected else f"{given!r} is not {expected!r}"
