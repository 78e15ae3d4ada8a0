# SPDX-License-Identifier: Apache-2.0
"""Times that are given and shown in units: `90`, `90s`, `5m`, `2h`, `1d`."""

import re
from typing import Any

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

_read = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhd]?)", re.IGNORECASE).fullmatch


class Span(click.ParamType[float]):
    """A time in seconds, or with its unit."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = _read(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no time, such as 90, 30s, 5m, 2h or 1d.", param, ctx)
        return float(found[1]) * _UNITS[found[2].lower()]


def span_text(seconds: float) -> str:
    """Return a time as a person is shown it, with its two greatest units: `2h 5m`."""
    left, parts = int(seconds), list[str]()
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[unit])
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
