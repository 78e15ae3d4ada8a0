# SPDX-License-Identifier: Apache-2.0
"""Whether an end wants its sessions sealed; settings know this without any cryptography."""

from wsrc.words import Word


class Mode(Word):
    """Whether an end wants its sessions sealed."""

    REQUIRED = "required", "A session that is not sealed is refused"
    PREFERRED = "preferred", "A session is sealed where the other end can"
    OFF = "off", "No session is sealed"
