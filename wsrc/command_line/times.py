# SPDX-License-Identifier: Apache-2.0
"""Times as people read them: local with their offset, or UTC; the wire has UTC (RFC 3339)."""

from datetime import UTC, datetime, timedelta


def shown(text: str, *, utc: bool) -> str:
    """Return a time of the protocol as a person reads it; what is no time stays as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if when.tzinfo is None else of(when, utc=utc)


def of(when: datetime, *, utc: bool) -> str:
    """Return a time to the second, such as 2026-01-31T13:00:00+01:00."""
    try:
        there = when.astimezone(UTC) if utc else when.astimezone()
    except (OverflowError, OSError):  # the first and last years have no local time
        there = when
    return there.isoformat(timespec="seconds").replace("+00:00", "Z" if utc else "+00:00")


def after(seconds: float, *, utc: bool) -> str:
    """Return the time that it is after so many seconds."""
    return of(datetime.now(UTC) + timedelta(seconds=seconds), utc=utc)
