# SPDX-License-Identifier: Apache-2.0
"""
What users note of cards for one another, as messages; `messages` has them with all others.

It is kept under the identity of the card, and outlives the server.
"""

from collections.abc import Mapping
from typing import Annotated

from wsrc.protocol.fields import means
from wsrc.protocol.parts import Message, Selecting
from wsrc.protocol.reader_events import ReaderView

Noted = Annotated[ReaderView, means("The reader, with the card in it, as it is shown from now on")]


class SetTags(Selecting, frozen=True, tag="set_tags", kw_only=True):
    """Set tags of the one card, or reader, that matches; see Tags."""

    set: Annotated[Mapping[str, str] | None, means("Value of each tag to set, by its key")] = None
    unset: Annotated[tuple[str, ...], means("Keys of tags that were set so, and are to go")] = ()


class SetTagsAck(Message, frozen=True, tag="set_tags_ack", kw_only=True):
    """The tags are kept."""

    reader: Noted


class SetComment(Selecting, frozen=True, tag="set_comment", kw_only=True):
    """Note something of the one card, or reader, that matches."""

    comment: Annotated[
        str, means("At most 256 printable characters in place of those before; empty for none")
    ]


class SetCommentAck(Message, frozen=True, tag="set_comment_ack", kw_only=True):
    """The comment is kept."""

    reader: Noted
