# SPDX-License-Identifier: Apache-2.0
"""What users noted of a card or of a reader, and how that is changed."""

from collections.abc import Mapping
from typing import Final

import msgspec

from wsrc.tags import MOST

NO_TAGS: Final[Mapping[str, str]] = {}


class Kept(msgspec.Struct, frozen=True):
    """What users noted of a card or of a reader."""

    tags: Mapping[str, str] = NO_TAGS
    comment: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not self.tags and not self.comment


class Change(msgspec.Struct, frozen=True):
    """
    What is to be kept otherwise.

    `set` has tags that are to have these values, `unset` the keys of those that are to go; None as
    `comment` leaves it as it is.
    """

    set: Mapping[str, str] = NO_TAGS
    unset: tuple[str, ...] = ()
    comment: str | None = None

    def of(self, kept: Kept) -> Kept:
        """
        Return what is kept after it.

        Raises:
            ValueError: If those are too many tags.
        """
        tags = {key: value for key, value in kept.tags.items() if key not in self.unset}
        tags |= self.set
        if len(tags) > MOST:
            raise ValueError(f"A card has at most {MOST} tags from users, not {len(tags)}.")
        return Kept(tags, kept.comment if self.comment is None else self.comment)
